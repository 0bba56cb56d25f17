import pytest
import torch

from modeling_sslam import SpectrogramCnnConfig, SpectrogramCnnForAudioClassification
from training.benchmarks.cnn import ARCHITECTURES, cnn_rows, step_flops


def test_operations_are_those_of_the_convolutions_by_hand():
    """One block a stage: the stem, 6 convolutions of 3x3 and the classifier, each with its map and channels."""
    config = SpectrogramCnnConfig(architecture="cifar-resnet8", width_multiplier=1 / 4, num_frequency_bins=64)
    model = SpectrogramCnnForAudioClassification(config)
    stem = 32 * 32 * 8 * 1 * 49
    blocks = 16 * 16 * 2 * 8 * 8 * 9 + 8 * 8 * (8 + 16) * 16 * 9 + 4 * 4 * (16 + 32) * 32 * 9
    wanted = 3 * 2 * (stem + blocks + 32 * config.num_labels)
    assert step_flops(model, torch.zeros(1, 64, 64)) == wanted


def test_a_depthwise_convolution_counts_by_its_groups():
    config = SpectrogramCnnConfig(architecture="efficientnet-b0")
    model = SpectrogramCnnForAudioClassification(config)
    # 0.39 G multiply-adds for 224 x 224 cells of three channels (table 2 of the paper), here for one channel.
    assert step_flops(model, torch.zeros(1, 224, 221)) == pytest.approx(3 * 2 * 0.39e9, rel=0.05)


def test_a_row_for_every_published_network():
    (row,) = cnn_rows(("resnet18",), num_frames=64, width=1 / 16)
    assert row.name == "resnet18 step, 4 x 64 frames"
    assert row.value > 0
    assert "of the matmul rate" in row.measure
    assert len(ARCHITECTURES) == 8
