"""Clips for pretraining: an endless stream of undecoded rows, which worker processes turn into a model's input.

The main process alone reads the rows (streaming `datasets`) and cuts them into batches; the workers of a map-style
`DataLoader` receive whole batches of rows. So the order of the clips depends neither on the number of workers nor on
how far they read ahead, and a position in the stream is two numbers that travel with each batch.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Iterator
from typing import Protocol

import datasets
import torch
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader

from modeling_sslam.audio_io import load_audio

logger = logging.getLogger(__name__)

MAX_FAILURES_IN_A_ROW = 1000


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
    """What became of a `RowBatch`.

    Attributes:
        inputs: view -> (B, T, F) spectrograms or (B, N) waveforms; empty when nothing could be decoded.
        position, epoch_size: those of the `RowBatch`.
        failures: clips that could not be decoded, with the reason.
    """

    inputs: dict[str, torch.Tensor]
    position: Position
    epoch_size: int | None
    failures: list[str]

    def pin_memory(self) -> ClipBatch:
        """Called by `DataLoader`."""
        return dataclasses.replace(self, inputs={name: tensor.pin_memory() for name, tensor in self.inputs.items()})

    def on(self, device: torch.device) -> dict[str, torch.Tensor]:
        """The inputs on a device."""
        return {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}


class DecodesRows(Protocol):
    """What a `ClipStream` asks of whoever decodes, see `ClipFeatures` in `training/data/views.py`."""

    def __getitems__(self, batch: RowBatch) -> ClipBatch: ...


class Batches(Protocol):
    """What a `ClipStream` reads: `RowBatches`, or the `SoundscapeBatches` of `training/soundscapes/stream.py`."""

    def __iter__(self) -> Iterator[RowBatch]: ...

    def load(self, audio: dict, sampling_rate: int) -> torch.Tensor:
        """(N,) samples of what lies in a row's audio column, in a worker process. Raises ValueError, OSError."""
        ...


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

    def load(self, audio: dict, sampling_rate: int) -> torch.Tensor:
        """Decodes and resamples encoded audio, see `load_audio`."""
        return load_audio(audio, sampling_rate)

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


class ClipStream:
    """Batches with at least one decodable clip; what is skipped is counted and named in the log.

    Args:
        row_batches: what to decode.
        features: how, see `ClipFeatures`.
        num_workers: processes that decode; 0 decodes in this one.
        pin_memory: for copies to a GPU that do not block.
    """

    def __init__(self, row_batches: Batches, features: DecodesRows, num_workers: int, pin_memory: bool = False):
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
            if batch.inputs:
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
