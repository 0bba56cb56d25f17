"""Tiny SSLAM models whose weights official files are made of; nobody changes them."""

import pytest
import torch

from modeling_sslam import SslamConfig, SslamForAudioClassification, SslamForPreTraining, SslamModel
from tests.modeling_sslam.official.sslam_files import SIZES


@pytest.fixture(scope="session")
def student() -> SslamForPreTraining:
    torch.manual_seed(0)
    return SslamForPreTraining(SslamConfig(**SIZES)).eval()


@pytest.fixture(scope="session")
def teacher() -> SslamModel:
    torch.manual_seed(1)
    return SslamModel(SslamConfig(**SIZES)).eval()


@pytest.fixture(scope="session")
def classifier() -> SslamForAudioClassification:
    torch.manual_seed(2)
    return SslamForAudioClassification(SslamConfig(**SIZES, num_labels=527)).eval()
