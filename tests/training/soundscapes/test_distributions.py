import math

import numpy
import pytest
from scipy.stats import kstest, norm, truncnorm, uniform

from training.soundscapes.distributions import check_distribution, draw, lowest, narrowed

EXPECTED = [
    (["uniform", -1.0, 3.0], uniform(-1, 4)),
    (["normal", 2.0, 0.5], norm(2, 0.5)),
    (["truncnorm", 2.0, 0.5, 1.8, 4.0], truncnorm(-0.4, 4.0, 2.0, 0.5)),
]


@pytest.mark.parametrize(("distribution", "expected"), EXPECTED, ids=lambda value: str(value)[:12])
def test_values_are_distributed_as_the_name_says(distribution, expected):
    random = numpy.random.default_rng(0)
    assert kstest([draw(distribution, random) for _ in range(2000)], expected.cdf).pvalue > 1e-3


def test_choices_are_equally_likely():
    random = numpy.random.default_rng(0)
    values = [draw(["choose", 1, 2.5, 4], random) for _ in range(3000)]
    assert [values.count(value) / 3000 for value in (1, 2.5, 4)] == pytest.approx([1 / 3] * 3, abs=0.03)


@pytest.mark.parametrize("constant", [3, 3.0, ["uniform", 3.0, 3.0]])
def test_a_constant_takes_nothing_from_the_generator(constant):
    random = numpy.random.default_rng(0)
    assert draw(constant, random) == 3.0
    assert random.random() == numpy.random.default_rng(0).random()


def test_lower_bounds():
    distributions = [2, ["uniform", 1, 3], ["normal", 5, 1], ["truncnorm", 5, 1, 4, 6], ["choose", 4, 2, 9]]
    assert [lowest(distribution) for distribution in distributions] == [2, 1, -math.inf, 4, 2]


def test_a_uniform_start_keeps_its_shape_below_the_latest_one():
    assert narrowed(["uniform", 1.0, 140.0], 3.0) == ["uniform", 1.0, 3.0]
    assert narrowed(["uniform", 5.0, 140.0], 3.0) == ["uniform", 3.0, 3.0]
    assert narrowed(["choose", 1.0, 140.0], 3.0) == ["choose", 1.0, 140.0]
    assert narrowed(7.0, 3.0) == 7.0


@pytest.mark.parametrize(
    ("distribution", "message"),
    [
        (["gauss", 0, 1], r"mixture.snr is \['gauss', 0, 1\]: give a number, \[uniform, low, high\]"),
        (["uniform", 0], "give a number"),
        (["choose"], "give a number"),
        (["choose", "loud"], "give a number"),
        ([], "give a number"),
        ([["uniform"], 0, 1], "give a number"),
        ("uniform", "give a number"),
        (None, "give a number"),
        (True, "give a number"),
        (math.nan, "give a number"),
        (["uniform", 3, 1], "the first bound must not be above the second"),
        (["truncnorm", 0, 1, 2, 2], "the first bound must be below the second"),
        (["normal", 0, 0], "the deviation must be above 0"),
    ],
)
def test_what_is_no_distribution(distribution, message):
    with pytest.raises(ValueError, match=message):
        check_distribution("mixture.snr", distribution)


@pytest.mark.parametrize("distribution", [0, -2.5, ["choose", 1], *(given for given, _ in EXPECTED)], ids=str)
def test_what_is_one(distribution):
    check_distribution("mixture.snr", distribution)
