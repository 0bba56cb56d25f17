"""Means over seeds and paired differences."""

import math

import pytest

from training.studies.statistics import estimate, paired_difference


def test_mean_and_interval_of_three_seeds():
    """t at 97.5 % with two degrees of freedom is 4.3027; the deviation of 1, 2, 3 is 1."""
    found = estimate([1.0, 2.0, 3.0])
    assert found.mean == pytest.approx(2.0)
    assert found.half_width == pytest.approx(4.3027 / math.sqrt(3), abs=1e-4)
    assert str(found) == "2.0 ± 2.5"
    assert not found.excludes_zero


def test_one_seed_has_no_interval():
    found = estimate([4.0])
    assert math.isinf(found.half_width)
    assert str(found) == "4.0"
    assert found.as_dict() == {"mean": 4.0, "half_width": None, "count": 1}


def test_pairs_take_away_what_the_seeds_have_in_common():
    found = paired_difference({0: 51.0, 1: 71.1, 2: 30.9}, {0: 50.0, 1: 70.0, 2: 30.0})
    assert found.mean == pytest.approx(1.0)
    assert found.excludes_zero


def test_what_cannot_be_estimated_is_refused():
    with pytest.raises(ValueError, match="no values"):
        estimate([])
    with pytest.raises(ValueError, match=r"the same seeds on both sides, got \[0\] and \[1\]"):
        paired_difference({0: 1.0}, {1: 1.0})
