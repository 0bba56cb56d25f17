"""A sound event with its place in time, and what models learn from a list of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import torch

from ..configuration_audio_encoder import AudioEncoderConfig
from ..encoder import step_intervals


@dataclasses.dataclass(frozen=True, order=True)
class SoundEvent:
    """
    Args:
        onset, offset: in seconds from the start of the recording.
        label: its class.
        confidence: of a detector, None for what people or generators annotated.
    Raises:
        ValueError: an event that starts before the recording or does not end after its start.
    """

    onset: float
    offset: float
    label: str
    confidence: float | None = None

    def __post_init__(self):
        if not 0 <= self.onset < self.offset:
            raise ValueError(
                f"an event {self.label!r} lasts from {self.onset} s to {self.offset} s: it must start at 0 or later, "
                "and end after its start"
            )


def clip_targets(events: Iterable[SoundEvent], classes: Sequence[str]) -> torch.Tensor:
    """(C,) float, 1 for each class that is heard. Raises ValueError as `frame_targets`."""
    number = _numbers(events, classes)
    return torch.zeros(len(classes)).index_fill_(0, torch.tensor(sorted(set(number)), dtype=torch.long), 1.0)


def frame_targets(events: Iterable[SoundEvent], classes: Sequence[str], intervals: torch.Tensor) -> torch.Tensor:
    """(S, C) float, 1 where a class is heard during any part of a step.

    Args:
        intervals: (S, 2) where the steps lie, in seconds; see `step_intervals`. Step f of hop h is [f h, (f + 1) h).
    Raises:
        ValueError: a label that is not among the classes; all of these are listed.
    """
    events = list(events)
    numbers = _numbers(events, classes)
    targets = torch.zeros(len(intervals), len(classes))
    starts, ends = intervals.unbind(dim=1)
    for event, number in zip(events, numbers, strict=True):
        targets[(starts < event.offset) & (ends > event.onset), number] = 1.0
    return targets


def step_targets(
    events: Iterable[SoundEvent], classes: Sequence[str], config: AudioEncoderConfig, num_steps: int
) -> torch.Tensor:
    """`frame_targets` (S, C) for the steps of an encoder."""
    return frame_targets(events, classes, step_intervals(config, num_steps))


def polyphony(events: Iterable[SoundEvent]) -> list[tuple[float, int]]:
    """Where the number of events that sound at once changes: (seconds, number from there on), in time order.

    An event that ends where another one starts does not overlap it.
    """
    changes: dict[float, int] = {}
    for event in events:
        changes[event.onset] = changes.get(event.onset, 0) + 1
        changes[event.offset] = changes.get(event.offset, 0) - 1
    number, course = 0, []
    for seconds, change in sorted(changes.items()):
        number += change
        if change:
            course.append((seconds, number))
    return course


def max_polyphony(events: Iterable[SoundEvent]) -> int:
    """The largest number of events that sound at once."""
    return max((number for _, number in polyphony(events)), default=0)


def _numbers(events: Iterable[SoundEvent], classes: Sequence[str]) -> list[int]:
    number = {name: index for index, name in enumerate(classes)}
    labels = [event.label for event in events]
    if unknown := sorted(set(labels) - set(number)):
        raise ValueError(f"labels that are not among the {len(classes)} classes: {', '.join(unknown)}")
    return [number[label] for label in labels]
