"""Masks that are drawn for a whole batch at once."""

import pytest
import torch

from training.objectives.masks import inverse_block_mask, num_blocks, num_kept_tokens, shuffled_patches

GRID = (64, 8)
EAT = {"mask_prob": 0.8, "mask_prob_adjust": 0.07, "block_size": 5}


def draw(rows: int, seed: int = 0, grid: tuple[int, int] = GRID, **options) -> torch.Tensor:
    return inverse_block_mask(rows, grid, generator=torch.Generator().manual_seed(seed), **(EAT | options))


def test_counts_of_the_published_recipes():
    assert num_kept_tokens(512, 0.8) == 102
    assert num_kept_tokens(512, 0.75) == 128
    assert num_blocks(512, 0.8, 0.07, 25) == 5
    assert num_blocks(512, 0.75, 0.10, 25) == 7


def test_every_row_keeps_the_same_number():
    assert (~draw(200)).sum(1).unique().tolist() == [102]


def test_the_same_seed_gives_the_same_masks_and_another_gives_others():
    assert torch.equal(draw(4), draw(4))
    assert not torch.equal(draw(4), draw(4, seed=1))


def test_a_block_that_needs_no_correction_is_a_whole_square():
    # A quarter of 20 x 5 cells is exactly one 5 x 5 block, if its centre lies on the middle column.
    visible = ~draw(500, grid=(20, 5), mask_prob=0.75, mask_prob_adjust=0.0).unflatten(1, (20, 5))
    full_rows = visible.all(2)
    squares = full_rows[full_rows.sum(1) == 5]
    assert len(squares) > 50
    for rows in squares:
        assert (rows.nonzero().squeeze(1).diff() == 1).all()


def test_block_shape_is_time_by_frequency():
    visible = ~draw(300, block_shape=(8, 3)).unflatten(1, GRID)
    along_time = (visible[:, 1:] & visible[:, :-1]).sum()
    along_frequency = (visible[:, :, 1:] & visible[:, :, :-1]).sum()
    assert along_time > 1.2 * along_frequency


@pytest.mark.parametrize("mask_prob", [0.0, 1.0, 0.999])
def test_a_mask_that_leaves_nothing_is_refused(mask_prob):
    with pytest.raises(ValueError, match=r"leaves (512|0) of 512 tokens visible: choose a mask_prob"):
        draw(2, mask_prob=mask_prob)


def test_shuffled_patches_are_in_the_order_of_their_noise():
    noise = torch.tensor([[0.5, 0.1, 0.9, 0.3], [0.2, 0.2, 0.2, 0.1]])
    kept, masked = shuffled_patches(noise, mask_ratio=0.5)
    assert kept.tolist() == [[1, 3], [3, 0]]
    assert masked.tolist() == [[0, 2], [1, 2]]


@pytest.mark.parametrize(("mask_ratio", "num_kept"), [(0.5, 125), (0.8, 50), (0.75, 62)])
def test_as_many_patches_are_kept_as_in_the_official_code(mask_ratio, num_kept):
    kept, masked = shuffled_patches(torch.rand(3, 250, generator=torch.Generator().manual_seed(0)), mask_ratio)
    assert kept.shape == (3, num_kept)
    assert torch.equal(torch.cat([kept, masked], 1).sort(1).values, torch.arange(250).expand(3, -1))


@pytest.mark.parametrize("mask_ratio", [0.0, 0.9])
def test_shuffled_patches_that_keep_or_mask_nothing_are_refused(mask_ratio):
    with pytest.raises(ValueError, match=f"mask_ratio {mask_ratio} keeps . of 4 tokens: choose a ratio"):
        shuffled_patches(torch.rand(2, 4), mask_ratio)
