"""A small sound bank and a tiny untrained checkpoint, for the tests of what works with labels."""

import pathlib

import torch

from modeling_sslam import KaldiFbankFeatureExtractor, SslamForPreTraining
from tests.conftest import tiny_config
from training.sound_bank import BankConfig, write_bank

TARGET_LENGTH = 128


def write_clips(folder: pathlib.Path) -> pathlib.Path:
    """CSV of 20 events and 12 soundscapes of 1.3 s, three quarters of each for training."""
    return write_bank(folder, BankConfig(num_events=20, num_soundscapes=12, seconds=1.3))


def write_checkpoint(folder: pathlib.Path) -> pathlib.Path:
    torch.manual_seed(0)  # which checkpoint is the best depends on the weights
    SslamForPreTraining(tiny_config()).save_pretrained(folder)
    KaldiFbankFeatureExtractor(target_length=TARGET_LENGTH).save_pretrained(folder)
    return folder


def data_section(clips: pathlib.Path, kind: str) -> dict:
    """Section `data` for the training clips of one kind."""
    return {
        "path": str(clips),
        "filters": {"kind": [kind], "split": ["train"]},
        "label_column": "labels",
        "label_separator": ";" if kind == "soundscape" else None,
        "target_length": TARGET_LENGTH,
        "batch_size": 4,
        "num_workers": 0,
    }


def evaluation_section(kind: str) -> dict:
    return {"filters": {"kind": [kind], "split": ["test"]}}
