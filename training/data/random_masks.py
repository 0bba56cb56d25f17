"""SpecAugment of GISE-51's fine-tuning: one or more pairs of bands, filled with the smallest value of the clip.

Yadav and Foster, arXiv 2103.12306, 2021 (the official transforms); after Park et al., 2019. `hide` is a deterministic
function of what `draw_masks` draws.
"""

from __future__ import annotations

import dataclasses

import torch

from training.data.augment import check_spectrogram


@dataclasses.dataclass(frozen=True)
class Band:
    """What is drawn for a band along one axis.

    Attributes:
        fraction: width of the band as a share of the axis.
        start: where it begins, not rounded, at least 0 and less than the size of the axis without the band.
    """

    fraction: float
    start: float

    def within(self, size: int) -> slice:
        """The entries of an axis of that size that the band hides; none where it is narrower than one."""
        start = int(self.start)
        return slice(start, start + int(self.fraction * size))


@dataclasses.dataclass(frozen=True)
class Mask:
    """A band of frequency bins and a band of frames."""

    bins: Band
    frames: Band


def hide(features: torch.Tensor, masks: list[Mask]) -> torch.Tensor:
    """Fills the bands of all masks with the smallest value that the spectrogram (T, F) had before."""
    num_frames, num_bins = features.shape
    hidden, fill = features.clone(), features.min()
    for mask in masks:
        hidden[:, mask.bins.within(num_bins)] = fill
        hidden[mask.frames.within(num_frames)] = fill
    return hidden


def draw_masks(
    num_frames: int, num_bins: int, most: int, max_bins: float, max_frames: float, generator: torch.Generator
) -> list[Mask]:
    """One to `most` masks, each number equally likely; widths and starts are uniform.

    Args:
        max_bins, max_frames: widest band as a share of its axis, which is itself never drawn.
    """

    def band(size: int, widest: float) -> Band:
        fraction = widest * _uniform(generator)
        return Band(fraction, (size - int(fraction * size)) * _uniform(generator))

    number = int(torch.randint(1, most + 1, (), generator=generator))
    return [Mask(band(num_bins, max_bins), band(num_frames, max_frames)) for _ in range(number)]


def hide_at_random(
    features: torch.Tensor,
    most: int,
    probability: float,
    max_bins: float,
    max_frames: float,
    generator: torch.Generator,
) -> torch.Tensor:
    """With `probability`, `hide` of what `draw_masks` draws; otherwise the spectrogram (T, F) as it is.

    Raises:
        ValueError: a waveform, which has no bands.
    """
    check_spectrogram(features, "augment.random_masks", 2)
    if _uniform(generator) >= probability:
        return features
    return hide(features, draw_masks(*features.shape, most, max_bins, max_frames, generator))


def _uniform(generator: torch.Generator) -> float:
    """In [0, 1), with the precision of a Python number."""
    return torch.rand((), dtype=torch.float64, generator=generator).item()
