"""Undecoded rows of audio from data sets of the hub, parquet and tar files, folders and CSV files."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Sequence

import datasets

from training.settings.data import SOUNDSCAPES, ClipArguments

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")

# What `Audio(decode=False)` yields. Spelled out, because that feature asks for torchcodec when it reads tar files.
ENCODED_AUDIO = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}


def load_rows(
    arguments: ClipArguments, columns: Sequence[str] = (), streaming: bool = True
) -> datasets.IterableDataset | datasets.Dataset:
    """Rows with the encoded audio (`{"bytes", "path"}`) in `arguments.audio_column`.

    Args:
        columns: further columns to keep.
        streaming: read row after row; otherwise the rows can be indexed.
    Raises:
        ValueError: unknown format, no files, or a column that is not there.
    """
    wanted = list(dict.fromkeys([arguments.audio_column, *arguments.filters, *columns]))
    if arguments.format == "hub":
        rows = datasets.load_dataset(arguments.path, arguments.name, split=arguments.split, streaming=streaming)
    elif arguments.format in ("parquet", "webdataset"):
        rows = datasets.load_dataset(arguments.format, data_files=arguments.path, split="train", streaming=streaming)
    elif arguments.format == "folder":
        rows = _rows_of_files(_folder_rows(arguments), arguments)
    elif arguments.format == "csv":
        rows = _rows_of_files(_csv_rows(arguments), arguments)
    elif arguments.format == SOUNDSCAPES:
        raise ValueError(
            f"data.format is {SOUNDSCAPES!r}, which are made while a model pretrains or is fine-tuned: for anything "
            "else write a set with training.synthesize"
        )
    else:
        raise ValueError(
            f"data.format is {arguments.format!r}: choose hub, parquet, webdataset, folder, csv or soundscapes"
        )
    if missing := sorted(set(wanted) - set(rows.column_names or wanted)):
        raise ValueError(f"{arguments.path} has no column {', '.join(missing)}; it has {', '.join(rows.column_names)}")
    if streaming and isinstance(rows, datasets.Dataset):
        rows = rows.to_iterable_dataset()
    rows = rows.select_columns(wanted).cast_column(arguments.audio_column, ENCODED_AUDIO)
    if arguments.filters:
        kept = {column: {str(value) for value in values} for column, values in arguments.filters.items()}
        rows = rows.filter(lambda row: all(str(row[column]) in values for column, values in kept.items()))
    return rows


def _folder_rows(arguments: ClipArguments) -> list[dict]:
    """One row a file, in name order; the column `folder` names the folder it lies in, which may be its label."""
    folder = pathlib.Path(arguments.path)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not files:
        raise ValueError(f"no audio file ({', '.join(AUDIO_SUFFIXES)}) in the folder {arguments.path!r}")
    return [{arguments.audio_column: str(path), "folder": path.parent.name} for path in files]


def _csv_rows(arguments: ClipArguments) -> list[dict]:
    """One row a line; the audio column holds the file's path."""
    path = pathlib.Path(arguments.path)
    root = pathlib.Path(arguments.audio_root or path.parent)
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    if not lines:
        raise ValueError(f"{path} has no rows")
    if arguments.file_column not in lines[0]:
        raise ValueError(f"{path} has no column {arguments.file_column!r}; it has {', '.join(lines[0])}")
    return [line | {arguments.audio_column: str(root / line[arguments.file_column])} for line in lines]


def _rows_of_files(rows: list[dict], arguments: ClipArguments) -> datasets.Dataset:
    column = arguments.audio_column
    rows = [row | {column: {"path": row[column], "bytes": None}} for row in rows]
    return datasets.Dataset.from_list(rows)
