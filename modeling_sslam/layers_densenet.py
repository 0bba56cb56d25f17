"""DenseNets of spectrograms: every layer sees the maps of all layers before it in its stage.

Huang et al., "Densely Connected Convolutional Networks", CVPR 2017, those with bottlenecks and compression. The
networks of GISE-51 (Yadav and Foster, arXiv 2103.12306) differ from them in their one input channel only.
"""

import dataclasses

import torch
from torch import nn
from transformers import initialization as init

from .layers_initializers import init_as_torch_without_bias
from .layers_masked_conv import CnnSizes, CnnStage, Maps, Window, masked
from .layers_resnet import STEM_WINDOWS, ConvPoolStem

# Depth -> layers of the four stages, and the channels that each adds.
DEPTHS = {
    "121": ((6, 12, 24, 16), 32),
    "161": ((6, 12, 36, 24), 48),
    "169": ((6, 12, 32, 32), 32),
    "201": ((6, 12, 48, 32), 32),
}
STEM_GROWTHS = 2  # channels of the stem, in those that a layer adds
BOTTLENECK_GROWTHS = 4  # channels between the two convolutions of a layer
COMPRESSION = 2  # what a transition divides channels by
TRANSITION_WINDOW = Window(2, 2)


class DenseLayer(nn.Module):
    """Norm, ReLU and a convolution, twice, whose result is added as further channels.

    Args:
        in_channels: of the maps of all layers before.
        growth: channels that it adds.
    """

    def __init__(self, in_channels: int, growth: int):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, BOTTLENECK_GROWTHS * growth, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK_GROWTHS * growth)
        self.conv2 = nn.Conv2d(BOTTLENECK_GROWTHS * growth, growth, kernel_size=3, padding=1, bias=False)

    def forward(self, maps: torch.Tensor, num_real: torch.Tensor | None = None) -> Maps:
        """(B, C, F, T), (B,) or None -> (B, C + growth, F, T), (B,)."""
        bottleneck = self.conv1(self.norm1(maps).relu())
        added, num_real = masked(self.conv2, self.norm2(bottleneck).relu(), num_real)
        return torch.cat([maps, added], dim=1), num_real


class Transition(nn.Module):
    """Norm, ReLU, half the channels, and the mean of 2x2 cells; an odd last row or column is left out.

    Args:
        in_channels: of the stage before.
    """

    def __init__(self, in_channels: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, in_channels // COMPRESSION, kernel_size=1, bias=False)
        self.pool = nn.AvgPool2d(TRANSITION_WINDOW.kernel, TRANSITION_WINDOW.stride)

    def forward(self, maps: torch.Tensor, num_real: torch.Tensor | None = None) -> Maps:
        """(B, C, F, T), (B,) or None -> (B, C / 2, F / 2, T / 2), (B,)."""
        return masked(self.pool, self.conv(self.norm(maps).relu()), num_real)


class NormHead(nn.Module):
    """The norm and ReLU behind the last layer."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, maps: torch.Tensor, num_real: torch.Tensor | None = None) -> Maps:
        return self.norm(maps).relu(), num_real


@dataclasses.dataclass(frozen=True)
class DenseNetSizes(CnnSizes):
    """Sizes of a DenseNet; `growth` are the channels that a layer adds."""

    growth: int = 32


def densenet_sizes(depth: str, width: float) -> DenseNetSizes:
    """Sizes of the DenseNet of so many layers.

    Args:
        depth: a key of `DEPTHS`.
        width: channels as a multiple of the published ones.
    """
    depths, published_growth = DEPTHS[depth]
    growth = max(1, round(published_growth * width))
    channels = [STEM_GROWTHS * growth]
    for index, num_layers in enumerate(depths):
        entering = channels[-1] // COMPRESSION if index else channels[-1]
        channels.append(entering + num_layers * growth)
    windows = (STEM_WINDOWS, (), *((TRANSITION_WINDOW,),) * (len(depths) - 1))
    return DenseNetSizes(tuple(channels), depths, windows, growth=growth)


def build_densenet(sizes: DenseNetSizes) -> tuple[nn.Module, list[CnnStage]]:
    """Stem and stages."""
    stages = []
    for index, num_layers in enumerate(sizes.depths):
        before, after = sizes.channels[index : index + 2]
        entering = after - num_layers * sizes.growth
        layers = [DenseLayer(entering + number * sizes.growth, sizes.growth) for number in range(num_layers)]
        is_last = index == len(sizes.depths) - 1
        stages.append(CnnStage(layers, Transition(before) if index else None, NormHead(after) if is_last else None))
    return ConvPoolStem(sizes.channels[0]), stages


def init_densenet(layer: nn.Module) -> None:
    """How a layer of the published DenseNets starts: convolutions by their fan-in, no bias in linear layers."""
    if isinstance(layer, nn.Conv2d):
        init.kaiming_normal_(layer.weight)
    elif isinstance(layer, nn.Linear):
        init_as_torch_without_bias(layer)
