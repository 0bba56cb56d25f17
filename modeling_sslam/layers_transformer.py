"""The parts of a transformer block that families share; how they are put together is each family's own."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


class BlockSizes(NamedTuple):
    """What blocks beside those of the encoder differ in; of an encoder's blocks, its configuration says the same."""

    hidden_size: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: str


class DropPath(nn.Module):
    """Stochastic depth: zeroes whole rows of a residual branch and rescales the others (Huang et al., 2016)."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        if not self.training or self.rate == 0.0:
            return branch
        keep = branch.new_empty(branch.shape[0], *[1] * (branch.ndim - 1)).bernoulli_(1.0 - self.rate)
        return branch * keep / (1.0 - self.rate)


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Plain attention that also returns its weights; softmax in float32. Shapes (B, heads, L, D / heads)."""
    logits = query * scaling @ key.transpose(2, 3)
    if attention_mask is not None:
        logits = logits + attention_mask
    weights = logits.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2).contiguous(), weights


class SelfAttention(nn.Module):
    """Multi-head self-attention with one joint query/key/value projection.

    Args:
        config: of the model, which says how attention is computed; `qkv_bias` and `attention_probs_dropout_prob` are
            read too.
        sizes: of the blocks, where they are not the encoder's.
    """

    def __init__(self, config: PreTrainedConfig, sizes: BlockSizes | None = None):
        super().__init__()
        width, self.num_heads = (sizes or config).hidden_size, (sizes or config).num_attention_heads
        self.config = config
        self.head_dim = width // self.num_heads
        self.scaling = self.head_dim**-0.5
        self.is_causal = False
        self.qkv = nn.Linear(width, 3 * width, bias=config.qkv_bias)
        self.out_proj = nn.Linear(width, width)

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, L, D) -> (B, L, D), and the attention weights where the implementation gives them."""
        qkv = self.qkv(hidden_states).unflatten(2, (3, self.num_heads, self.head_dim))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        attention: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        context, weights = attention(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.config.attention_probs_dropout_prob if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return self.out_proj(context.flatten(2)), weights


class FeedForward(nn.Module):
    """Position-wise feed-forward branch.

    Args:
        sizes: a configuration, or what else has `hidden_size`, `intermediate_size` and `hidden_act`.
    """

    def __init__(self, sizes: PreTrainedConfig | tuple):
        super().__init__()
        self.activation = ACT2FN[sizes.hidden_act]
        self.fc1 = nn.Linear(sizes.hidden_size, sizes.intermediate_size)
        self.fc2 = nn.Linear(sizes.intermediate_size, sizes.hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.activation(self.fc1(hidden_states)))


class PreNormLayer(GradientCheckpointingLayer):
    """Pre-norm transformer block.

    Args:
        config: of the model, see `SelfAttention`; `layer_norm_eps` is read too.
        sizes: of the blocks, where they are not the encoder's.
    """

    def __init__(self, config: PreTrainedConfig, sizes: BlockSizes | None = None):
        super().__init__()
        width = (sizes or config).hidden_size
        self.norm1 = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.attention = SelfAttention(config, sizes)
        self.norm2 = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.mlp = FeedForward(sizes or config)

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> torch.Tensor:
        """(B, L, D) -> (B, L, D)."""
        attended, _ = self.attention(self.norm1(hidden_states), attention_mask, **kwargs)
        hidden_states = hidden_states + attended
        return hidden_states + self.mlp(self.norm2(hidden_states))
