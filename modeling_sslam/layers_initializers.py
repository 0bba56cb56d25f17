"""Initial values that several families share; they respect what was already loaded from a checkpoint."""

import torch
from torch import nn
from transformers import initialization as init
from transformers.configuration_utils import PreTrainedConfig


@torch.no_grad()
def init_as_torch(layer: nn.Linear | nn.Conv1d | nn.Conv2d) -> None:
    """PyTorch's own initialisation of a linear or convolutional layer: uniform within `fan_in ** -0.5`."""
    bound = layer.weight[0].numel() ** -0.5
    init.uniform_(layer.weight, -bound, bound)
    if layer.bias is not None:
        init.uniform_(layer.bias, -bound, bound)


@torch.no_grad()
def init_as_torch_without_bias(layer: nn.Linear | nn.Conv1d | nn.Conv2d) -> None:
    """PyTorch's own weight, zero bias."""
    init_as_torch(layer)
    if layer.bias is not None:
        init.zeros_(layer.bias)


@torch.no_grad()
def init_xavier(layer: nn.Linear | nn.Conv2d) -> None:
    """Xavier-uniform weight, zero bias. A convolution's fans count its kernel, as PyTorch has it."""
    init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        init.zeros_(layer.bias)


# Standard deviation of a standard normal variable that is cut off at two.
TRUNCATED_STD = 0.87962566103423978


@torch.no_grad()
def init_lecun(weight: torch.Tensor, gain: float = 1.0) -> None:
    """Normal of variance `gain / fan_in`, cut off at two standard deviations; the last axis is the fan-in."""
    std = (gain / weight.shape[-1]) ** 0.5 / TRUNCATED_STD
    init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


class TorchLinear(nn.Linear):
    """A linear layer that starts as in PyTorch, whatever the layers of the family around it do."""

    def init_weights(self, config: PreTrainedConfig) -> None:
        init_as_torch(self)


class UnbiasedLinear(nn.Linear):
    """A linear layer whose weights start as in PyTorch, and its bias at zero."""

    def init_weights(self, config: PreTrainedConfig) -> None:
        init_as_torch_without_bias(self)


class LecunLinear(nn.Linear):
    """A linear layer whose weights start LeCun-normal, and its bias at zero."""

    def init_weights(self, config: PreTrainedConfig) -> None:
        init_lecun(self.weight)
        init.zeros_(self.bias)
