"""What files of annotations are read into before it becomes sound events: rows that know where they stand."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterable

from .events import SoundEvent

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Row:
    """One annotated event as it stands in a file.

    Attributes:
        place: file and line, or file and observation, for messages.
        onset, offset: in seconds.
        label: its class.
        confidence: of a detector, None where there is none.
    """

    place: str
    onset: float
    offset: float
    label: str
    confidence: float | None = None


def finite_number(text: str) -> float | None:
    """A number that a file holds as text, None where it is none or not finite."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def seconds_of(text: str, column: str, place: str) -> float:
    """A time that a file holds as text.

    Raises:
        ValueError: a decimal comma, no number, or one that is not finite.
    """
    number = finite_number(text)
    if number is not None:
        return number
    if finite_number(text.replace(",", ".", 1)) is not None:
        raise ValueError(f"{place}: {column} is {text!r}: write it with a decimal point, not with a comma")
    raise ValueError(f"{place}: {column} is {text!r}: expected a number of seconds")


def events_of(rows: Iterable[Row], name: str) -> list[SoundEvent]:
    """The events in order of (onset, offset, label). Rows that last no time are left out, and counted in one warning.

    Args:
        name: of the file, for the warning.
    Raises:
        ValueError: an event without a label, one that starts before 0, or one that ends before its start.
    """
    events, empty = [], 0
    for row in rows:
        if not row.label:
            raise ValueError(f"{row.place}: the event from {row.onset} s to {row.offset} s has no label")
        if row.onset < 0 or row.offset < row.onset:
            raise ValueError(
                f"{row.place}: {row.label!r} lasts from {row.onset} s to {row.offset} s: an event must start at 0 or "
                "later, and end after its start"
            )
        if row.onset == row.offset:
            empty += 1
            continue
        events.append(SoundEvent(row.onset, row.offset, row.label, row.confidence))
    if empty:
        logger.warning("%s: left out %d events whose offset is their onset", name, empty)
    return sorted(events, key=lambda event: (event.onset, event.offset, event.label))
