"""SpecAugment of GISE-51: ranges by hand, their limits, and how often there are any."""

import pytest
import torch

from training.data.random_masks import Band, Mask, draw_masks, hide, hide_at_random


def test_a_band_is_truncated_like_the_reference():
    assert Band(fraction=0.29, start=3.9).within(10) == slice(3, 5)
    assert Band(fraction=0.09, start=3.9).within(10) == slice(3, 3)


def test_bands_have_the_smallest_value_that_there_was():
    features = torch.arange(20.0).view(5, 4) + 1
    masks = [Mask(Band(0.25, 2.0), Band(0.2, 1.5)), Mask(Band(0.0, 0.0), Band(0.4, 3.0))]
    expected = features.clone()
    expected[:, 2] = 1
    expected[[1, 3, 4]] = 1
    assert torch.equal(hide(features, masks), expected)
    assert features[0, 2] == 3  # a copy


def test_number_and_size_of_what_is_drawn():
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_masks(200, 100, 3, 0.15, 0.2, generator) for _ in range(1500)]
    numbers = torch.bincount(torch.tensor([len(masks) for masks in drawn]))
    assert numbers[0] == 0
    assert numbers[1:].min() > 430
    for masks in drawn:
        for mask in masks:
            bins, frames = mask.bins.within(100), mask.frames.within(200)
            assert 0 <= bins.start <= bins.stop <= 100
            assert bins.stop - bins.start < 15
            assert 0 <= frames.start <= frames.stop <= 200
            assert frames.stop - frames.start < 40
    widths = torch.tensor([mask.frames.fraction for masks in drawn for mask in masks])
    assert widths.mean() == pytest.approx(0.1, abs=0.005)


def test_share_of_clips():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 30)
    found = [hide_at_random(features, 2, 0.3, 0.5, 0.5, generator) is features for _ in range(2000)]
    assert sum(found) / 2000 == pytest.approx(0.7, abs=0.03)


def test_waveforms_have_no_bands():
    with pytest.raises(ValueError, match=r"augment\.random_masks is made for spectrograms, but .* hears waveforms"):
        hide_at_random(torch.zeros(100), 2, 0.5, 0.15, 0.2, torch.Generator())
