"""Clips of the length that batches need, cut from anywhere or from the middle, or filled on both sides.

The fine-tuning of GISE-51 (Yadav and Foster, arXiv 2103.12306, 2021; spec section 7 and the official transforms). Each
step has two halves: a deterministic function of the drawn values, and one that draws them from a `torch.Generator`.
Features are (T, F) spectrograms or (T,) waveforms, normalised as a whole.
"""

from __future__ import annotations

import torch


def cut(features: torch.Tensor, num_frames: int, start: int) -> torch.Tensor:
    """Frames `start` to `start + num_frames` of (T, ...)."""
    return features[start : start + num_frames]


def wrap(features: torch.Tensor, num_frames: int) -> torch.Tensor:
    """(T, ...) -> (num_frames, ...): a shorter clip repeated to both sides, periodically; others as they are.

    Of the missing frames the left side has half, rounded down.
    """
    length = len(features)
    if length >= num_frames:
        return features
    positions = torch.arange(num_frames, device=features.device) - (num_frames - length) // 2
    return features[positions % length]


def fill_with_minimum(features: torch.Tensor, num_frames: int) -> torch.Tensor:
    """(T, ...) -> (num_frames, ...): like `wrap`, but the missing frames have the smallest value of the clip."""
    length = len(features)
    if length >= num_frames:
        return features
    left = (num_frames - length) // 2
    filled = features.new_full((num_frames, *features.shape[1:]), float(features.min()))
    filled[left : left + length] = features
    return filled


def fit_from_the_middle(features: torch.Tensor, num_frames: int) -> torch.Tensor:
    """(T, ...) -> (num_frames, ...) in evaluation: a longer clip cut at both ends, a shorter one wrapped.

    Of the frames that are cut off the left side has half, rounded down.
    """
    features = wrap(features, num_frames)
    return cut(features, num_frames, (len(features) - num_frames) // 2)


def fit_from_anywhere(
    features: torch.Tensor, num_frames: int, minimum_padding: float, generator: torch.Generator
) -> torch.Tensor:
    """(T, ...) -> (num_frames, ...) in training: a longer clip cut anywhere, every start equally likely.

    Args:
        minimum_padding: with this probability, a shorter clip is filled with its smallest value instead of wrapped.
        generator: of one draw for a shorter clip, and of one for a longer clip.
    """
    spare = len(features) - num_frames
    if spare > 0:
        return cut(features, num_frames, int(torch.randint(spare + 1, (), generator=generator)))
    fills = spare < 0 and torch.rand((), generator=generator).item() < minimum_padding
    return fill_with_minimum(features, num_frames) if fills else wrap(features, num_frames)
