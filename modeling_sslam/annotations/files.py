"""Sound events of a file, whatever its format is: text, CSV, Raven, Audacity or JAMS."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence

from .events import SoundEvent
from .jams import read_jams, write_jams
from .tables import (
    COMMENT,
    SELECTION,
    header_of,
    is_header,
    plain_name,
    read_audacity,
    read_lines,
    read_table,
    read_table_of_files,
    read_text,
    write_audacity,
    write_csv,
    write_raven,
    write_text,
)

FORMATS = ("text", "csv", "raven", "audacity", "jams")
JAMS_SUFFIXES = (".jams", ".json")
TEXT_SUFFIXES = (".txt", ".tsv", ".lab", ".ann")
SUFFIXES = (".jams", *TEXT_SUFFIXES, ".csv", ".json")  # a folder is read by the first of these that it has
TOLERANCE = 0.01  # seconds by which annotations may pass the end of a recording: they are rounded
MOST_LISTED = 20  # events in a message


def read_events(path: str | os.PathLike, format: str | None = None) -> list[SoundEvent]:
    """The events of one recording, in order of (onset, offset, label).

    Args:
        format: one of `FORMATS`; by the ending and the first lines of the file when not given.
    Raises:
        ValueError: another format, an ending that tells none, or what the reader of the format refuses.
    """
    format = format_of(path) if format is None else _known(format)
    if format == "jams":
        return read_jams(path).events
    readers = {"text": read_text, "csv": read_table, "raven": read_table, "audacity": read_audacity}
    return readers[format](path)


def write_events(
    path: str | os.PathLike, events: Iterable[SoundEvent], format: str, duration: float | None = None
) -> None:
    """Writes the events of one recording; the file is whole or not there.

    Args:
        format: one of `FORMATS`.
        duration: of the recording in seconds, which JAMS say; that of the last event when not given.
    Raises:
        ValueError: another format, a label that it cannot hold, or an event outside of the recording.
    """
    events = list(events)
    if duration is not None:
        check_inside(events, duration, str(path))
    if _known(format) == "jams":
        end = max((event.offset for event in events), default=0.0) if duration is None else duration
        write_jams(path, events, end)
        return
    writers = {"text": write_text, "csv": write_csv, "raven": write_raven, "audacity": write_audacity}
    writers[format](path, events)


def read_many(path: str | os.PathLike) -> dict[str, list[SoundEvent]]:
    """The events of many recordings by name.

    Args:
        path: a table with a column of files, whose names are as they stand there; or a folder of annotations, of one
            recording each, whose names are those of the files in it without their ending (`train/first`). Of a
            folder that has the same annotations in several formats JAMS are read, and else text.
    Raises:
        ValueError: a folder without annotations, and what `read_events` and `read_table_of_files` refuse.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        return read_table_of_files(path)
    files = annotation_files(path)
    return {file.relative_to(path).with_suffix("").as_posix(): read_events(file) for file in files}


def annotation_files(folder: str | os.PathLike) -> list[pathlib.Path]:
    """The annotations in a folder and those below it, sorted; of the first ending in `SUFFIXES` that is there.

    Raises:
        ValueError: a folder without any.
    """
    folder = pathlib.Path(folder)
    files = [file for file in sorted(folder.rglob("*")) if not file.name.startswith(".")]
    for suffix in SUFFIXES:
        if found := [file for file in files if file.suffix.lower() == suffix]:
            return found
    raise ValueError(f"{folder} has no annotations: expected files that end in {', '.join(SUFFIXES)}")


def check_inside(
    events: Sequence[SoundEvent], duration: float, name: str, tolerance: float = TOLERANCE
) -> Sequence[SoundEvent]:
    """The events, when they all end in a recording of `duration` seconds.

    Raises:
        ValueError: events that end more than `tolerance` seconds later; they are listed.
    """
    outside = [event for event in events if event.offset > duration + tolerance]
    if not outside:
        return events
    listed = ", ".join(f"{event.label} ({event.onset} s to {event.offset} s)" for event in outside[:MOST_LISTED])
    rest = f", and {len(outside) - MOST_LISTED} more" if len(outside) > MOST_LISTED else ""
    raise ValueError(f"{name} lasts {duration} s, but {len(outside)} of its events end later: {listed}{rest}")


def format_of(path: str | os.PathLike) -> str:
    """The format of a file by its ending and first lines.

    Raises:
        ValueError: an ending that tells none.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if suffix in JAMS_SUFFIXES:
        return "jams"
    if suffix == ".csv":
        return "csv"
    if suffix not in TEXT_SUFFIXES:
        raise ValueError(f"{path} ends in {suffix!r}, not in {', '.join(SUFFIXES)}: say which format it has")
    header = header_of(path)
    if is_header(header):
        return "raven" if SELECTION in map(plain_name, header) else "csv"
    with_frequencies = any(line.startswith(COMMENT) for line in read_lines(path).splitlines())
    return "audacity" if with_frequencies else "text"


def _known(format: str) -> str:
    if format not in FORMATS:
        raise ValueError(f"format of annotations is {format!r}: choose {', '.join(FORMATS)}")
    return format
