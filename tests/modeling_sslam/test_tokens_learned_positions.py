"""A learned table of positions, cut and stretched."""

import pytest
import torch

from modeling_sslam.tokens_learned_positions import fit_positions

ROWS, COLUMNS = 3, 6
# Row + column / 10 of a cell, so that a result says where it was taken from.
TABLE = (torch.arange(ROWS)[:, None] + torch.arange(COLUMNS) / 10)[..., None]


def fit(num_time: int, num_frequency: int = ROWS, how: str = "centre", **kwargs) -> torch.Tensor:
    """(time, frequency) of the fitted table."""
    return fit_positions(TABLE, num_time, num_frequency, how, **kwargs)[:, 0].unflatten(0, (num_time, num_frequency))


@pytest.mark.parametrize("how", ["centre", "start"])
def test_a_clip_as_long_as_the_table_has_it_as_it_is(how):
    assert torch.equal(fit(COLUMNS, how=how), TABLE[..., 0].T)


@pytest.mark.parametrize(("num_time", "first"), [(2, 2), (3, 2), (4, 1), (5, 1)])
def test_a_shorter_clip_has_the_middle_of_the_table(num_time, first):
    assert torch.equal(fit(num_time), TABLE[:, first : first + num_time, 0].T)


def test_from_the_start_a_position_does_not_depend_on_the_length():
    for num_time in range(1, COLUMNS):
        assert torch.equal(fit(num_time, how="start"), TABLE[:, :num_time, 0].T)


def test_a_longer_clip_stretches_the_table():
    expected = torch.tensor([0.0, 0.025, 0.075, 0.125])  # of twice as many columns, half a column aside
    torch.testing.assert_close(fit(2 * COLUMNS)[:4, 0], expected)
    with pytest.raises(ValueError, match="the clip has 7 time steps, and the learned positions reach 6: cut the clip"):
        fit(7, how="start")


def test_fewer_frequencies_than_rows_take_the_middle_rows():
    """Where the reference cuts as many rows as there are time steps, and fails."""
    assert torch.equal(fit(COLUMNS, 1), TABLE[1:2, :, 0].T)
    assert torch.equal(fit(4, 2), TABLE[0:2, 1:5, 0].T)


def test_more_frequencies_than_rows_stretch_the_table():
    torch.testing.assert_close(fit(COLUMNS, 2 * ROWS)[0], torch.tensor([0.0, 0.25, 0.75, 1.25, 1.75, 2.0]))


def test_eight_rows_matter_only_on_the_way_to_more_time_steps():
    assert torch.equal(fit(4, via_eight_rows=True), fit(4))
    detour = fit(9, via_eight_rows=True)
    assert detour.shape == fit(9).shape
    assert not torch.allclose(detour, fit(9), atol=1e-3)


def test_half_precision_is_stretched_in_float32():
    half = fit_positions(TABLE.bfloat16(), 9, ROWS, "centre")
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), fit_positions(TABLE, 9, ROWS, "centre"), atol=2e-2, rtol=0)
