"""What the README of a case says of its numbers: rules for weights, recorded parts of tensors, constants of a run."""

from __future__ import annotations

import dataclasses
import fnmatch
import pathlib
import re
import zlib

import torch

from .inputs import NUMBER

GAINS = ("norm.weight", "norm1.weight", "norm2.weight")
WEIGHT_DRAW = re.compile(rf"torch\.randn\(\s*shape\s*,\s*generator\s*=\s*\w+\s*\)\s*\*\s*({NUMBER})")
WEIGHT_DRAW_REVERSED = re.compile(rf"({NUMBER})\s*\*\s*torch\.randn\(\s*shape")
GAIN_OFFSET = re.compile(rf"plus\s+({NUMBER})\s+(?:for|where)")
GAIN_ENDINGS = re.compile(r"keys?\s+ending\s+in\s+((?:`[\w.]+`(?:\s*,\s*|\s+and\s+|\s+or\s+)?)+)")
KEY_PREFIX = re.compile(
    r"carry\s+the\s+`([\w.]+)`\s+prefix|(?:with\s+the\s+key|including\s+the)\s+prefix\s+`([\w.]+)`", re.I
)

BACKTICKED = re.compile(r"`([^`\n]+)`")
PART = re.compile(
    r"\[(?P<slices>[\d:,\s-]*:[\d:,\s-]*)\]|every\s+(?P<every>\d+)(?:st|nd|rd|th)\b|first\s+(?P<channels>\d+)\s+channels"
)


def stated(text: str, pattern: str) -> re.Match:
    """The first match of a pattern, in which `N` stands for a number (a group) and a blank for any white space.

    Raises:
        ValueError: the text has no such place.
    """
    match = re.search(re.sub(r"\bN\b", lambda _: f"({NUMBER})", pattern).replace(" ", r"\s+"), text)
    if match is None:
        raise ValueError(f"the README and config.json of the case do not state {pattern!r}")
    return match


def numbers(text: str, pattern: str) -> list[float]:
    """The groups of a match of `stated` as numbers."""
    return [float(group) for group in stated(text, pattern).groups()]


def key_prefix(text: str, default: str = "") -> str:
    """What the text puts before the names of weights that are filled by rule."""
    match = KEY_PREFIX.search(text)
    return default if match is None else match[1] or match[2]


@dataclasses.dataclass(frozen=True)
class WeightRule:
    """Weights drawn from a normal distribution, seeded by the CRC of each official name, whatever the order.

    Args:
        scale: its standard deviation.
        gain: added to the weights of norms.
        gains: endings of their names.
    """

    scale: float
    gain: float
    gains: tuple[str, ...]

    def value(self, name: str, shape: torch.Size) -> torch.Tensor:
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        value = torch.randn(shape, generator=generator) * self.scale
        return value + self.gain if name.endswith(self.gains) else value


def weight_rule(text: str, gains: tuple[str, ...] = GAINS) -> WeightRule:
    """The rule that a text states.

    Args:
        gains: endings of the names of norms, where the text lists none.
    Raises:
        ValueError: it states none.
    """
    draw = WEIGHT_DRAW.search(text) or WEIGHT_DRAW_REVERSED.search(text)
    offset, endings = GAIN_OFFSET.search(text), GAIN_ENDINGS.search(text)
    if draw is None or offset is None:
        raise ValueError("the case states no rule for its weights: `torch.randn(shape, ...) * N`, plus N for norms")
    listed = tuple(BACKTICKED.findall(endings[1])) if endings else gains
    return WeightRule(float(draw[1]), float(offset[1]), listed)


def part(path: pathlib.Path, text: str, name: str) -> tuple:
    """Which part of a tensor is recorded under `name`: an index, from what stands behind the name in the text.

    A text that does not name it may say it once for all that is recorded.

    Raises:
        ValueError: it does not.
    """
    mention = next((match for match in BACKTICKED.finditer(text) if fnmatch.fnmatch(name, match[1])), None)
    found = PART.search(text, mention.end() if mention else 0)
    if found is None:
        raise ValueError(f"{path} does not state which part {name} is: expected [:, ::N] or every Nth token")
    if found["every"]:
        return slice(None), slice(None, None, int(found["every"]))
    if found["channels"]:
        return ..., slice(int(found["channels"]))
    return tuple(_slice(axis.strip()) for axis in found["slices"].split(","))


def _slice(axis: str) -> slice | int:
    if ":" not in axis:
        return int(axis)
    return slice(*(int(bound) if bound.strip() else None for bound in axis.split(":")))
