"""Masks in their two spellings, and the indexing that goes with them."""

import re

import pytest
import torch

from modeling_sslam.tokens_masks import (
    gather_tokens,
    kept_tokens,
    masked_positions,
    masked_tokens,
    resolve_mask,
    reverse_tokens,
)

MASK = torch.tensor([[True, False, True, False], [False, False, True, True]])
KEPT = torch.tensor([[1, 3], [0, 1]])
CPU = torch.device("cpu")


def resolve(bool_masked_pos=None, kept_indices=None, num_rows: int = 2, clones: bool = False) -> torch.Tensor:
    return resolve_mask(bool_masked_pos, kept_indices, num_rows, 4, CPU, clones=clones)


def test_kept_and_masked_tokens_are_ascending_and_complete():
    assert kept_tokens(MASK).tolist() == KEPT.tolist()
    assert masked_tokens(KEPT, 4).tolist() == [[0, 2], [2, 3]]
    assert kept_tokens(MASK).dtype == masked_tokens(KEPT, 4).dtype == torch.int64


def test_masked_tokens_are_ascending_in_whichever_order_the_others_are_kept():
    shuffled = torch.tensor([[4, 0, 3], [1, 0, 2]])
    assert masked_tokens(shuffled, 6).tolist() == [[1, 2, 5], [3, 4, 5]]


def test_masked_positions_are_the_mask():
    assert torch.equal(masked_positions(KEPT, 4), MASK)
    assert torch.equal(masked_positions(KEPT.flip(1), 4), MASK)


def test_the_spellings_are_inverse_to_each_other(generator):
    noise = torch.rand(7, 250, generator=generator)
    mask = noise >= noise.sort(dim=1).values[:, 50, None]
    kept = kept_tokens(mask)
    assert kept.shape == (7, 50)
    assert torch.equal(masked_positions(kept, 250), mask)
    together = torch.cat([kept, masked_tokens(kept, 250)], dim=1).sort(dim=1).values
    assert torch.equal(together, torch.arange(250).expand(7, -1))


def test_rows_that_differ_and_sides_that_are_empty_are_refused():
    with pytest.raises(ValueError, match="rows mask 1 to 2 of 3"):
        kept_tokens(torch.tensor([[True, False, False], [True, True, False]]))
    with pytest.raises(ValueError, match="masks 3 of 3 tokens: at least one must stay visible and one be masked"):
        kept_tokens(torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="masks 0 of 3 tokens: at least one must stay visible and one be masked"):
        kept_tokens(torch.zeros(2, 3, dtype=torch.bool))


def test_a_mask_is_resolved_to_kept_tokens_in_either_spelling():
    assert torch.equal(resolve(MASK), KEPT)
    shuffled = KEPT.flip(1)
    assert torch.equal(resolve(kept_indices=shuffled), shuffled)


def test_clones_are_several_rows_a_clip():
    assert torch.equal(resolve(MASK, num_rows=1, clones=True), KEPT)
    assert torch.equal(resolve(kept_indices=KEPT, num_rows=1, clones=True), KEPT)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "pretraining needs one mask, but got neither: pass bool_masked_pos or kept_indices"),
        (
            {"bool_masked_pos": MASK, "kept_indices": KEPT},
            "pretraining needs one mask, but got both: pass bool_masked_pos or kept_indices",
        ),
        (
            {"bool_masked_pos": MASK[:, 1:]},
            "bool_masked_pos has shape (2, 3): expected 2 rows (clips) and 4 columns (patches)",
        ),
        (
            {"bool_masked_pos": MASK, "num_rows": 1},
            "bool_masked_pos has shape (2, 4): expected 1 rows (clips) and 4 columns (patches)",
        ),
        (
            {"bool_masked_pos": MASK, "num_rows": 3, "clones": True},
            "bool_masked_pos has shape (2, 4): expected a multiple of 3 rows (clips times clones) and 4 columns",
        ),
        ({"bool_masked_pos": torch.ones(2, 4, dtype=torch.bool)}, "bool_masked_pos masks 4 of 4 tokens"),
        (
            {"kept_indices": KEPT, "num_rows": 1},
            "kept_indices has shape (2, 2), but there are 1 clips of 4 patches: keep some of each clip and mask some",
        ),
        (
            {"kept_indices": KEPT, "num_rows": 4, "clones": True},
            "kept_indices has shape (2, 2), but there are 4 clips of 4 patches",
        ),
        ({"kept_indices": KEPT[:, :0]}, "kept_indices has shape (2, 0), but there are 2 clips of 4 patches"),
        (
            {"kept_indices": torch.arange(4).expand(2, -1)},
            "kept_indices has shape (2, 4), but there are 2 clips of 4 patches",
        ),
    ],
)
def test_masks_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        resolve(**arguments)


def test_gather_tokens_picks_rows():
    tokens = torch.arange(12.0).reshape(2, 3, 2)
    assert gather_tokens(tokens, torch.tensor([[2], [0]])).tolist() == [[[4, 5]], [[6, 7]]]


def test_turning_leaves_padding_in_place_and_is_its_own_inverse():
    turned = reverse_tokens(torch.arange(5) < torch.tensor([[3], [5]]))
    assert turned.tolist() == [[2, 1, 0, 3, 4], [4, 3, 2, 1, 0]]
    assert torch.equal(turned.gather(1, turned), torch.arange(5).expand(2, -1))
