"""Sound events as tables: tab-separated text, CSV, Raven's selection tables and Audacity's labels.

Text has no header and the columns onset, offset and label, as that of GISE-51, URBAN-SED and sed_eval. A table has a
header, with the names that people give to these columns; one with a column of files holds many recordings, as that of
DESED. Times are in seconds and are written with all their digits. A byte order mark, any line ends and empty lines are
read; a decimal comma is refused.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy

from .events import SoundEvent
from .rows import Row, events_of, finite_number, seconds_of
from .whole_files import write_text_whole

# Names of columns, in lower case, with spaces between words and without units. The first that a table has counts.
ONSET_NAMES = ("onset", "start", "start time", "begin", "begin time", "event onset", "tmin", "start seconds")
OFFSET_NAMES = ("offset", "end", "end time", "stop", "stop time", "event offset", "tmax", "end seconds")
LABEL_NAMES = (
    "annotation",
    "species",
    "label",
    "tag",
    "event label",
    "class",
    "class label",
    "category",
    "event",
    "common name",
)
FILE_NAMES = (
    "filename",
    "file",
    "file name",
    "begin file",
    "audio filename",
    "audio file",
    "path",
    "recording",
    "fname",
)
CONFIDENCE_NAMES = ("confidence", "score", "probability")
SELECTION, VIEW = "selection", "view"
TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
DELIMITERS = ("\t", ",", ";")
RAVEN_HEADER = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Annotation",
)
HIGHEST_FREQUENCY = 8000.0  # Hz, upper edge of Raven's boxes where nobody says another
COMMENT = "\\"  # begins Audacity's line with the frequencies of the label above it


@dataclasses.dataclass(frozen=True)
class Columns:
    """Where the columns of a table are, None for those that it does not have."""

    onset: int
    offset: int
    label: int
    file: int | None
    confidence: int | None
    selection: int | None
    view: int | None

    @classmethod
    def of(cls, header: Sequence[str], name: str) -> Columns:
        """Raises ValueError, with the columns found and those accepted, where onset, offset or label is not there."""
        plain = [plain_name(column) for column in header]

        def find(names: Sequence[str]) -> int | None:
            return next((plain.index(known) for known in names if known in plain), None)

        needed = {"onset": ONSET_NAMES, "offset": OFFSET_NAMES, "label": LABEL_NAMES}
        found = {column: find(names) for column, names in needed.items()}
        if missing := [column for column, index in found.items() if index is None]:
            accepted = "; ".join(f"{column}: {', '.join(needed[column])}" for column in missing)
            raise ValueError(
                f"{name} has no column of {' and '.join(missing)}. Its columns are {', '.join(header) or 'none'}; "
                f"accepted names are {accepted}"
            )
        return cls(
            **found,
            file=find(FILE_NAMES),
            confidence=find(CONFIDENCE_NAMES),
            selection=find((SELECTION,)),
            view=find((VIEW,)),
        )


def plain_name(column: str) -> str:
    """A column's name in lower case, without units and with single spaces: "Begin Time (s)" is "begin time"."""
    return " ".join(re.sub(r"\(.*\)", " ", column.lower()).replace("_", " ").replace("-", " ").split())


def read_text(path: str | os.PathLike) -> list[SoundEvent]:
    """Events of a tab-separated file: onset, offset, label, and a confidence where there is one; or with a header.

    Raises:
        ValueError: a line with other columns, a time that is no number, an event that does not fit, or text that is
            not UTF-8; with file and line.
    """
    records = _records(path, "\t")
    if records and is_header(records[0][1]):
        return read_table(path)
    return events_of([_text_row(f"{path}, line {number}", cells, (3, 4)) for number, cells in records], str(path))


def write_text(path: str | os.PathLike, events: Iterable[SoundEvent]) -> None:
    """Writes onset, offset and label, and a confidence where the event has one.

    Raises:
        ValueError: a label that is empty, or has a tab, a line end or outer spaces.
    """
    lines = [_times(event) + [_checked(event.label)] + _confidence(event) for event in events]
    write_text_whole(path, _joined(lines))


def read_audacity(path: str | os.PathLike) -> list[SoundEvent]:
    """Events of a label track that Audacity has exported; lines with frequencies are skipped.

    Raises:
        ValueError: as `read_text`; a label without text too.
    """
    records = [record for record in _records(path, "\t") if not record[1][0].startswith(COMMENT)]
    rows = [_text_row(f"{path}, line {number}", cells, (2, 3)) for number, cells in records]
    return events_of(rows, str(path))


def write_audacity(path: str | os.PathLike, events: Iterable[SoundEvent]) -> None:
    """Writes a label track to import in Audacity, which has no place for a confidence.

    Raises:
        ValueError: as `write_text`.
    """
    write_text_whole(path, _joined([_times(event) + [_checked(event.label)] for event in events]))


def read_table(path: str | os.PathLike) -> list[SoundEvent]:
    """Events of one recording, of a CSV, a tab-separated table with a header, or a selection table of Raven.

    Raises:
        ValueError: several recordings in the file, and what `read_table_of_files` refuses.
    """
    files = _events_by_file(path)
    if len(files) > 1:
        raise ValueError(f"{path} holds events of {len(files)} recordings, for example {next(iter(files))}: read_many")
    return next(iter(files.values()), [])


def read_table_of_files(path: str | os.PathLike) -> dict[str, list[SoundEvent]]:
    """Events of each recording of a table with a column of files, in the order of the table.

    A row of a file alone, without times and label, is a recording without events.

    Raises:
        ValueError: no header, missing columns (with those found and those accepted), a row with another number of
            cells than the header, and what `read_text` refuses.
    """
    records = _table(path)
    if Columns.of(records[0][1], str(path)).file is None:
        raise ValueError(
            f"{path} has no column of files. Its columns are {', '.join(records[0][1])}; accepted names are "
            f"{', '.join(FILE_NAMES)}"
        )
    return _events_by_file(path)


def write_csv(path: str | os.PathLike, events: Iterable[SoundEvent]) -> None:
    """Writes a CSV of one recording with the columns onset, offset, label, and confidence where an event has one.

    Raises:
        ValueError: as `write_text`.
    """
    events = list(events)
    header = ["onset", "offset", "label"] + ["confidence"] * _any_confidence(events)
    _write_csv(path, header, (_csv_cells(event, header) for event in events))


def write_csv_of_files(path: str | os.PathLike, files: Mapping[str, Sequence[SoundEvent]]) -> None:
    """Writes a CSV of many recordings, with the name of the file in front; a file without events has an empty row.

    Raises:
        ValueError: as `write_text`.
    """
    with_confidence = any(_any_confidence(events) for events in files.values())
    header = ["filename", "onset", "offset", "label"] + ["confidence"] * with_confidence
    empty = [""] * (len(header) - 1)

    def lines() -> Iterator[list[str]]:
        for file, events in files.items():
            yield from ([file, *_csv_cells(event, header)] for event in events)
            if not events:
                yield [file, *empty]

    _write_csv(path, header, lines())


def write_raven(
    path: str | os.PathLike, events: Iterable[SoundEvent], high_frequency: float = HIGHEST_FREQUENCY
) -> None:
    """Writes a selection table for Raven, whose boxes reach from 0 to `high_frequency` Hz.

    Raises:
        ValueError: as `write_text`.
    """
    events = list(events)
    header = [*RAVEN_HEADER] + ["Confidence"] * _any_confidence(events)
    lines = [header]
    for number, event in enumerate(events, start=1):
        box = ["0.0", _decimal(high_frequency)]
        cells = [str(number), "Spectrogram 1", "1", *_times(event), *box, _checked(event.label), *_confidence(event)]
        lines.append(cells + [""] * (len(header) - len(cells)))
    write_text_whole(path, _joined(lines))


def is_header(cells: Sequence[str]) -> bool:
    """Whether these are names of columns, an onset among them."""
    return any(plain_name(cell) in ONSET_NAMES for cell in cells)


def has_files(path: str | os.PathLike) -> bool:
    """Whether a file is a table with a header and a column of files, and so of many recordings."""
    header = header_of(path) if pathlib.Path(path).suffix.lower() in TABLE_SUFFIXES else []
    return is_header(header) and any(plain_name(cell) in FILE_NAMES for cell in header)


def header_of(path: str | os.PathLike) -> list[str]:
    """The cells of the first line that is not empty, whatever their delimiter is; none of an empty file."""
    first = _first_line(path)
    return [cell.strip() for cell in next(csv.reader([first], delimiter=_delimiter(first)), [])]


def read_lines(path: str | os.PathLike) -> str:
    """The text of a file without its byte order mark.

    Raises:
        ValueError: text that is not UTF-8.
    """
    try:
        return pathlib.Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from error


def _records(path: str | os.PathLike, delimiter: str) -> list[tuple[int, list[str]]]:
    """(line number, cells) of the lines that are not empty; only commas and semicolons are ever quoted."""
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    reader = csv.reader(io.StringIO(read_lines(path)), delimiter=delimiter, quoting=quoting)
    cells = ((reader.line_num, [cell.strip() for cell in line]) for line in reader)
    try:
        return [(number, line) for number, line in cells if any(line)]
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def _first_line(path: str | os.PathLike) -> str:
    return next((line for line in read_lines(path).splitlines() if line.strip()), "")


def _delimiter(line: str) -> str:
    return max(DELIMITERS, key=line.count)


def _table(path: str | os.PathLike) -> list[tuple[int, list[str]]]:
    """The header and the rows of a table, whose delimiter is the one that its header has most of."""
    first = _first_line(path)
    if not first:
        raise ValueError(f"{path} is empty: expected a header with the columns onset, offset and label")
    return _records(path, _delimiter(first))


def _events_by_file(path: str | os.PathLike) -> dict[str, list[SoundEvent]]:
    (_, header), *records = _table(path)
    columns = Columns.of(header, str(path))
    rows: dict[str, list[Row]] = {}
    views: dict[tuple[str, str], str] = {}
    for number, cells in records:
        place = f"{path}, line {number}"
        if len(cells) != len(header):
            raise ValueError(f"{place}: {len(cells)} cells where the header has {len(header)}")
        file = "" if columns.file is None else cells[columns.file]
        of_file = rows.setdefault(file, [])
        if _is_second_view(cells, columns, file, views):
            continue
        if any(cells[column] for column in (columns.onset, columns.offset, columns.label)):
            of_file.append(_table_row(place, cells, columns))
    return {file: events_of(of_file, f"{path}, {file}" if file else str(path)) for file, of_file in rows.items()}


def _is_second_view(cells: list[str], columns: Columns, file: str, views: dict[tuple[str, str], str]) -> bool:
    """Raven writes a selection once for each view that is open: of the waveform and of the spectrogram."""
    if columns.selection is None or columns.view is None:
        return False
    selection, view = (file, cells[columns.selection]), cells[columns.view]
    return views.setdefault(selection, view) != view


def _table_row(place: str, cells: list[str], columns: Columns) -> Row:
    onset, offset = (
        seconds_of(cells[column], name, place)
        for column, name in ((columns.onset, "onset"), (columns.offset, "offset"))
    )
    confidence = "" if columns.confidence is None else cells[columns.confidence]
    return Row(place, onset, offset, cells[columns.label], _confidence_of(confidence, place))


def _text_row(place: str, cells: list[str], lengths: tuple[int, int]) -> Row:
    if len(cells) not in lengths:
        raise ValueError(f"{place}: expected onset, offset and label with tabs between them, got {cells}")
    onset, offset = seconds_of(cells[0], "onset", place), seconds_of(cells[1], "offset", place)
    label, confidence = [*cells[2:], "", ""][:2]
    return Row(place, onset, offset, label, _confidence_of(confidence, place))


def _confidence_of(text: str, place: str) -> float | None:
    if not text:
        return None
    confidence = finite_number(text)
    if confidence is None:
        raise ValueError(f"{place}: confidence is {text!r}: expected a number")
    return confidence


def _checked(label: str) -> str:
    if not label or label != label.strip() or any(letter in label for letter in "\t\r\n"):
        raise ValueError(
            f"the label {label!r} cannot be written: it must have text, no tab, no line end and no spaces around it"
        )
    return label


def _decimal(number: float) -> str:
    """All digits of a number and no exponent, which Raven and Audacity may not read."""
    return numpy.format_float_positional(float(number), trim="0")


def _times(event: SoundEvent) -> list[str]:
    return [_decimal(event.onset), _decimal(event.offset)]


def _confidence(event: SoundEvent) -> list[str]:
    return [] if event.confidence is None else [_decimal(event.confidence)]


def _any_confidence(events: Iterable[SoundEvent]) -> bool:
    return any(event.confidence is not None for event in events)


def _csv_cells(event: SoundEvent, header: Sequence[str]) -> list[str]:
    confidence = (_confidence(event) or [""]) if "confidence" in header else []
    return [*_times(event), _checked(event.label), *confidence]


def _write_csv(path: str | os.PathLike, header: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    write_text_whole(path, text.getvalue())


def _joined(lines: Iterable[Sequence[str]]) -> str:
    return "".join("\t".join(line) + "\n" for line in lines)
