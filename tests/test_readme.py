"""The README is true: its Python examples run, and its commands are understood."""

from __future__ import annotations

import pathlib
import re
import shlex

import numpy as np
import pytest
import soundfile
import torch

from modeling_sslam import EatConfig, EatForAudioClassification, SslamFeatureExtractor, SslamForAudioClassification
from tests.conftest import tiny_config
from training.arguments import PretrainArguments, load_arguments
from training.finetune import FinetuneArguments

REPOSITORY = pathlib.Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()
SECTIONS = {"training/pretrain.py": PretrainArguments, "training.finetune": FinetuneArguments}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip() and not line.startswith("#")]


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """Tiny folders under the names that the README uses."""
    monkeypatch.chdir(tmp_path)
    config = tiny_config(num_labels=4, problem_type="multi_label_classification", max_time_patches=64)
    for name in ("CHECKPOINT", "CLASSIFIER"):
        SslamForAudioClassification(config).save_pretrained(name)
        SslamFeatureExtractor().save_pretrained(name)
    hub = EatConfig(
        embed_dim=32, depth=1, num_heads=2, mlp_ratio=2.0, max_length=64, num_classes=527, model_variant="finetune"
    )
    EatForAudioClassification(hub).save_pretrained("HUB_CHECKPOINT")
    soundfile.write("clip.wav", np.random.default_rng(0).uniform(-0.5, 0.5, (44100, 2)), 22050)


def test_python_examples_run(checkpoints, capsys):
    names = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert names["clip_embedding"].shape == (2, 32)
    assert torch.isfinite(names["patches"]).all()
    assert capsys.readouterr().out.strip() == "Speech"


def test_commands_name_what_exists():
    understood = 0
    for command in commands():
        program = next((word for word in command if word in SECTIONS), None)
        if program is not None:
            recipe = command[command.index("--config") + 1]
            load_arguments(REPOSITORY / recipe, command[command.index("--config") + 2 :], SECTIONS[program])
            understood += 1
        elif command[0] == "make":
            assert re.search(rf"^{command[1]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert understood == 3
