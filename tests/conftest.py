"""Tiny models and generated spectrograms that the tests share."""

import os

import pytest
import torch
from accelerate.state import AcceleratorState

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from modeling_sslam import SslamConfig  # noqa: E402

NUM_FREQUENCY = 8


def tiny_config(**overrides) -> SslamConfig:
    """Two narrow layers with the true patch geometry; no mask noise, so that a forward pass is exact."""
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_time_patches": 16,
        "decoder_hidden_size": 32,
        "decoder_num_layers": 2,
        "mask_noise_std": 0.0,
    }
    return SslamConfig(**(sizes | overrides))


@pytest.fixture(autouse=True)
def _fresh_accelerator():
    """A run in this process must not inherit the settings of one in an earlier test, whichever file that stands in."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def config() -> SslamConfig:
    return tiny_config()


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def spectrograms(generator) -> torch.Tensor:
    """(3, 128, 128) clips."""
    return torch.randn(3, 128, 128, generator=generator)
