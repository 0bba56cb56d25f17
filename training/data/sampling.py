"""Which labelled clips an epoch has, in which order, and the seeds of their augmentation."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler


def inverse_frequency_weights(indices: Sequence[Sequence[int]]) -> torch.Tensor:
    """(N,) weight of each clip: the sum over its labels of one over the number of clips with that label."""
    count = collections.Counter(index for of_clip in indices for index in of_clip)
    return torch.tensor([sum(1.0 / count[index] for index in of_clip) for of_clip in indices])


class SeededSampler(Sampler):
    """Clips of an epoch in random order, each with a seed for its augmentation.

    The seeds make augmentation depend neither on the number of `DataLoader` workers nor on where a run was resumed.

    Args:
        num_clips: clips in the data set.
        seed: of order and seeds; every epoch has its own.
        multiple: clips of a whole update; the rest of the epoch is left out.
        weights: (num_clips,) to draw by, None for a permutation.
        epoch_size: clips to draw by weight, without replacement.
    Raises:
        ValueError: an epoch has less clips than one update needs, or more than can be drawn.
    """

    def __init__(
        self,
        num_clips: int,
        seed: int,
        multiple: int,
        weights: torch.Tensor | None = None,
        epoch_size: int | None = None,
    ):
        epoch_size = epoch_size or num_clips
        available = num_clips if weights is None else int(weights.count_nonzero())
        if epoch_size > available:
            raise ValueError(f"data.epoch_size is {epoch_size}, but only {available} clips can be drawn")
        if epoch_size < multiple:
            raise ValueError(f"an epoch of {epoch_size} clips has less than one update of {multiple}")
        self.num_clips = num_clips
        self.seed = seed
        self.weights = weights
        self.length = epoch_size // multiple * multiple
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = self.generator()
        if self.weights is None:
            order = torch.randperm(self.num_clips, generator=generator)
        else:
            order = torch.multinomial(self.weights, self.length, replacement=False, generator=generator)
        return zip(order[: self.length].tolist(), self.seeds(generator), strict=True)

    def generator(self) -> torch.Generator:
        """Of this epoch."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)

    def seeds(self, generator: torch.Generator) -> list[int]:
        """One for each clip of the epoch."""
        return torch.randint(2**62, (self.length,), generator=generator).tolist()


class FreshSampler(SeededSampler):
    """Clips that no epoch has in common with another, for sources that can make any number, each with a seed."""

    def __iter__(self) -> Iterator[tuple[int, int]]:
        first = self.epoch * self.num_clips
        return zip(range(first, first + self.length), self.seeds(self.generator()), strict=True)
