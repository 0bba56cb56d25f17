"""Intervals over seeds, by hand."""

import pytest

from training.studies.intervals import Interval, interval


def test_three_values_by_hand():
    """Deviation 2 and Student's t of 4.303 at two degrees of freedom: 4.303 * 2 / sqrt(3) = 4.968."""
    found = interval([58.0, 60.0, 62.0])
    assert found.mean == 60.0
    assert found.half_width == pytest.approx(4.968, abs=1e-3)
    assert str(found) == "60.0 ± 5.0"


def test_lower_confidence_is_a_smaller_interval():
    assert interval([1.0, 2.0, 3.0], 0.5).half_width < interval([1.0, 2.0, 3.0]).half_width


def test_runs_that_agree_have_no_width():
    assert interval([3.0, 3.0]) == Interval(3.0, 0.0)


def test_one_run_has_no_interval():
    with pytest.raises(ValueError, match="an interval needs at least 2 values, got 1: give more seeds"):
        interval([58.0])
