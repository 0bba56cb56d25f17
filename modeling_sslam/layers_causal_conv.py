"""Depthwise convolution over the tokens up to the present one, as in Mamba and mLSTM blocks."""

import torch
from torch import nn


def causal_convolution(convolution: nn.Conv1d, hidden_states: torch.Tensor) -> torch.Tensor:
    """Applies `convolution`, which has no padding of its own, with zeros in front: (B, L, D) -> (B, L, D)."""
    padded = nn.functional.pad(hidden_states, (0, 0, convolution.kernel_size[0] - 1, 0))
    return convolution(padded.transpose(1, 2)).transpose(1, 2)
