"""The mLSTM layer (Beck et al., "xLSTM: Extended Long Short-Term Memory", 2024) around the cell of `mlstm_cell.py`.

Parameter names are those of the official checkpoints, but for the convolution, which there is one level deeper.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.configuration_utils import PreTrainedConfig

from .layers_causal_conv import causal_convolution
from .layers_initializers import init_as_torch
from .layers_mlstm_cell import mlstm_cell

GATE_BIAS_STD = 0.1
FORGET_BIAS_RANGE = (3.0, 6.0)


class OffsetNorm(nn.Module):
    """Layer norm over the last axis without bias, whose gain is one more than its weight.

    Args:
        num_groups: groups of channels that are each normalised by themselves.
    """

    def __init__(self, hidden_size: int, eps: float, num_groups: int = 1):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(hidden_size))
        self.eps = eps
        self.num_groups = num_groups

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(..., hidden_size) -> the same shape."""
        groups = hidden_states.unflatten(-1, (self.num_groups, -1))
        normalised = F.layer_norm(groups, groups.shape[-1:], eps=self.eps).flatten(-2)
        return normalised * (1.0 + self.weight)

    def init_weights(self, config: PreTrainedConfig) -> None:
        """The gain is stored as what it exceeds one by."""
        init.zeros_(self.weight)


class BlockDiagonalLinear(nn.Module):
    """Many small square maps side by side, without bias: channel o of block b from the channels of that block.

    Args:
        hidden_size: channels in all.
        block_size: channels of a block.
    """

    def __init__(self, hidden_size: int, block_size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(hidden_size // block_size, block_size, block_size))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(B, L, hidden_size) -> the same shape."""
        blocks = hidden_states.unflatten(2, self.weight.shape[:2])
        return torch.einsum("blni,noi->blno", blocks, self.weight).flatten(2)


class MlstmGatedCell(nn.Module):
    """The cell with its gates, which are computed from query, key and value, and its norm.

    Args:
        inner_size: channels of query, key and value.
        num_heads: memories, each of `inner_size / num_heads` channels.
        norm_eps: of the norm, which is over the channels of a head.
        chunk_size: see `mlstm_cell`.
    """

    def __init__(self, inner_size: int, num_heads: int, norm_eps: float, chunk_size: int):
        super().__init__()
        self.num_heads = num_heads
        self.chunk_size = chunk_size
        self.igate = nn.Linear(3 * inner_size, num_heads)
        self.fgate = nn.Linear(3 * inner_size, num_heads)
        self.outnorm = OffsetNorm(inner_size, norm_eps, num_groups=num_heads)

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """(B, L, inner_size) each -> (B, L, inner_size) in the type of `query`."""
        together = torch.cat([query, key, value], dim=2)
        input_gate, forget_gate = self.igate(together).transpose(1, 2), self.fgate(together).transpose(1, 2)
        heads = (states.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for states in (query, key, value))
        hidden_states = mlstm_cell(*heads, input_gate, forget_gate, self.chunk_size)
        return self.outnorm(hidden_states.transpose(1, 2).flatten(2)).to(query.dtype)


class MlstmLayer(nn.Module):
    """Up-projection, causal convolution, gated cell with a learned skip, output gate, down-projection.

    Args:
        hidden_size: channels in and out.
        inner_size: channels of the cell.
        num_heads, norm_eps, chunk_size: see `MlstmGatedCell`.
        projection_block_size: of the block-diagonal maps to query, key and value.
        conv_kernel: tokens that the convolution sees, the last of them the present one.
    """

    def __init__(
        self,
        hidden_size: int,
        inner_size: int,
        num_heads: int,
        projection_block_size: int,
        conv_kernel: int,
        norm_eps: float,
        chunk_size: int,
    ):
        super().__init__()
        self.proj_up = nn.Linear(hidden_size, 2 * inner_size, bias=False)
        self.conv1d = nn.Conv1d(inner_size, inner_size, conv_kernel, groups=inner_size)
        self.q_proj = BlockDiagonalLinear(inner_size, projection_block_size)
        self.k_proj = BlockDiagonalLinear(inner_size, projection_block_size)
        self.v_proj = BlockDiagonalLinear(inner_size, projection_block_size)
        self.mlstm_cell = MlstmGatedCell(inner_size, num_heads, norm_eps, chunk_size)
        self.learnable_skip = nn.Parameter(torch.ones(inner_size))
        self.proj_down = nn.Linear(inner_size, hidden_size, bias=False)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(B, L, hidden_size) -> the same shape; each token from itself and those before it."""
        inputs, gate = self.proj_up(hidden_states).chunk(2, dim=2)
        convolved = F.silu(causal_convolution(self.conv1d, inputs))
        # The value is not convolved.
        cell = self.mlstm_cell(self.q_proj(convolved), self.k_proj(convolved), self.v_proj(inputs))
        return self.proj_down((cell + self.learnable_skip * convolved) * F.silu(gate))

    @torch.no_grad()
    def init_weights(self, config: PreTrainedConfig) -> None:
        """Initialisation of the official code; the deviation of the down-projection is that of a single block."""
        hidden_size = self.proj_down.out_features
        small = math.sqrt(2 / (5 * hidden_size))
        for projection in (self.proj_up, self.q_proj, self.k_proj, self.v_proj):
            init.normal_(projection.weight, std=small)
        init.normal_(self.proj_down.weight, std=2 / math.sqrt(hidden_size))
        init_as_torch(self.conv1d)
        init.ones_(self.learnable_skip)
        cell = self.mlstm_cell
        for gate in (cell.igate, cell.fgate):
            init.zeros_(gate.weight)
        init.normal_(cell.igate.bias, std=GATE_BIAS_STD)
        init.copy_(cell.fgate.bias, torch.linspace(*FORGET_BIAS_RANGE, cell.num_heads))


__all__ = ["MlstmLayer", "OffsetNorm"]
