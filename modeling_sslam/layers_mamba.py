"""The Mamba-1 mixer (Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023).

Parameter names are those of transformers' `MambaMixer` and of mamba-ssm, so that their weights load as they are.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.configuration_utils import PreTrainedConfig

from .layers_causal_conv import causal_convolution
from .layers_selective_scan import selective_scan
from .tokens_masks import gather_tokens


class SelectiveStateSpace(nn.Module):
    """Causal depthwise convolution, SiLU, and the selective scan whose rates, inputs and outputs depend on the token.

    Args:
        inner_size: channels D of the scan.
        state_size: numbers N that a channel carries along.
        conv_kernel: tokens that the convolution sees, the last of them the present one.
        time_step_rank: rank of the map from token to time steps.
    """

    def __init__(self, inner_size: int, state_size: int, conv_kernel: int, time_step_rank: int):
        super().__init__()
        self.conv1d = nn.Conv1d(inner_size, inner_size, conv_kernel, groups=inner_size)
        self.x_proj = nn.Linear(inner_size, time_step_rank + 2 * state_size, bias=False)
        self.dt_proj = nn.Linear(time_step_rank, inner_size)
        self.A_log = nn.Parameter(torch.zeros(inner_size, state_size))
        self.D = nn.Parameter(torch.ones(inner_size))

    def scan(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, L, D) -> (B, L, D) float32, each token from itself and those before it."""
        inputs = F.silu(causal_convolution(self.conv1d, inputs))
        state_size = self.A_log.shape[1]
        low_rank, B, C = self.x_proj(inputs).split([self.dt_proj.in_features, state_size, state_size], dim=2)
        # The bias is added in float32: around it, the time steps span three orders of magnitude.
        time_steps = F.softplus(F.linear(low_rank, self.dt_proj.weight).float() + self.dt_proj.bias.float())
        outputs = selective_scan(inputs, time_steps, -torch.exp(self.A_log.float()), B, C)
        return outputs + self.D.float() * inputs.float()

    @torch.no_grad()
    def init_weights(self, config: PreTrainedConfig) -> None:
        """Rates 1 .. N in every channel, and biases that spread the time steps log-uniformly over 0.001 .. 0.1."""
        inner_size, state_size = self.A_log.shape
        init.copy_(self.A_log, torch.arange(1.0, state_size + 1).log().expand(inner_size, -1))
        init.ones_(self.D)
        time_steps = torch.empty(inner_size).uniform_(math.log(0.001), math.log(0.1)).exp()
        init.copy_(self.dt_proj.bias, time_steps + torch.log(-torch.expm1(-time_steps)))  # the inverse of softplus


class MambaMixer(SelectiveStateSpace):
    """A selective state space between an input and a gated output projection.

    With `bidirectional` a second state space of its own weights, `reverse`, reads the sequence from its end, and its
    output is added before the gate. The projections, which hold most of the weights, serve both directions.
    """

    def __init__(
        self,
        hidden_size: int,
        inner_size: int,
        state_size: int,
        conv_kernel: int,
        time_step_rank: int,
        bidirectional: bool = False,
    ):
        sizes = inner_size, state_size, conv_kernel, time_step_rank
        super().__init__(*sizes)
        self.in_proj = nn.Linear(hidden_size, 2 * inner_size, bias=False)
        self.out_proj = nn.Linear(inner_size, hidden_size, bias=False)
        self.reverse = SelectiveStateSpace(*sizes) if bidirectional else None

    def forward(self, hidden_states: torch.Tensor, reversed_order: torch.Tensor | None = None) -> torch.Tensor:
        """
        Args:
            hidden_states: (B, L, hidden size).
            reversed_order: (B, L) int64 from `reverse_tokens`, needed by a bidirectional mixer.
        Returns:
            (B, L, hidden size).
        """
        inputs, gate = self.in_proj(hidden_states).chunk(2, dim=2)
        outputs = self.scan(inputs)
        if self.reverse is not None:
            outputs = outputs + gather_tokens(self.reverse.scan(gather_tokens(inputs, reversed_order)), reversed_order)
        return self.out_proj((outputs * F.silu(gate.float())).to(gate.dtype))

    def init_weights(self, config: PreTrainedConfig) -> None:
        """Also the projection that writes into the residual stream, which is smaller the more blocks there are."""
        super().init_weights(config)
        bound = (self.out_proj.in_features * config.num_hidden_layers) ** -0.5
        init.uniform_(self.out_proj.weight, -bound, bound)
