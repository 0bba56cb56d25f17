"""Draws soundscapes: which sounds, which stretches of them, where and how loud.

The rules are those of the generator of GISE-51 (Yadav and Foster, arXiv 2103.12306, 2021), which are Scaper's
(Salamon et al., WASPAA 2017).
Differs from the official code: it seeds Scaper with the same number in every process, and draws the number of events
and the files from generators without a seed. Here all comes from the one generator that the caller passes.
"""

from __future__ import annotations

import numpy

from training.settings.synthesis import MixtureArguments
from training.soundscapes.distributions import Distribution, check_distribution, draw, lowest, narrowed
from training.soundscapes.soundscape import BACKGROUND, PlacedSound, Soundscape, in_time_order
from training.soundscapes.sources import SoundCollection, Source


class SoundscapeDrawer:
    """Soundscapes of two collections.

    Args:
        arguments: of the mixtures.
        events: foreground sounds.
        background: background sounds; None for soundscapes without one, whose `ref_db` is nominal.
    Raises:
        ValueError: a field that is no distribution or has impossible values, or fewer sounds or classes than events
            where none may be repeated.
    """

    def __init__(self, arguments: MixtureArguments, events: SoundCollection, background: SoundCollection | None):
        check_distributions(arguments)
        _check_variety(arguments, events)
        self.arguments, self.events, self.background = arguments, events, background
        weights = events.balancing_weights
        self.event_weights = weights if arguments.balance_classes else numpy.ones_like(weights)
        self.event_classes = numpy.unique([source.label for source in events.sources], return_inverse=True)[1]
        self.cumulative_event_weights = self.event_weights.cumsum()
        # A class and then one of its files, each as likely as any other, is one draw with these weights.
        self.cumulative_background_weights = None if background is None else background.balancing_weights.cumsum()

    def draw(self, random: numpy.random.Generator) -> Soundscape:
        """One soundscape.

        It takes from the generator, in this order: file and start of the background, number of events, their files,
        and for each event duration, stretch, start in the source, start in the soundscape, and SNR.
        """
        arguments = self.arguments
        background = [] if self.background is None else [self._draw_background(random)]
        count = int(random.integers(arguments.min_events, arguments.max_events + 1))
        sources = self._draw_sources(count, random)
        events = [draw_event(arguments, source, random) for source in sources]
        return Soundscape(
            duration=arguments.duration,
            ref_db=arguments.ref_db,
            sounds=in_time_order(background + events),
            fade_in=arguments.fade,
            fade_out=arguments.fade,
            fix_clipping=arguments.fix_clipping,
        )

    def _draw_background(self, random: numpy.random.Generator) -> PlacedSound:
        source = self.background.sources[_draw_index(self.cumulative_background_weights, random)]
        duration = self.arguments.duration
        return PlacedSound(
            label=source.label,
            source_file=source.file,
            source_time=draw_start(self.arguments.background_source_time, source.seconds, duration, random),
            event_time=0.0,
            event_duration=duration,
            snr=0.0,
            role=BACKGROUND,
        )

    def _draw_sources(self, count: int, random: numpy.random.Generator) -> list[Source]:
        """With replacement from all files, or from those that are left where files or classes may not be repeated."""
        left, cumulative, indices = self.event_weights, self.cumulative_event_weights, []
        for _ in range(count):
            index = _draw_index(cumulative, random)
            indices.append(index)
            if not self.arguments.repeat_labels:
                left = numpy.where(self.event_classes == self.event_classes[index], 0.0, left)
            elif not self.arguments.repeat_sources:
                left = numpy.where(numpy.arange(len(left)) == index, 0.0, left)
            else:
                continue
            cumulative = left.cumsum()
        return [self.events.sources[index] for index in indices]


def draw_event(arguments: MixtureArguments, source: Source, random: numpy.random.Generator) -> PlacedSound:
    """A foreground sound of a source. Fields that are numbers, or become one, take nothing from the generator."""
    duration = draw(arguments.event_duration, random)
    stretch = None if arguments.time_stretch is None else draw(arguments.time_stretch, random)
    taken = fitted_duration(duration, stretch, source.seconds, arguments.duration)
    source_time = draw_start(arguments.source_time, source.seconds, taken, random)
    event_time = draw(arguments.event_time, random)
    snr = draw(arguments.snr, random)
    return place_event(source, duration, stretch, source_time, event_time, snr, arguments.duration)


def place_event(
    source: Source,
    duration: float,
    stretch: float | None,
    source_time: float,
    event_time: float,
    snr: float,
    soundscape_duration: float,
) -> PlacedSound:
    """Makes drawn values fit: the duration into the source and the soundscape, and both starts before the ends.

    An event is never cut because it starts late: it is moved to where it ends with the soundscape.

    Args:
        duration: in seconds, before stretching.
        stretch: factor of the duration, None for none.
        source_time: start of the stretch in the source, in seconds.
        event_time: start in the soundscape, in seconds.
        snr: in dB.
        soundscape_duration: in seconds.
    """
    taken = fitted_duration(duration, stretch, source.seconds, soundscape_duration)
    heard = min(taken * (stretch or 1.0), soundscape_duration)
    return PlacedSound(
        label=source.label,
        source_file=source.file,
        source_time=min(source_time, latest_start(source.seconds, taken)),
        event_time=min(event_time, soundscape_duration - heard),
        event_duration=taken,
        snr=snr,
        time_stretch=stretch,
    )


def fitted_duration(
    duration: float, stretch: float | None, source_seconds: float, soundscape_duration: float
) -> float:
    """Seconds to take from a source that has `source_seconds`, so that they fit a soundscape when stretched."""
    return min(duration, source_seconds, soundscape_duration / (stretch or 1.0))


def latest_start(source_seconds: float, duration: float) -> float:
    """Where in a source the last stretch of this duration starts; 0 for a source that is shorter."""
    return max(0.0, source_seconds - duration)


def draw_start(
    distribution: Distribution, source_seconds: float, duration: float, random: numpy.random.Generator
) -> float:
    """Where a stretch of a source starts, from a distribution that is reduced to the starts that there are."""
    latest = latest_start(source_seconds, duration)
    return min(draw(narrowed(distribution, latest), random), latest)


def check_distributions(arguments: MixtureArguments) -> None:
    """Raises ValueError for fields that are no distributions, or whose values may be impossible."""
    for field in ("event_duration", "event_time", "source_time", "background_source_time", "snr", "time_stretch"):
        distribution, name = getattr(arguments, field), f"mixture.{field}"
        if field == "time_stretch" and distribution is None:
            continue
        check_distribution(name, distribution)
        if field in ("event_duration", "time_stretch") and lowest(distribution) <= 0:
            raise ValueError(f"{name} is {distribution!r}: all values must be above 0; truncnorm has bounds")
        if field.endswith("time") and lowest(distribution) < 0:
            raise ValueError(f"{name} is {distribution!r}: no value may be below 0; truncnorm has bounds")


def _check_variety(arguments: MixtureArguments, events: SoundCollection) -> None:
    """Raises ValueError where events would have to be repeated that may not."""
    available = {"repeat_sources": len(events.sources), "repeat_labels": len(events.classes)}
    for field, number in available.items():
        if not getattr(arguments, field) and number < arguments.max_events:
            what = "sounds" if field == "repeat_sources" else "classes"
            raise ValueError(
                f"mixture.max_events is {arguments.max_events}, but there are {number} {what} and mixture.{field} is "
                "false: lower the one, or allow the other"
            )


def _draw_index(cumulative_weights: numpy.ndarray, random: numpy.random.Generator) -> int:
    """An index, as likely as its weight says; weights of 0 are never drawn."""
    return int(cumulative_weights.searchsorted(random.random() * cumulative_weights[-1], "right"))
