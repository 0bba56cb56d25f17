"""Means over seeds with their intervals, and paired differences between the arms of a study."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from scipy import stats

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds, and half the width of its 95 % interval by Student's t; infinite for a single seed."""

    mean: float
    half_width: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.1f}" if math.isinf(self.half_width) else f"{self.mean:.1f} ± {self.half_width:.1f}"

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return abs(self.mean) > self.half_width

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON, which has no infinity."""
        half_width = None if math.isinf(self.half_width) else self.half_width
        return {"mean": self.mean, "half_width": half_width, "count": self.count}


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of what several seeds gave.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("there are no values to take a mean of")
    count, mean = len(values), math.fsum(values) / len(values)
    if count == 1:
        return Estimate(mean, math.inf, 1)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1))
    return Estimate(mean, quantile * math.sqrt(variance / count), count)


def paired_difference(arm: Mapping[int, float], baseline: Mapping[int, float]) -> Estimate:
    """Mean over seeds of an arm less its baseline under the same seed.

    Raises:
        ValueError: the two have different seeds.
    """
    if arm.keys() != baseline.keys():
        raise ValueError(
            f"a paired difference needs the same seeds on both sides, got {sorted(arm)} and {sorted(baseline)}"
        )
    return estimate([arm[seed] - baseline[seed] for seed in arm])
