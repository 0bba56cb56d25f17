"""How many events sound at once, as Scaper counts it (Salamon et al., WASPAA 2017, section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy

from modeling_sslam.annotations.events import SoundEvent, polyphony

HOP = 0.01  # seconds between the points at which Scaper counts, from half a hop on
LEAST = 1e-6  # events at every point, so that silence has an inequality


def polyphony_gini(events: Sequence[SoundEvent], duration: float) -> float:
    """One minus the Gini coefficient of the number of events over time: 1 where it never changes, near 0 for a click.

    0 without events. This is that of Scaper 1.6; the one of 2017, in the JAMS of URBAN-SED, counts at other points,
    with differences up to 3e-3.

    Args:
        duration: of the soundscape in seconds.
    """
    if not events:
        return 0.0
    times = numpy.arange(0.0, duration, HOP) + HOP / 2
    starts = numpy.searchsorted(times, [event.onset for event in events], side="left")
    ends = numpy.searchsorted(times, [event.offset for event in events], side="right")
    changes = numpy.bincount(starts, minlength=len(times) + 1) - numpy.bincount(ends, minlength=len(times) + 1)
    number = numpy.sort(numpy.cumsum(changes[:-1]) + LEAST)
    rank = 2 * numpy.arange(1, len(number) + 1) - len(number) - 1
    return float(1.0 - (rank * number).sum() / (len(number) * number.sum()))


def seconds_by_polyphony(events: Iterable[SoundEvent], duration: float) -> dict[int, float]:
    """Seconds in which no event, one, two, ... sound at once; what lies behind `duration` seconds does not count."""
    seconds: dict[int, float] = {}
    before, number = 0.0, 0
    for change, following in [*polyphony(events), (duration, 0)]:
        time = min(change, duration)
        if time > before:
            seconds[number] = seconds.get(number, 0.0) + time - before
        before, number = time, following
    return seconds
