"""Soundscapes made while a model trains (`data.format=soundscapes`): as endless batches, and as labelled clips.

Each is a function of the recipe and its number, so that a position in the stream is a number, and neither workers nor
a resumed run change what is heard.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

from modeling_sslam.annotations.events import SoundEvent, clip_targets
from modeling_sslam.audio_resampling import resample
from training.data.labelled import label_indices
from training.data.stream import BEGINNING, Position, RowBatch
from training.settings.data import SOUNDSCAPES, ClipArguments
from training.settings.recipe import load_arguments
from training.settings.synthesis import SynthesisArguments
from training.soundscapes.generator import SoundscapeGenerator

EventTargets = Callable[[Iterable[SoundEvent], Sequence[str]], torch.Tensor]


def load_generator(data: ClipArguments) -> SoundscapeGenerator:
    """What makes the soundscapes of the recipe in `data.path`.

    Raises:
        ValueError: no such recipe, filters, which are for rows, or what the recipe's sections refuse.
    """
    if not pathlib.Path(data.path).is_file():
        raise ValueError(
            f"data.path is {data.path!r}: with data.format={SOUNDSCAPES} it must be a recipe, a YAML file"
        )
    if data.filters:
        raise ValueError(f"filters are {data.filters}, but soundscapes have no rows: filter the events of {data.path}")
    return SoundscapeGenerator(load_arguments(data.path, (), SynthesisArguments))


class SoundscapeBatches:
    """Batches of this process's soundscapes, every one once; what `RowBatches` is for rows.

    Processes take turns, so that together they hear soundscapes 0, 1, 2 and so on. A row holds the number of its
    soundscape in place of encoded audio.

    Args:
        generator: makes them.
        data: for the size of a batch and the name of the audio column.
        start: position at which to begin; its epoch is always 0.
        rank, world_size: this process, and how many share the soundscapes.
        endless: without end; otherwise the first `output.num_soundscapes`, whose last batch may be smaller.
    """

    def __init__(
        self,
        generator: SoundscapeGenerator,
        data: ClipArguments,
        start: Position = BEGINNING,
        rank: int = 0,
        world_size: int = 1,
        endless: bool = True,
    ):
        self.generator = generator
        self.data = data
        self.start = start
        self.rank, self.world_size = rank, world_size
        self.endless = endless

    def __iter__(self) -> Iterator[RowBatch]:
        size, position = self.data.batch_size, self.start.row
        own = range(self.rank, self.generator.arguments.output.num_soundscapes, self.world_size)
        while self.endless or position < len(own):
            end = position + size if self.endless else min(position + size, len(own))
            rows = [self._row(self.rank + self.world_size * number) for number in range(position, end)]
            position = end
            yield RowBatch(rows, Position(0, position), None if self.endless else len(own))

    def load(self, audio: dict, sampling_rate: int) -> torch.Tensor:
        """(N,) samples of the soundscape of a row. Raises ValueError when none of its draws can be read."""
        return _samples_and_events(self.generator, audio["index"], sampling_rate)[0]

    def _row(self, index: int) -> dict:
        return {self.data.audio_column: {"path": f"soundscape {index} of {self.data.path}", "index": index}}


class SoundscapeClips:
    """Soundscapes as labelled clips, see `ClipSource`. Any index may be asked for; those of evaluations come first.

    Args:
        generator: makes them.
        classes: of the classifier, in the order of its outputs.
        targets: of events and classes; which classes a soundscape has when not given. `step_targets` gives targets of
            time steps.
    Raises:
        ValueError: events of classes that are not among `classes`.
    """

    def __init__(self, generator: SoundscapeGenerator, classes: list[str], targets: EventTargets = clip_targets):
        label_indices([generator.classes], classes)
        self.generator = generator
        self.classes = classes
        self.event_targets = targets

    def __len__(self) -> int:
        return self.generator.arguments.output.num_soundscapes

    def clip(self, index: int, sampling_rate: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(N,) samples, and the target of their events."""
        samples, events = _samples_and_events(self.generator, index, sampling_rate)
        return samples, self.event_targets(events, self.classes)


def _samples_and_events(
    generator: SoundscapeGenerator, index: int, sampling_rate: int
) -> tuple[torch.Tensor, list[SoundEvent]]:
    made = generator.render(index)
    rate = generator.arguments.mixture.sampling_rate
    return resample(torch.from_numpy(made.samples), rate, sampling_rate), made.soundscape.events
