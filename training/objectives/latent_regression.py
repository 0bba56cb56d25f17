"""Targets from a teacher's layers, the error of their prediction, and the sign of collapse (data2vec 2.0)."""

from __future__ import annotations

import torch
from torch import nn


def instance_norm(tokens: torch.Tensor) -> torch.Tensor:
    """Normalises every channel of a clip over its tokens, in float32: (B, L, D), biased variance, eps 1e-5."""
    tokens = tokens.float()
    centred = tokens - tokens.mean(dim=1, keepdim=True)
    # A mean of squares, since `torch.var` over an axis that is not the last one is several times slower on CPUs.
    return centred * torch.rsqrt(centred.square().mean(dim=1, keepdim=True) + 1e-5)


def average_layers(layers: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Target from teacher layers (data2vec 2.0): mean of instance-normalised layers, normalised over channels.

    Args:
        layers: (B, L, D) outputs of the layers to average, without the class token.
    Returns:
        (B, L, D) float32.
    """
    total = instance_norm(layers[0])
    for layer in layers[1:]:
        total += instance_norm(layer)
    return nn.functional.layer_norm(total / len(layers), total.shape[-1:])


def squared_error(prediction: torch.Tensor, target: torch.Tensor, scale: float | None = None) -> torch.Tensor:
    """Squared error summed over the last axis (D channels) in float32, times `scale` (None: 1 / sqrt(D))."""
    scale = prediction.shape[-1] ** -0.5 if scale is None else scale
    return (prediction.float() - target).square().sum(dim=-1) * scale


@torch.no_grad()
def spread(tokens: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Mean over channels of the standard deviation over tokens: near zero when they have collapsed (0-dim).

    Args:
        tokens: (B, L, D).
        counts: (B, L) how often each token counts.
    """
    tokens, counts = tokens.float().flatten(0, 1), counts.float().flatten()
    total = counts.sum()
    centred = tokens - counts @ tokens / total
    variance = counts @ centred.square_() / (total - 1)
    return (variance + 1e-6).sqrt().mean()
