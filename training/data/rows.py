"""Clips for pretraining: an endless stream of undecoded rows, which worker processes turn into spectrograms.

The main process alone reads the rows (streaming `datasets`) and cuts them into batches; the workers of a map-style
`DataLoader` receive whole batches of rows. So the order of the clips depends neither on the number of workers nor on
how far they read ahead, and a position in the stream is two numbers that travel with each batch.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import logging
import pathlib
from collections.abc import Iterator, Sequence

import datasets
import torch
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader
from transformers import SequenceFeatureExtractor

from modeling_sslam.audio_io import load_audio
from training.run.seeding import seeded_generator
from training.settings.recipe import DataArguments

logger = logging.getLogger(__name__)

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
MAX_FAILURES_IN_A_ROW = 1000

# What `Audio(decode=False)` yields. Spelled out, because that feature asks for torchcodec when it reads tar files.
ENCODED_AUDIO = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}


@dataclasses.dataclass(frozen=True)
class Position:
    """Place in the stream of a process: `row` rows of epoch `epoch` have been read."""

    epoch: int = 0
    row: int = 0


BEGINNING = Position()


@dataclasses.dataclass(frozen=True)
class RowBatch:
    """Undecoded rows, the position after them, and the rows of an epoch (None before the first one has ended)."""

    rows: list[dict]
    position: Position
    epoch_size: int | None


@dataclasses.dataclass(frozen=True)
class ClipBatch:
    """What became of a `RowBatch`: (B, T, F) spectrograms, None when nothing could be decoded, and the reasons."""

    input_values: torch.Tensor | None
    position: Position
    epoch_size: int | None
    failures: list[str]

    def pin_memory(self) -> ClipBatch:
        """Called by `DataLoader`."""
        if self.input_values is None:
            return self
        return dataclasses.replace(self, input_values=self.input_values.pin_memory())


def load_rows(
    arguments: DataArguments, columns: Sequence[str] = (), streaming: bool = True
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
    else:
        raise ValueError(f"data.format is {arguments.format!r}: choose hub, parquet, webdataset, folder or csv")
    if missing := sorted(set(wanted) - set(rows.column_names or wanted)):
        raise ValueError(f"{arguments.path} has no column {', '.join(missing)}; it has {', '.join(rows.column_names)}")
    if streaming and isinstance(rows, datasets.Dataset):
        rows = rows.to_iterable_dataset()
    rows = rows.select_columns(wanted).cast_column(arguments.audio_column, ENCODED_AUDIO)
    if arguments.filters:
        kept = {column: {str(value) for value in values} for column, values in arguments.filters.items()}
        rows = rows.filter(lambda row: all(str(row[column]) in values for column, values in kept.items()))
    return rows


def _folder_rows(arguments: DataArguments) -> list[dict]:
    """One row a file, in name order; the column `folder` names the folder it lies in, which may be its label."""
    folder = pathlib.Path(arguments.path)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not files:
        raise ValueError(f"no audio file ({', '.join(AUDIO_SUFFIXES)}) in the folder {arguments.path!r}")
    return [{arguments.audio_column: str(path), "folder": path.parent.name} for path in files]


def _csv_rows(arguments: DataArguments) -> list[dict]:
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


def _rows_of_files(rows: list[dict], arguments: DataArguments) -> datasets.Dataset:
    column = arguments.audio_column
    rows = [row | {column: {"path": row[column], "bytes": None}} for row in rows]
    return datasets.Dataset.from_list(rows)


class RowBatches:
    """Batches of this process's rows, endless or of one epoch; a batch may run across the end of an epoch.

    Args:
        rows: of all processes.
        batch_size: rows a batch.
        shuffle_buffer: rows from which the next one is drawn, 0 for the order of the files.
        seed: of the shuffling; each epoch has its own order.
        start: position at which to begin. Its rows are read again and thrown away, undecoded: that restores the
            shuffle buffer exactly.
        rank, world_size: this process, and how many share the rows.
        endless: epoch after epoch; otherwise one epoch, whose last batch may be smaller.
    """

    def __init__(
        self,
        rows: datasets.IterableDataset,
        batch_size: int,
        shuffle_buffer: int,
        seed: int,
        start: Position = BEGINNING,
        rank: int = 0,
        world_size: int = 1,
        endless: bool = True,
    ):
        if shuffle_buffer:
            rows = rows.shuffle(seed=seed, buffer_size=shuffle_buffer)
        self.rows = split_dataset_by_node(rows, rank=rank, world_size=world_size)
        self.batch_size = batch_size
        self.start = start
        self.endless = endless

    def __iter__(self) -> Iterator[RowBatch]:
        """Raises ValueError when an epoch has no rows."""
        epoch, position, epoch_size, batch = self.start.epoch, self.start.row, None, []
        while True:
            self.rows.set_epoch(epoch)
            for row in itertools.islice(self.rows, position, None):
                position += 1
                batch.append(row)
                if len(batch) == self.batch_size:
                    yield RowBatch(batch, Position(epoch, position), epoch_size)
                    batch = []
            if not self.endless:
                if batch:
                    yield RowBatch(batch, Position(epoch, position), position)
                return
            if position == 0:
                raise ValueError("the data set has no rows for this process: check data.path and data.filters")
            epoch, position, epoch_size = epoch + 1, 0, position


@dataclasses.dataclass(frozen=True)
class RandomCrop:
    """Cuts `num_frames` frames from anywhere in a spectrogram; a shorter one is repeated until it is long enough.

    Where a clip is cut depends on the seed, the process and the clip's place in the stream, not on who decodes it.

    Args:
        num_frames: of the result.
        seed, rank: of the run, and of this process.
    """

    num_frames: int
    seed: int
    rank: int = 0

    def __call__(self, spectrogram: torch.Tensor, position: Position, index: int) -> torch.Tensor:
        """(T, F) -> (num_frames, F), for clip `index` of the batch that ends at `position`.

        The last possible start is never drawn, as in the official code of SSAM and MW-MAE.
        """
        if len(spectrogram) < self.num_frames:
            spectrogram = spectrogram.repeat(-(-self.num_frames // len(spectrogram)), 1)
        spare = len(spectrogram) - self.num_frames
        generator = seeded_generator(self.seed, self.rank, position.epoch, position.row, index)
        start = int(torch.randint(max(spare, 1), (), generator=generator))
        return spectrogram[start : start + self.num_frames]


class ClipFeatures:
    """Turns a batch of rows into a batch of spectrograms, inside a `DataLoader` worker.

    Args:
        feature_extractor: makes and normalises the spectrograms.
        audio_column: where the encoded audio lies in a row.
        crop: cuts the spectrogram of a whole clip; None for the extractor's own rule, its first frames, or padded.
    """

    def __init__(self, feature_extractor: SequenceFeatureExtractor, audio_column: str, crop: RandomCrop | None = None):
        self.feature_extractor = feature_extractor
        self.audio_column = audio_column
        self.crop = crop

    def __getitems__(self, batch: RowBatch) -> ClipBatch:
        clips, failures = [], []
        for index, row in enumerate(batch.rows):
            try:
                spectrogram = self.spectrogram(row[self.audio_column])
                clips.append(self.crop(spectrogram, batch.position, index) if self.crop else spectrogram)
            except (ValueError, OSError) as error:
                clips.append(None)
                failures.append(f"{row[self.audio_column]['path'] or 'clip without a name'}: {error}")
        full = _fill_holes(clips)
        return ClipBatch(torch.stack(full) if full else None, batch.position, batch.epoch_size, failures)

    def spectrogram(self, audio: dict) -> torch.Tensor:
        """(T, F) normalised spectrogram of one encoded clip. Raises ValueError when there is nothing to decode."""
        rate = self.feature_extractor.sampling_rate
        length = {"padding": "longest", "truncation": False} if self.crop else {"padding": "max_length"}
        features = self.feature_extractor(load_audio(audio, rate), sampling_rate=rate, return_tensors="pt", **length)
        return features["input_values"][0]


def _fill_holes(clips: list[torch.Tensor | None]) -> list[torch.Tensor]:
    """Puts the next decodable clip of the batch, cyclically, in the place of each missing one.

    So a batch keeps its size, which keeps accumulation and processes in step; which clip is repeated depends on the
    batch alone.
    """
    good = [index for index, clip in enumerate(clips) if clip is not None]
    if not good:
        return []
    return [clips[min(good, key=lambda other: (other - index) % len(clips))] for index in range(len(clips))]


class ClipStream:
    """Batches with at least one decodable clip; what is skipped is counted and named in the log.

    Args:
        row_batches: what to decode, see `RowBatches`.
        features: how, see `ClipFeatures`.
        num_workers: processes that decode; 0 decodes in this one.
        pin_memory: for copies to a GPU that do not block.
    """

    def __init__(self, row_batches: RowBatches, features: ClipFeatures, num_workers: int, pin_memory: bool = False):
        self.loader = DataLoader(
            features,
            batch_sampler=row_batches,
            num_workers=num_workers,
            collate_fn=_as_it_is,
            pin_memory=pin_memory,
            generator=torch.Generator(),
        )
        self.num_skipped = 0

    def __iter__(self) -> Iterator[ClipBatch]:
        """Raises ValueError when no clip of a whole epoch, or of many batches in a row, can be decoded."""
        failures_in_a_row = 0
        for batch in self.loader:
            self.num_skipped += len(batch.failures)
            for failure in batch.failures:
                logger.warning("skipped %s", failure)
            if batch.input_values is not None:
                failures_in_a_row = 0
                yield batch
                continue
            failures_in_a_row += len(batch.failures)
            if failures_in_a_row >= min(batch.epoch_size or MAX_FAILURES_IN_A_ROW, MAX_FAILURES_IN_A_ROW):
                raise ValueError(
                    f"none of {failures_in_a_row} clips in a row could be decoded, for example {batch.failures[0]}"
                )


def _as_it_is(batch: ClipBatch) -> ClipBatch:
    return batch
