"""Statistics of a set of annotated recordings: polyphony, durations, SNR and classes."""

from __future__ import annotations

import collections
import dataclasses
import glob
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy

from modeling_sslam.annotations.events import SoundEvent, max_polyphony
from modeling_sslam.annotations.files import (
    JAMS_SUFFIXES,
    annotation_files,
    check_inside,
    read_events,
)
from modeling_sslam.annotations.jams import SCAPER_NAMESPACES, jams_recording, load_jams
from modeling_sslam.annotations.tables import has_files, read_table_of_files
from training.soundscapes.jams import from_jams
from training.soundscapes.polyphony import polyphony_gini, seconds_by_polyphony

QUANTILES = {"min": 0.0, "quarter": 0.25, "median": 0.5, "three_quarters": 0.75, "max": 1.0}


@dataclasses.dataclass(frozen=True)
class AnnotatedRecording:
    """
    Attributes:
        name: of the recording.
        duration: in seconds; where its last event ends, where nothing says more.
        events: in time order.
        snr: of the events in dB, empty where nobody knows.
    """

    name: str
    duration: float
    events: Sequence[SoundEvent]
    snr: Sequence[float] = ()


@dataclasses.dataclass(frozen=True)
class SetStatistics:
    """
    Attributes:
        num_recordings, seconds: of the set.
        seconds_by_polyphony: number of events at once -> seconds.
        max_polyphony: largest number of events at once -> recordings.
        polyphony_gini: mean over the recordings, as Scaper computes it.
        durations: of the events in seconds.
        snr: of the events in dB.
        classes: label -> events.
    """

    num_recordings: int
    seconds: float
    seconds_by_polyphony: dict[int, float]
    max_polyphony: dict[int, int]
    polyphony_gini: float
    durations: list[float]
    snr: list[float]
    classes: dict[str, int]

    @property
    def share_by_polyphony(self) -> dict[int, float]:
        """Number of events at once -> share of the time."""
        return {number: seconds / self.seconds for number, seconds in self.seconds_by_polyphony.items()}

    def summary(self) -> dict[str, Any]:
        """Numbers to print as JSON."""
        return {
            "num_recordings": self.num_recordings,
            "seconds": round(self.seconds, 3),
            "num_events": len(self.durations),
            "share_by_polyphony": {number: round(share, 4) for number, share in self.share_by_polyphony.items()},
            "recordings_by_max_polyphony": self.max_polyphony,
            "polyphony_gini": round(self.polyphony_gini, 4),
            "event_seconds": _quantiles(self.durations),
            "snr_db": _quantiles(self.snr),
            "events_by_class": self.classes,
        }


def read_recordings(source: str | os.PathLike, duration: float | None = None) -> list[AnnotatedRecording]:
    """Annotated recordings of a set.

    Args:
        source: a folder of annotations (see `annotation_files`), a glob of them, one of them, or a table with a
            column of files.
        duration: of every recording in seconds, for annotations that do not say it; otherwise a recording lasts as
            long as its last event.
    Raises:
        ValueError: nothing there, an event outside of its recording, or what the readers refuse.
    """
    path = pathlib.Path(source)
    if path.is_file() and has_files(path):
        files = read_table_of_files(path)
        return [_recording(name, events, duration) for name, events in files.items()]
    if path.is_dir():
        return [_read_recording(file, duration) for file in annotation_files(path)]
    files = sorted(pathlib.Path(file) for file in glob.glob(str(source), recursive=True))
    if not files:
        raise ValueError(f"there is nothing at {source}: expected a folder, a table or a glob of annotations")
    return [_read_recording(file, duration) for file in files]


def describe(recordings: Iterable[AnnotatedRecording]) -> SetStatistics:
    """Statistics of recordings.

    Raises:
        ValueError: no recordings, or none that lasts.
    """
    recordings = list(recordings)
    seconds = sum(recording.duration for recording in recordings)
    if not seconds:
        raise ValueError(f"{len(recordings)} recordings last 0 s in all: there is nothing to describe")
    by_polyphony: collections.Counter[int] = collections.Counter()
    for recording in recordings:
        by_polyphony.update(seconds_by_polyphony(recording.events, recording.duration))
    events = [event for recording in recordings for event in recording.events]
    ginis = [polyphony_gini(recording.events, recording.duration) for recording in recordings]
    return SetStatistics(
        num_recordings=len(recordings),
        seconds=seconds,
        seconds_by_polyphony=dict(sorted(by_polyphony.items())),
        max_polyphony=_counts(max_polyphony(recording.events) for recording in recordings),
        polyphony_gini=float(numpy.mean(ginis)),
        durations=[event.offset - event.onset for event in events],
        snr=[snr for recording in recordings for snr in recording.snr],
        classes=_counts(event.label for event in events),
    )


def _read_recording(file: pathlib.Path, duration: float | None) -> AnnotatedRecording:
    name = file.with_suffix("").as_posix()
    if file.suffix.lower() not in JAMS_SUFFIXES:
        return _recording(name, read_events(file), duration)
    jams = load_jams(file)
    recording = jams_recording(jams, str(file))
    of_scaper = any(annotation.get("namespace") in SCAPER_NAMESPACES for annotation in jams["annotations"])
    snr = [sound.snr for sound in from_jams(jams, str(file)).foreground] if of_scaper else []
    return _recording(name, recording.events, duration if recording.duration is None else recording.duration, snr)


def _recording(
    name: str, events: Sequence[SoundEvent], duration: float | None, snr: Sequence[float] = ()
) -> AnnotatedRecording:
    if duration is None:
        duration = max((event.offset for event in events), default=0.0)
    return AnnotatedRecording(name, duration, check_inside(events, duration, name), snr)


def _counts(values: Iterable[Any]) -> dict[Any, int]:
    return dict(sorted(collections.Counter(values).items()))


def _quantiles(values: Sequence[float]) -> dict[str, float] | None:
    """Mean and quantiles, None of no values."""
    if not values:
        return None
    quantiles = {name: round(float(numpy.quantile(values, share)), 3) for name, share in QUANTILES.items()}
    return {"mean": round(float(numpy.mean(values)), 3)} | quantiles
