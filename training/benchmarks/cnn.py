"""Rows of `training.benchmark` about convolutional networks: a training step of each published one."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from modeling_sslam import SpectrogramCnnConfig, SpectrogramCnnForAudioClassification
from training.benchmarks.measure import Row, share_row

# Those of GISE-51, in the order of its table.
ARCHITECTURES = (
    "cifar-resnet44",
    "cifar-resnet56",
    "resnet18",
    "resnet34",
    "resnet50",
    "efficientnet-b0",
    "efficientnet-b1",
    "densenet121",
)
NUM_CLIPS, NUM_FRAMES, NUM_CLASSES = 4, 500, 51


def training_step(model: SpectrogramCnnForAudioClassification, input_values: torch.Tensor) -> None:
    """Forward and backward pass on clips (B, T, F) without labels."""
    model.zero_grad(set_to_none=True)
    labels = input_values.new_zeros(len(input_values), model.config.num_labels)
    model(input_values, labels=labels).loss.backward()


def step_flops(model: SpectrogramCnnForAudioClassification, input_values: torch.Tensor) -> int:
    """Multiply-adds times two of a step: three times those of the forward pass.

    The counter knows the groups of a convolution in the forward pass only; backwards it takes a depthwise convolution
    for a full one.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_values)
    return 3 * counter.get_total_flops()


def cnn_rows(
    architectures: tuple[str, ...] = ARCHITECTURES, num_frames: int = NUM_FRAMES, width: float = 1.0
) -> list[Row]:
    """A step of each network, without the optimiser, as a share of the matmul rate.

    Depthwise convolutions and norms have few operations for what they read and write, so that EfficientNets and
    DenseNets have a smaller share.
    """
    rows = []
    for architecture in architectures:
        torch.manual_seed(0)
        config = SpectrogramCnnConfig(
            architecture=architecture,
            width_multiplier=width,
            num_labels=NUM_CLASSES,
            problem_type="multi_label_classification",
        )
        model = SpectrogramCnnForAudioClassification(config).train()
        clips = torch.randn(NUM_CLIPS, num_frames, config.num_frequency_bins)
        work = functools.partial(training_step, model, clips)
        name = f"{architecture} step, {NUM_CLIPS} x {num_frames} frames"
        rows.append(share_row(name, work, step_flops(model, clips), None))
    return rows


CNN_BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    f"cnn-{architecture}": functools.partial(cnn_rows, (architecture,)) for architecture in ARCHITECTURES
}
