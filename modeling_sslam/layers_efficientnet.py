"""EfficientNets of spectrograms: inverted bottlenecks with depthwise convolutions and channel gates.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019. The networks pad as
TensorFlow does ('same'), which depends on the size of what is padded. GISE-51 (Yadav and Foster, arXiv 2103.12306)
fixes the padding of every convolution when the network is built, as for a square input of a nominal size; `windows`
holds it, so that whoever pads otherwise passes other windows to `EfficientNetSizes`.
"""

import dataclasses
import math
from typing import NamedTuple

import torch
from torch import nn

from .layers_initializers import init_as_torch
from .layers_masked_conv import CnnSizes, CnnStage, Maps, PaddedConv2d, Window, masked, mean_of_cells, same_window
from .layers_transformer import DropPath

NORM_EPS, NORM_MOMENTUM = 1e-3, 0.01
CHANNEL_UNIT = 8  # channels are a multiple of it
GATE_SHARE = 0.25  # channels within a gate, as a share of those that enter the block
DROP_PATH_RATE = 0.2
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
STEM_KERNEL, STEM_STRIDE = 3, 2


class StageShape(NamedTuple):
    """A row of table 1 of the paper."""

    depth: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    StageShape(1, 3, 1, 1, 16),
    StageShape(2, 3, 2, 6, 24),
    StageShape(2, 5, 2, 6, 40),
    StageShape(3, 3, 2, 6, 80),
    StageShape(3, 5, 1, 6, 112),
    StageShape(4, 5, 2, 6, 192),
    StageShape(1, 3, 1, 6, 320),
)
# Size -> width and depth as multiples of those of B0, and the dropout before the classifier.
SCALES = {
    "b0": (1.0, 1.0, 0.2),
    "b1": (1.0, 1.1, 0.2),
    "b2": (1.1, 1.2, 0.3),
    "b3": (1.2, 1.4, 0.3),
    "b4": (1.4, 1.8, 0.4),
    "b5": (1.6, 2.2, 0.4),
    "b6": (1.8, 2.6, 0.5),
    "b7": (2.0, 3.1, 0.5),
}


class ConvNorm(nn.Module):
    """Convolution, batch norm, and SiLU where there is an activation.

    Args:
        in_channels, out_channels, groups: of the convolution.
        window: along both axes.
        has_activation: whether SiLU follows.
    """

    def __init__(
        self, in_channels: int, out_channels: int, window: Window, groups: int = 1, has_activation: bool = True
    ):
        super().__init__()
        self.convolution = PaddedConv2d(in_channels, out_channels, window, groups)
        self.normalization = nn.BatchNorm2d(out_channels, eps=NORM_EPS, momentum=NORM_MOMENTUM)
        self.activation = nn.SiLU() if has_activation else nn.Identity()

    def forward(self, maps: torch.Tensor, num_real: torch.Tensor | None = None) -> Maps:
        """(B, C, F, T), (B,) or None -> the same of the layer."""
        maps, num_real = masked(self.convolution, maps, num_real)
        return self.activation(self.normalization(maps)), num_real


class ChannelGate(nn.Module):
    """Squeeze and excitation (Hu et al., CVPR 2018): weighs channels by what the whole clip has of them.

    Args:
        channels: of the maps.
        squeezed: channels of the bottleneck.
    """

    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, kernel_size=1)
        self.expand = nn.Conv2d(squeezed, channels, kernel_size=1)

    def forward(self, maps: torch.Tensor, num_real: torch.Tensor | None = None) -> torch.Tensor:
        """(B, C, F, T), (B,) or None -> (B, C, F, T)."""
        whole = mean_of_cells(maps, num_real)[..., None, None]
        return maps * self.expand(nn.functional.silu(self.reduce(whole))).sigmoid()


class InvertedBottleneck(nn.Module):
    """More channels, a depthwise convolution, a gate, and fewer channels again; a shortcut where the shape stays.

    Args:
        in_channels, out_channels: of the block.
        expansion: channels of the depthwise convolution, as a multiple of `in_channels`.
        window: of the depthwise convolution.
        drop_path_rate: how often the branch of a clip is left out in training.
    """

    def __init__(self, in_channels: int, out_channels: int, expansion: int, window: Window, drop_path_rate: float):
        super().__init__()
        inner = in_channels * expansion
        self.expansion = ConvNorm(in_channels, inner, Window(1)) if expansion > 1 else None
        self.depthwise = ConvNorm(inner, inner, window, groups=inner)
        self.gate = ChannelGate(inner, max(1, int(in_channels * GATE_SHARE)))
        self.projection = ConvNorm(inner, out_channels, Window(1), has_activation=False)
        self.has_shortcut = window.stride == 1 and in_channels == out_channels
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, maps: torch.Tensor, num_real: torch.Tensor | None = None) -> Maps:
        """(B, C, F, T), (B,) or None -> the same of the block."""
        branch = maps
        if self.expansion is not None:
            branch, num_real = self.expansion(branch, num_real)
        branch, num_real = self.depthwise(branch, num_real)
        branch, num_real = self.projection(self.gate(branch, num_real), num_real)
        return (maps + self.drop_path(branch) if self.has_shortcut else branch), num_real


@dataclasses.dataclass(frozen=True)
class EfficientNetSizes(CnnSizes):
    """Sizes of an EfficientNet.

    Args:
        stem_window: of the first convolution.
        block_windows: of the depthwise convolution of each block, stage by stage.
        branch_channels: of what the blocks of each stage give; the last stage has a head behind them.
    """

    stem_window: Window = Window(1)
    block_windows: tuple[tuple[Window, ...], ...] = ()
    branch_channels: tuple[int, ...] = ()


def scaled_channels(channels: int, scale: float) -> int:
    """Channels times a scale, as the nearest multiple of eight that is not below nine tenths of that."""
    wanted = channels * scale
    rounded = max(CHANNEL_UNIT, int(wanted + CHANNEL_UNIT / 2) // CHANNEL_UNIT * CHANNEL_UNIT)
    return rounded + CHANNEL_UNIT if rounded < 0.9 * wanted else rounded


def efficientnet_sizes(size: str, width: float, nominal_size: int) -> EfficientNetSizes:
    """Sizes of an EfficientNet whose padding is that of TensorFlow for an input of a nominal size.

    Args:
        size: a key of `SCALES`.
        width: channels as a multiple of the published ones.
        nominal_size: frames and bins of that input.
    """
    published_width, deeper, dropout = SCALES[size]
    scale, cells = published_width * width, nominal_size
    stem_window = same_window(STEM_KERNEL, STEM_STRIDE, cells)
    cells = math.ceil(cells / STEM_STRIDE)
    block_windows = []
    for stage in STAGES:
        first = same_window(stage.kernel, stage.stride, cells)
        cells = math.ceil(cells / stage.stride)
        others = same_window(stage.kernel, 1, cells)
        block_windows.append((first, *(others,) * (math.ceil(stage.depth * deeper) - 1)))
    branch_channels = tuple(scaled_channels(stage.channels, scale) for stage in STAGES)
    return EfficientNetSizes(
        channels=(scaled_channels(STEM_CHANNELS, scale), *branch_channels[:-1], scaled_channels(HEAD_CHANNELS, scale)),
        depths=tuple(len(windows) for windows in block_windows),
        windows=((stem_window,), *(windows[:1] for windows in block_windows)),
        classifier_dropout=dropout,
        drop_path_rate=DROP_PATH_RATE,
        norm_momentum=NORM_MOMENTUM,
        stem_window=stem_window,
        block_windows=tuple(block_windows),
        branch_channels=branch_channels,
    )


def build_efficientnet(sizes: EfficientNetSizes, drop_path_rate: float) -> tuple[nn.Module, list[CnnStage]]:
    """Stem and stages.

    Args:
        drop_path_rate: that the blocks approach, rising in even steps from 0 at the first one.
    """
    num_blocks, number, in_channels, stages = sum(sizes.depths), 0, sizes.channels[0], []
    for shape, out_channels, windows in zip(STAGES, sizes.branch_channels, sizes.block_windows, strict=True):
        blocks = []
        for window in windows:
            rate = drop_path_rate * number / num_blocks
            blocks.append(InvertedBottleneck(in_channels, out_channels, shape.expansion, window, rate))
            in_channels, number = out_channels, number + 1
        is_last = number == num_blocks
        head = ConvNorm(out_channels, sizes.channels[-1], Window(1)) if is_last else None
        stages.append(CnnStage(blocks, head=head))
    return ConvNorm(1, sizes.channels[0], sizes.stem_window), stages


def init_efficientnet(layer: nn.Module) -> None:
    """How a layer of the networks of GISE-51 starts: as in PyTorch."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        init_as_torch(layer)
