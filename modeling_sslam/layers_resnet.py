"""ResNets of spectrograms: transformers' blocks, which hear no padding here, and those of CIFAR-ResNet.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. The networks of GISE-51 (Yadav and Foster, arXiv
2103.12306) are those of its table 1, with one input channel, and the stride of a bottleneck in its 3x3 convolution.
Their CIFAR-ResNets are wider than the paper's (32, 64 and 128 channels) and have the stem of the others.

A block that adds something to the branch, such as a gate, overrides `branch`; whoever builds other blocks passes them
to `resnet_stages`.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import nn
from transformers import initialization as init
from transformers.models.resnet.modeling_resnet import ResNetBasicLayer, ResNetBottleNeckLayer, ResNetConvLayer

from .layers_initializers import init_as_torch
from .layers_masked_conv import CnnSizes, CnnStage, Maps, centred, masked

STEM_CHANNELS, CIFAR_STEM_CHANNELS = 64, 32
BOTTLENECK_EXPANSION = 4
# Depth -> blocks of the four stages, and whether they are bottlenecks.
DEPTHS = {
    "18": ((2, 2, 2, 2), False),
    "34": ((3, 4, 6, 3), False),
    "50": ((3, 4, 6, 3), True),
    "101": ((3, 4, 23, 3), True),
    "152": ((3, 8, 36, 3), True),
}
CIFAR_STAGES = 3
STEM_WINDOWS = (centred(7, 2), centred(3, 2))  # of its convolution and its pooling
STAGE_WINDOW = centred(3, 2)  # of the first block of every stage but the first one


class ZeroPaddedShortcut(nn.Module):
    """A shortcut without parameters: every second row and column, and as many silent channels on both sides.

    Args:
        in_channels, out_channels: of the block.
        stride: of the block.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        missing = out_channels - in_channels
        self.stride = stride
        self.channels_before, self.channels_behind = missing // 2, missing - missing // 2

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, C, F, T) -> (B, out_channels, F / stride, T / stride)."""
        maps = maps[..., :: self.stride, :: self.stride]
        return nn.functional.pad(maps, (0, 0, 0, 0, self.channels_before, self.channels_behind))


class MaskedResidual:
    """What makes a residual block of transformers one of (maps, num_real)."""

    def branch(self, maps: torch.Tensor, num_real: torch.Tensor | None) -> Maps:
        """What is added to the shortcut: (B, C, F, T), (B,) or None -> the same of the block."""
        for layer in self.layer:
            maps, num_real = masked(layer, maps, num_real, layer.convolution)
        return maps, num_real

    def forward(self, maps: torch.Tensor, num_real: torch.Tensor | None = None) -> Maps:
        """(B, C, F, T), (B,) or None -> the same of the block."""
        branch, num_real = self.branch(maps, num_real)
        return self.activation(branch + self.shortcut(maps)), num_real


class BasicBlock(MaskedResidual, ResNetBasicLayer):
    """Two 3x3 convolutions and a shortcut, a projection where the shape changes."""


class BottleneckBlock(MaskedResidual, ResNetBottleNeckLayer):
    """A 3x3 convolution of a quarter of the channels between two of single cells."""


class CifarBlock(BasicBlock):
    """A basic block whose shortcut has no parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        if not isinstance(self.shortcut, nn.Identity):
            self.shortcut = ZeroPaddedShortcut(in_channels, out_channels, stride)


class ConvPoolStem(nn.Module):
    """A 7x7 convolution with norm and ReLU, then a maximum over 3x3 cells: a map a quarter as high and as long.

    Args:
        channels: of the map.
    """

    def __init__(self, channels: int):
        super().__init__()
        convolution, pooling = STEM_WINDOWS
        self.embedder = ResNetConvLayer(1, channels, kernel_size=convolution.kernel, stride=convolution.stride)
        self.pooler = nn.MaxPool2d(pooling.kernel, pooling.stride, pooling.before)

    def forward(self, maps: torch.Tensor, num_real: torch.Tensor | None = None) -> Maps:
        """(B, 1, F, T), (B,) or None -> (B, C, F / 4, T / 4), (B,)."""
        maps, num_real = masked(self.embedder, maps, num_real, self.embedder.convolution)
        return masked(self.pooler, maps, num_real)  # silence is as good as no cell: the maps have no negative ones


Block = Callable[[int, int, int], nn.Module]


@dataclasses.dataclass(frozen=True)
class ResNetSizes(CnnSizes):
    """Sizes of a ResNet; `block(in_channels, out_channels, stride)` makes its blocks."""

    block: Block = BasicBlock


def resnet_sizes(depth: str, width: float) -> ResNetSizes:
    """Sizes of the ResNet of so many layers.

    Args:
        depth: a key of `DEPTHS`.
        width: channels as a multiple of the published ones.
    """
    depths, is_bottleneck = DEPTHS[depth]
    stem = max(1, round(STEM_CHANNELS * width))
    expansion = BOTTLENECK_EXPANSION if is_bottleneck else 1
    return _sizes(stem, depths, expansion, BottleneckBlock if is_bottleneck else BasicBlock)


def cifar_resnet_sizes(depth: str, width: float) -> ResNetSizes:
    """Sizes of a CIFAR-ResNet.

    Args:
        depth: layers, 2 and a multiple of 6.
        width: channels as a multiple of the published ones.
    """
    blocks, rest = divmod(int(depth) - 2, 2 * CIFAR_STAGES)
    if rest or blocks < 1:
        raise ValueError(f"a CIFAR-ResNet of {depth} layers has no whole blocks: expected 6n + 2 layers (20, 44, 56)")
    return _sizes(max(1, round(CIFAR_STEM_CHANNELS * width)), (blocks,) * CIFAR_STAGES, 1, CifarBlock)


def _sizes(stem: int, depths: tuple[int, ...], expansion: int, block: Block) -> ResNetSizes:
    """Channels double from stage to stage."""
    stages = tuple(stem * expansion * 2**index for index in range(len(depths)))
    windows = (STEM_WINDOWS, (), *((STAGE_WINDOW,),) * (len(depths) - 1))
    return ResNetSizes((stem, *stages), depths, windows, block=block)


def resnet_stages(sizes: ResNetSizes) -> list[CnnStage]:
    """The stages behind a stem; all but the first one halve the map."""
    stages = []
    for index, depth in enumerate(sizes.depths):
        in_channels, out_channels = sizes.channels[index : index + 2]
        first = sizes.block(in_channels, out_channels, STAGE_WINDOW.stride if index else 1)
        stages.append(CnnStage([first, *(sizes.block(out_channels, out_channels, 1) for _ in range(depth - 1))]))
    return stages


def build_resnet(sizes: ResNetSizes) -> tuple[nn.Module, list[CnnStage]]:
    """Stem and stages."""
    return ConvPoolStem(sizes.channels[0]), resnet_stages(sizes)


def init_resnet(layer: nn.Module) -> None:
    """How a layer of the published ResNets starts: convolutions by their fan-out, gains of norms around one."""
    if isinstance(layer, nn.Conv2d):
        init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(layer, nn.BatchNorm2d):
        init.normal_(layer.weight, mean=1.0, std=0.02)
    elif isinstance(layer, nn.Linear):
        init_as_torch(layer)


def init_cifar_resnet(layer: nn.Module) -> None:
    """How a layer of the published CIFAR-ResNets starts: weights by their fan-in, all else as in PyTorch."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        init_as_torch(layer)
        init.kaiming_normal_(layer.weight)
