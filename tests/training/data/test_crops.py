"""Clips cut and filled to a length."""

import pytest
import torch

from training.data.crops import cut, fill_with_minimum, fit_from_anywhere, fit_from_the_middle, wrap


def clip(num_frames: int) -> torch.Tensor:
    """(T, 2) whose first column counts the frames."""
    frames = torch.arange(float(num_frames))
    return torch.stack([frames, frames + 0.5], dim=1)


def frames_of(features: torch.Tensor) -> list[int]:
    return features[:, 0].int().tolist()


def test_a_short_clip_is_repeated_to_both_sides():
    assert frames_of(wrap(clip(3), 6)) == [2, 0, 1, 2, 0, 1]  # one of three missing frames on the left
    assert frames_of(wrap(clip(2), 9)) == [1, 0, 1, 0, 1, 0, 1, 0, 1]
    assert wrap(torch.tensor([5.0, 6.0]), 4).tolist() == [6, 5, 6, 5]


def test_or_filled_with_its_smallest_value():
    filled = fill_with_minimum(clip(3) + 7, 6)
    assert filled[:, 0].tolist() == [7, 7, 8, 9, 7, 7]
    assert filled[:, 1].tolist() == [7, 7.5, 8.5, 9.5, 7, 7]


@pytest.mark.parametrize("fill", [wrap, fill_with_minimum])
def test_a_long_clip_is_not_filled(fill):
    assert torch.equal(fill(clip(5), 5), clip(5))
    assert torch.equal(fill(clip(5), 4), clip(5))


def test_evaluation_takes_the_middle():
    assert frames_of(fit_from_the_middle(clip(7), 4)) == [1, 2, 3, 4]
    assert frames_of(fit_from_the_middle(clip(3), 6)) == frames_of(wrap(clip(3), 6))
    assert torch.equal(fit_from_the_middle(clip(4), 4), clip(4))


def test_every_start_is_equally_likely():
    generator = torch.Generator().manual_seed(0)
    starts = [frames_of(fit_from_anywhere(clip(7), 4, 0.5, generator))[0] for _ in range(4000)]
    counts = torch.bincount(torch.tensor(starts))
    assert len(counts) == 4  # the last one too
    assert counts.min() > 900
    assert frames_of(cut(clip(7), 4, 3)) == [3, 4, 5, 6]


def test_share_of_clips_that_are_filled_with_their_minimum():
    generator = torch.Generator().manual_seed(0)
    filled = [
        torch.equal(fit_from_anywhere(clip(3), 6, 0.25, generator), fill_with_minimum(clip(3), 6)) for _ in range(4000)
    ]
    assert sum(filled) / 4000 == pytest.approx(0.25, abs=0.03)
    assert torch.equal(fit_from_anywhere(clip(3), 6, 0.0, generator), wrap(clip(3), 6))
