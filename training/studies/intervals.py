"""Means of a few runs with their uncertainty."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy
from scipy import stats

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Interval:
    """The mean of runs that differ in their seed, and half the width of its confidence interval of Student's t."""

    mean: float
    half_width: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.half_width:.1f}"


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Mean and confidence interval; for the difference of two arms give their differences, seed by seed.

    Raises:
        ValueError: less than two values, which say nothing about how much they vary.
    """
    if len(values) < 2:
        raise ValueError(f"an interval needs at least 2 values, got {len(values)}: give more seeds")
    quantile = stats.t.ppf((1 + confidence) / 2, len(values) - 1)
    return Interval(float(numpy.mean(values)), float(quantile * stats.sem(values)))
