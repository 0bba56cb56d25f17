"""Tiny pretraining runs for the tests: clips of noise and the settings that train on them in a moment."""

import copy
import pathlib

import soundfile
import torch

from training.settings.pretraining import PretrainArguments
from training.settings.recipe import build_arguments

TINY = {
    "model": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_time_patches": 8,
        "decoder_hidden_size": 32,
        "decoder_num_layers": 2,
    },
    "objective": {"name": "sslam_stage1", "clones": 2, "class_loss_rows": 8},
    "data": {
        "format": "folder",
        "target_length": 128,
        "batch_size": 3,
        "shuffle_buffer": 4,
        "num_workers": 0,
    },
    "optim": {"learning_rate": 1e-3, "warmup_steps": 2, "total_steps": 6},
    "run": {"log_every": 1, "checkpoint_every": 3, "keep_checkpoints": 2},
}


def write_clips(folder: pathlib.Path, num_clips: int = 8) -> pathlib.Path:
    """A folder with wav files of 0.5 s of noise, each with its own colour."""
    folder.mkdir()
    for index in range(num_clips):
        noise = torch.randn(8000, generator=torch.Generator().manual_seed(index))
        noise[1:] += 0.2 * index * noise[:-1]
        soundfile.write(folder / f"{index}.wav", 0.05 * noise.numpy(), 16000)
    return folder


def settings(clips: pathlib.Path, output: pathlib.Path) -> dict[str, dict]:
    """Sections of a recipe for a run of six updates on `clips`."""
    sections = copy.deepcopy(TINY)
    sections["data"]["path"], sections["run"]["output_dir"] = str(clips), str(output)
    return sections


def arguments(clips: pathlib.Path, output: pathlib.Path, **overrides) -> PretrainArguments:
    """The same as arguments; overrides are written `section__field=value`."""
    sections = settings(clips, output)
    for name, value in overrides.items():
        section, field = name.split("__")
        sections.setdefault(section, {})[field] = value
    return build_arguments(sections)
