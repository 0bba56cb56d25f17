"""The README is true: its Python examples run, and its commands are understood."""

from __future__ import annotations

import importlib.util
import pathlib
import re
import shlex

import numpy as np
import pytest
import soundfile

from modeling_sslam import (
    EatConfig,
    EatForAudioClassification,
    KaldiFbankFeatureExtractor,
    SslamForAudioClassification,
    SslamForAudioFrameClassification,
)
from tests.conftest import tiny_config
from training.analyze_heads import AnalysisArguments
from training.evaluate_hear import HearArguments
from training.finetune import FinetuneArguments
from training.probe import ProbeArguments
from training.settings.recipe import PretrainArguments, load_arguments
from training.settings.synthesis import SynthesisArguments
from training.studies.mixtures import MixturesArguments

REPOSITORY = pathlib.Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
# Program -> the sections that its settings `section.field=value` are of.
SECTIONS = {
    "training/pretrain.py": PretrainArguments,
    "training.data_stats": PretrainArguments,
    "training.finetune": FinetuneArguments,
    "training.synthesize": SynthesisArguments,
    "training.study": MixturesArguments,
    "training.probe": ProbeArguments,
    "training.evaluate_hear": HearArguments,
    "training.analyze_heads": AnalysisArguments,
}


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
    models = dict.fromkeys(("CHECKPOINT", "CLASSIFIER"), SslamForAudioClassification)
    for name, model_class in (models | {"FRAME_CLASSIFIER": SslamForAudioFrameClassification}).items():
        model_class(config).save_pretrained(name)
        KaldiFbankFeatureExtractor().save_pretrained(name)
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
    num_steps = names["steps"].shape[2]
    assert names["steps"].shape == (2, 1, num_steps, 32)
    assert names["layers"].shape == (2, 2, num_steps, 32)
    assert names["is_real"].sum(dim=1).tolist() == [num_steps, 6]
    assert names["seconds"][1].tolist() == pytest.approx([0.16, 0.32])
    assert names["scenes"].shape == (2, 8 * 32)
    assert names["milliseconds"][0, 1] - names["milliseconds"][0, 0] == 160
    assert names["frames"].shape == (1, 1, 97, 192)
    assert capsys.readouterr().out.split() == ["Speech", "0.0", "0.16"]


def test_commands_name_what_exists():
    understood = set()
    for command in commands():
        program = next((word for word in command if word in SECTIONS), None)
        if program is not None:
            recipe = REPOSITORY / command[command.index("--config") + 1] if "--config" in command else None
            settings = [word for word in command if re.match(r"\w+\.\w+=", word)]
            load_arguments(recipe, settings, SECTIONS[program])
            understood.add(program)
        elif command[0] == "make":
            assert re.search(rf"^{command[1]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        elif command[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(command[2])
    assert understood == SECTIONS.keys()
