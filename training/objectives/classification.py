"""Losses of fine-tuning: elements to be summed, and the sample size by which the official recipes divide the sum."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

ElementsAndSize = tuple[torch.Tensor, torch.Tensor]
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0  # of Lin et al.

LossFunction = Callable[[torch.Tensor, torch.Tensor, float], ElementsAndSize]


def bce_per_label(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0) -> ElementsAndSize:
    """Binary cross-entropy (B, num_labels) in float32; the sample size is the sum of the (mixed) targets.

    So the gradient is per positive label, not a mean over classes.

    Args:
        logits, targets: (B, num_labels).
        label_smoothing: has no meaning here and is ignored, as in the official recipes.
    """
    return F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none"), targets.sum()


def bce_per_clip(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0) -> ElementsAndSize:
    """Binary cross-entropy (B, num_labels) in float32; the sample size is the number of clips (Speech Commands)."""
    elements = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
    return elements, elements.new_tensor(len(targets))


def bce_mean(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0) -> ElementsAndSize:
    """Binary cross-entropy (B, num_labels) in float32; the sample size is the number of elements (SSAST)."""
    elements = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
    return elements, elements.new_tensor(elements.numel())


def focal(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0) -> ElementsAndSize:
    """Sigmoid focal loss (B, num_labels) in float32; the sample size is the number of elements (GISE-51 on AudioSet).

    Binary cross-entropy weighted by `(1 - p) ** gamma`, p the probability given to the target, and by alpha for
    positive and 1 - alpha for negative targets (Lin et al., ICCV 2017, equation 5); between these for mixed ones.
    """
    logits = logits.float()
    elements = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    scores = logits.sigmoid()
    given = scores * targets + (1 - scores) * (1 - targets)
    balance = FOCAL_ALPHA * targets + (1 - FOCAL_ALPHA) * (1 - targets)
    elements = balance * (1 - given) ** FOCAL_GAMMA * elements
    return elements, elements.new_tensor(elements.numel())


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0) -> ElementsAndSize:
    """Cross-entropy (B,) in float32 against one-hot or mixed targets; the sample size is the number of clips."""
    elements = F.cross_entropy(logits.float(), targets, reduction="none", label_smoothing=label_smoothing)
    return elements, elements.new_tensor(len(targets))


LOSSES: dict[str, LossFunction] = {
    "bce_per_label": bce_per_label,
    "bce_per_clip": bce_per_clip,
    "bce_mean": bce_mean,
    "focal": focal,
    "cross_entropy": cross_entropy,
}


def get_loss(name: str) -> LossFunction:
    """The loss of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in LOSSES:
        raise ValueError(f"unknown loss {name!r}; choose one of {', '.join(LOSSES)}")
    return LOSSES[name]
