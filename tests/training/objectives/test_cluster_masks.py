"""SSAST's masks: what the official clusters are like, and what the unbiased ones are not."""

import random

import pytest
import torch

from training.objectives.cluster_masks import (
    SAMPLERS,
    cluster_mask,
    official_cluster_indices,
    time_major,
    unbiased_cluster_mask,
    uniform_mask,
)

GRID = (64, 8)


def draw(sampler, rows: int = 500, grid: tuple[int, int] = GRID, num_masked: int = 400, seed: int = 0) -> torch.Tensor:
    return sampler(rows, grid, num_masked, torch.Generator().manual_seed(seed))


def neighbours(masks: torch.Tensor, grid: tuple[int, int] = GRID) -> float:
    """Share of pairs side by side in time that are both masked."""
    cells = masks.unflatten(1, grid).float()
    return (cells[:, 1:] * cells[:, :-1]).mean().item()


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
def test_every_row_masks_as_many_and_a_seed_gives_the_same(sampler):
    for num_masked in (1, 100, 400, 510):
        masks = draw(sampler, 20, num_masked=num_masked)
        assert masks.dtype == torch.bool
        assert masks.sum(dim=1).tolist() == [num_masked] * 20
    assert torch.equal(draw(sampler, 4), draw(sampler, 4))
    assert not torch.equal(draw(sampler, 4), draw(sampler, 4, seed=1))


def test_official_clusters_spare_the_first_patch_and_the_lowest_frequencies():
    masks = draw(cluster_mask)
    assert not masks[:, 0].any()
    rates = masks.unflatten(1, GRID).float().mean(dim=(0, 1))
    published = [0.416, 0.670, 0.813, 0.872, 0.890, 0.887, 0.884, 0.819]
    torch.testing.assert_close(rates, torch.tensor(published), atol=0.01, rtol=0)


def test_unbiased_clusters_mask_every_patch_alike_and_lie_together():
    masks = draw(unbiased_cluster_mask, rows=4000, num_masked=100)
    rates, share = masks.float().mean(dim=0), 100 / 512
    assert (rates - share).abs().max() < 5 * (share * (1 - share) / 4000) ** 0.5
    assert neighbours(masks) > 3 * neighbours(draw(uniform_mask, rows=4000, num_masked=100))


def test_official_draws_have_the_probabilities_of_the_batched_ones():
    grid, num_masked, num_clips = (10, 8), 30, 2000
    numbers = random.Random(0)
    counts = torch.zeros(80)
    for _ in range(num_clips):
        counts[time_major(torch.tensor(official_cluster_indices(numbers, grid, num_masked)), grid)] += 1
    batched = draw(cluster_mask, num_clips, grid, num_masked).float().mean(dim=0)
    torch.testing.assert_close(counts / num_clips, batched, atol=0.06, rtol=0)


def test_official_indices_count_frequency_by_frequency():
    assert time_major(torch.tensor([0, 1, 64, 511]), GRID).tolist() == [0, 8, 1, 511]


@pytest.mark.parametrize("sampler", [cluster_mask, unbiased_cluster_mask])
@pytest.mark.parametrize("num_masked", [0, 31, 400])
def test_more_patches_than_clusters_can_cover_are_refused(sampler, num_masked):
    """The reference never returns."""
    message = rf"num_masked is {num_masked}, but of the 8 x 4 = 32 patches .* at most 30 can be masked: mask fewer"
    with pytest.raises(ValueError, match=message):
        draw(sampler, 2, (8, 4), num_masked)
    with pytest.raises(ValueError, match=message):
        official_cluster_indices(random.Random(0), (8, 4), num_masked)
    assert draw(sampler, 2, (8, 4), 30).sum(dim=1).tolist() == [30, 30]


def test_frames_can_all_but_one_be_masked():
    assert draw(uniform_mask, 2, (32, 1), 31).sum(dim=1).tolist() == [31, 31]
    with pytest.raises(ValueError, match="num_masked is 32, but of the 32 x 1 = 32 patches .* at most 31"):
        draw(uniform_mask, 2, (32, 1), 32)
