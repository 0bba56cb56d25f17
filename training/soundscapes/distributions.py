"""The distributions that a recipe for soundscapes names, as numbers or lists: those of Scaper."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy
from scipy.stats import truncnorm

Distribution = list | float | int

# Name -> how many numbers follow it; None for one or more values of any kind.
NUMBERS = {"uniform": 2, "normal": 2, "truncnorm": 4, "choose": None}


def check_distribution(name: str, distribution: Distribution) -> None:
    """Raises ValueError, with the field's name, for what is no distribution."""
    if _is_number(distribution):
        return
    kind, *numbers = distribution if isinstance(distribution, (list, tuple)) and distribution else [None]
    wanted = NUMBERS.get(kind) if isinstance(kind, str) else None
    right_count = bool(numbers) if kind == "choose" else len(numbers) == wanted
    if not right_count or not all(map(_is_number, numbers)):
        raise ValueError(
            f"{name} is {distribution!r}: give a number, [uniform, low, high], [normal, mean, deviation], "
            "[truncnorm, mean, deviation, low, high] or [choose, number, ...]"
        )
    if kind == "uniform" and numbers[0] > numbers[1]:
        raise ValueError(f"{name} is {distribution!r}: the first bound must not be above the second")
    if kind == "truncnorm" and numbers[2] >= numbers[3]:
        raise ValueError(f"{name} is {distribution!r}: the first bound must be below the second")
    if kind in ("normal", "truncnorm") and numbers[1] <= 0:
        raise ValueError(f"{name} is {distribution!r}: the deviation must be above 0")


def draw(distribution: Distribution, random: numpy.random.Generator) -> float:
    """One value. A number, or a range of one number, takes nothing from the generator."""
    if isinstance(distribution, (int, float)):
        return float(distribution)
    kind, *numbers = distribution
    return float(_DRAWS[kind](numbers, random))


def lowest(distribution: Distribution) -> float:
    """The lower bound of the values; minus infinity for a normal distribution."""
    if isinstance(distribution, (int, float)):
        return distribution
    kind, *numbers = distribution
    return {"uniform": numbers[0], "normal": -math.inf, "truncnorm": numbers[-2:][0], "choose": min(numbers)}[kind]


def narrowed(distribution: Distribution, highest: float) -> Distribution:
    """The distribution of a start that must not be later than `highest`.

    The bounds of a uniform one are reduced, so that it stays uniform (Scaper); values of others are clipped by
    whoever draws them.
    """
    if isinstance(distribution, (int, float)) or distribution[0] != "uniform":
        return distribution
    return ["uniform", *(min(bound, highest) for bound in distribution[1:])]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _uniform(numbers: list[float], random: numpy.random.Generator) -> float:
    low, high = numbers
    return low if low == high else random.uniform(low, high)


def _normal(numbers: list[float], random: numpy.random.Generator) -> float:
    mean, deviation = numbers
    return random.normal(mean, deviation)


def _truncated(numbers: list[float], random: numpy.random.Generator) -> float:
    mean, deviation, low, high = numbers
    bounds = (low - mean) / deviation, (high - mean) / deviation
    return truncnorm.ppf(random.random(), *bounds, loc=mean, scale=deviation)


def _choice(numbers: list[float], random: numpy.random.Generator) -> float:
    return numbers[random.integers(len(numbers))]


_DRAWS: dict[str, Callable[[list[float], numpy.random.Generator], float]] = {
    "uniform": _uniform,
    "normal": _normal,
    "truncnorm": _truncated,
    "choose": _choice,
}
