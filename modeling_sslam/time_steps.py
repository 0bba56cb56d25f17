"""Input and loss of classifiers that decide for every time step."""

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers.utils import ModelOutput


def time_steps(encoded: ModelOutput, config: PreTrainedConfig) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What an encoder gives for each time step, the mean over its frequency patches, and which steps are real.

    Args:
        encoded: with `last_hidden_state` (B, special tokens + L, D) and `token_mask` (B, L) bool or None.
        config: of the encoder.
    Returns:
        (B, T', D) and (B, T') bool or None.
    """
    num_frequency = config.num_frequency_patches
    patches = encoded.last_hidden_state[:, config.num_special_tokens :]
    time_mask = None if encoded.token_mask is None else encoded.token_mask[:, ::num_frequency]
    return patches.unflatten(1, (-1, num_frequency)).mean(dim=2), time_mask


def frame_loss(logits: torch.Tensor, labels: torch.Tensor, time_mask: torch.Tensor | None) -> torch.Tensor:
    """Mean loss over real time steps: cross-entropy for integer labels, binary cross-entropy for float targets.

    Args:
        logits: (B, T', C).
        labels: (B, T') integer with -100 = ignored, or (B, T', C) float.
        time_mask: (B, T') bool, True = real, or None.
    Raises:
        ValueError: `labels` does not fit `logits`.
    """
    expected = logits.shape if labels.is_floating_point() else logits.shape[:2]
    if labels.shape != expected:
        raise ValueError(
            f"labels has shape {tuple(labels.shape)}, but the logits are {tuple(logits.shape)}: give one class index "
            "(int) or one row of targets (float) for every time patch"
        )
    if time_mask is not None:
        logits, labels = logits[time_mask], labels[time_mask]
    if labels.is_floating_point():
        return nn.functional.binary_cross_entropy_with_logits(logits.float(), labels.float())
    return nn.functional.cross_entropy(logits.flatten(0, -2).float(), labels.flatten())
