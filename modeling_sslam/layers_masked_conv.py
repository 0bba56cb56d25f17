"""Convolutional networks over spectrograms of clips of several lengths: nothing hears what is behind a clip's end.

Maps are (B, C, F, T), and `num_real` (B,) says how many of the T frames of each are of the clip, None = all. A layer
that looks at neighbours gets maps that are silent behind the real frames, as they are behind the end of a clip alone,
and says by its own formula how many frames of what it makes are real. Every block takes and gives both, so that a
padded clip has the maps that it has alone; in training the statistics of batch norms still count padded cells.
"""

import dataclasses
import itertools
import math
import operator
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

Length = TypeVar("Length", int, torch.Tensor)
Maps = tuple[torch.Tensor, torch.Tensor | None]


class Window(NamedTuple):
    """What a convolution or pooling sees along an axis: cells of the kernel, its stride, and padding at both ends."""

    kernel: int
    stride: int = 1
    before: int = 0
    after: int = 0

    def size(self, length: Length) -> Length:
        """Cells that an axis of so many becomes; one number, or a tensor of them."""
        return (length + self.before + self.after - self.kernel) // self.stride + 1


def centred(kernel: int, stride: int = 1) -> Window:
    """The window of an odd kernel whose padding is the same at both ends."""
    return Window(kernel, stride, kernel // 2, kernel // 2)


def same_window(kernel: int, stride: int, size: int) -> Window:
    """TensorFlow's 'same' for an axis of `size` cells: `size / stride` come out, and an odd pad has more behind."""
    padding = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return Window(kernel, stride, padding // 2, padding - padding // 2)


@dataclasses.dataclass(frozen=True)
class CnnSizes:
    """What a network is built from.

    Args:
        channels: of the map behind the stem, and of those behind each stage.
        depths: blocks of each stage.
        windows: those that change the size of a map, of the stem and of each stage, in their order; the same along
            frequency and time.
        classifier_dropout: published before the classifier.
        drop_path_rate: published stochastic depth of the last block; None where blocks have none.
        norm_momentum: published share of a batch in the running statistics of norms, at each update.
    """

    channels: tuple[int, ...]
    depths: tuple[int, ...]
    windows: tuple[tuple[Window, ...], ...]
    classifier_dropout: float = 0.0
    drop_path_rate: float | None = None
    norm_momentum: float = 0.1

    @property
    def strides(self) -> tuple[int, ...]:
        """Cells of the input from one cell to the next, of the map behind the stem and of those behind each stage."""
        of_parts = (math.prod(window.stride for window in windows) for windows in self.windows)
        return tuple(itertools.accumulate(of_parts, operator.mul))

    def last_size(self, length: int) -> int:
        """Cells of the last map along an axis of so many; 0 where a map on the way has none."""
        for window in itertools.chain(*self.windows):
            length = window.size(length)
            if length < 1:
                return 0
        return length


def time_window(layer: nn.Module) -> Window:
    """What a two-dimensional convolution or pooling sees along time, its last axis."""
    if isinstance(layer, PaddedConv2d):
        return layer.window
    kernel, stride, padding = (
        size if isinstance(size, int) else size[-1] for size in (layer.kernel_size, layer.stride, layer.padding)
    )
    return Window(kernel, stride, padding, padding)


def silence(maps: torch.Tensor, num_real: torch.Tensor | None) -> torch.Tensor:
    """(B, C, F, T) with zeros behind the real frames; the same tensor where all are real."""
    if num_real is None:
        return maps
    is_padding = torch.arange(maps.shape[-1], device=maps.device) >= num_real[:, None]
    return maps.masked_fill(is_padding[:, None, None], 0.0)


def masked(
    layer: nn.Module, maps: torch.Tensor, num_real: torch.Tensor | None, convolution: nn.Module | None = None
) -> Maps:
    """What a layer makes of maps without hearing padding, and how many frames of that are real.

    Args:
        layer: a convolution, a pooling, or a module around one.
        maps: (B, C, F, T).
        num_real: (B,), or None.
        convolution: what decides about sizes within the layer; itself when not given.
    """
    window = time_window(layer if convolution is None else convolution)
    looks_further = window.kernel > window.stride  # than at cells that are whole, and so all real or all padding
    heard = silence(maps, num_real) if looks_further else maps
    return layer(heard), None if num_real is None else window.size(num_real)


def mean_of_cells(maps: torch.Tensor, num_real: torch.Tensor | None) -> torch.Tensor:
    """Global average over frequencies and real frames: (B, C, F, T), (B,) or None -> (B, C). Summed in float32."""
    if num_real is None:
        return maps.mean(dim=(2, 3))
    cells = (maps.shape[2] * num_real).clamp(min=1)[:, None]
    total = silence(maps, num_real).sum(dim=(2, 3), dtype=torch.promote_types(maps.dtype, torch.float32))
    return (total / cells).to(maps.dtype)


class PaddedConv2d(nn.Conv2d):
    """A square convolution without bias that pads as its window says, which may be more behind than before.

    Args:
        in_channels, out_channels, groups: of the convolution.
        window: along frequency and along time.
    """

    def __init__(self, in_channels: int, out_channels: int, window: Window, groups: int = 1):
        super().__init__(in_channels, out_channels, window.kernel, window.stride, groups=groups, bias=False)
        self.window = window
        self.is_symmetric = window.before == window.after
        if self.is_symmetric:  # as the convolution itself can pad, without a copy
            self.padding = (window.before, window.before)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, C, F, T) -> (B, out_channels, ...)."""
        if not self.is_symmetric:
            maps = nn.functional.pad(maps, (self.window.before, self.window.after) * 2)
        return super().forward(maps)


class CnnStage(GradientCheckpointingLayer):
    """Blocks one after another: the `layers` of a network.

    With gradient checkpointing its batch norms see each batch twice, and take its statistics over twice.

    Args:
        blocks: modules (maps, num_real) -> (maps, num_real), as all here.
        transition, head: such a module before and behind the blocks, where there is one.
    """

    def __init__(
        self, blocks: Iterable[nn.Module], transition: nn.Module | None = None, head: nn.Module | None = None
    ):
        super().__init__()
        self.transition = transition
        self.blocks = nn.ModuleList(blocks)
        self.head = head

    def forward(self, maps: torch.Tensor, num_real: torch.Tensor | None = None) -> Maps:
        """(B, C, F, T), (B,) or None -> the same of the stage."""
        for part in (self.transition, *self.blocks, self.head):
            if part is not None:
                maps, num_real = part(maps, num_real)
        return maps, num_real
