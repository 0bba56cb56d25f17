"""Self-attention whose heads see windows of different sizes: the blocks of MW-MAE.

Yadav et al., "Masked Autoencoders with Multi-Window Local-Global Attention Are Better Audio Learners", ICLR 2024. The
tokens are cut into consecutive windows, and a head attends within each; a learned bias says how far query and key are
apart (Liu et al., "Swin Transformer", ICCV 2021; the paper leaves the bias out, its code has it).

Neighbouring heads of the same window are one call of the attention function, with the windows as the batch: a view of
the projections, and no matrix of all tokens by all tokens.
"""

import itertools
from collections.abc import Callable

import torch
from torch import nn
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .layers_initializers import init_lecun
from .layers_transformer import eager_attention_forward

BIAS_TABLE_GAIN = 0.02
OTHER_REGION = -100.0  # added to the score of tokens that a shift has brought into one window; not infinite


class HeadGroup(nn.Module):
    """Heads of one window size.

    Args:
        config: of the model, for the choice of the attention function.
        num_heads: heads of the group.
        window: tokens of a window; 0 for heads that attend to all tokens and have no bias.
        shifted: whether windows start half a window later, around the end.
    """

    def __init__(self, config: PreTrainedConfig, num_heads: int, window: int, shifted: bool):
        super().__init__()
        self.config = config
        self.num_heads = num_heads
        self.window = window
        self.shift = window // 2 if shifted else 0
        self.is_causal = False
        self.relative_position_bias_table = nn.Parameter(torch.zeros(num_heads, 2 * window - 1)) if window else None

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        token_mask: torch.Tensor | None,
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """
        Args:
            query, key, value: (B, L, heads, D / heads) of these heads.
            token_mask: (B, L) bool, True = may be attended to.
        Returns:
            (B, L, heads, D / heads), and the weights (B * windows, heads, window, window) where the implementation
            gives them; those of shifted windows start with the shifted ones.
        Raises:
            ValueError: the window does not divide the tokens.
        """
        num_clips, num_tokens = query.shape[:2]
        window = self.window or num_tokens
        if num_tokens % window:
            raise ValueError(
                f"windows of {window} do not divide {num_tokens} tokens: choose a clip length or windows that do"
            )
        in_windows = [self._cut(tokens, window).transpose(1, 2) for tokens in (query, key, value)]
        attention: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        bias = self.bias(num_clips, num_tokens, token_mask, query)
        context, weights = attention(self, *in_windows, bias, scaling=query.shape[3] ** -0.5, **kwargs)
        context = context.unflatten(0, (num_clips, -1)).flatten(1, 2)
        return context.roll(self.shift, 1) if self.shift else context, weights

    def _cut(self, tokens: torch.Tensor, window: int) -> torch.Tensor:
        """(B, L, ...) -> (B * windows, window, ...), a view unless windows are shifted."""
        tokens = tokens.roll(-self.shift, 1) if self.shift else tokens
        return tokens.unflatten(1, (-1, window)).flatten(0, 1)

    def bias(
        self, num_clips: int, num_tokens: int, token_mask: torch.Tensor | None, like: torch.Tensor
    ) -> torch.Tensor | None:
        """What is added to the scores, to be broadcast to (B * windows, heads, window, window); None for nothing."""
        bias = None
        if self.window:
            bias = self.relative_position_bias()[None].to(like.dtype)
        if self.shift:
            bias = (bias + self._between_regions(num_tokens, like)).repeat(num_clips, 1, 1, 1)
        if token_mask is not None:
            bias = like.new_zeros(1) if bias is None else bias
            keys = self._cut(token_mask, self.window or num_tokens)[:, None, None]
            bias = bias.masked_fill(~keys, torch.finfo(like.dtype).min)
        return bias

    def relative_position_bias(self) -> torch.Tensor:
        """(heads, window, window): entry [a, b] is the table's at a - b + window - 1, query a and key b.

        Row a is a slice of the reversed table, so no index is needed.
        """
        return self.relative_position_bias_table.flip(1).unfold(1, self.window, 1).flip(1)

    def init_weights(self, config: PreTrainedConfig) -> None:
        if self.relative_position_bias_table is not None:
            init_lecun(self.relative_position_bias_table, BIAS_TABLE_GAIN)

    def _between_regions(self, num_tokens: int, like: torch.Tensor) -> torch.Tensor:
        """(windows, 1, window, window): 0 within a region of the shifted tokens, `OTHER_REGION` between two.

        The last window holds the tokens that the shift took from the front: they are a region of their own.
        """
        place = torch.arange(num_tokens, device=like.device)
        region = (place >= num_tokens - self.window).int() + (place >= num_tokens - self.shift).int()
        region = region.unflatten(0, (-1, self.window))
        return (region[:, :, None] != region[:, None, :]).to(like.dtype)[:, None] * OTHER_REGION

    def on_all_tokens(self, weights: torch.Tensor, num_clips: int) -> torch.Tensor:
        """Weights within windows -> (B, heads, L, L), zero between windows."""
        if not self.window:
            return weights
        blocks = torch.diag_embed(weights.unflatten(0, (num_clips, -1)).permute(0, 2, 3, 4, 1), dim1=2, dim2=4)
        return blocks.flatten(4, 5).flatten(2, 3).roll((self.shift, self.shift), (2, 3))


class WindowAttention(nn.Module):
    """Multi-head self-attention with a window for each head, and one joint query/key/value projection.

    Args:
        config: of the model; `qkv_bias` is read.
        hidden_size: channels D.
        window_sizes: one a head, 0 for attention to all tokens.
        shifted: whether windows are shifted, see `HeadGroup`.
    """

    def __init__(self, config: PreTrainedConfig, hidden_size: int, window_sizes: tuple[int, ...], shifted: bool):
        super().__init__()
        self.head_dim = hidden_size // len(window_sizes)
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size, bias=config.qkv_bias)
        self.groups = nn.ModuleList(
            HeadGroup(config, len(list(heads)), window, shifted) for window, heads in itertools.groupby(window_sizes)
        )
        self.out_proj = nn.Linear(hidden_size, hidden_size)

    def forward(
        self,
        hidden_states: torch.Tensor,
        token_mask: torch.Tensor | None = None,
        output_attentions: bool | None = None,
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """
        Args:
            hidden_states: (B, L, D).
            token_mask: (B, L) bool, True = may be attended to.
            output_attentions: whether to write the weights out on all tokens.
        Returns:
            (B, L, D), and on request (eager attention only) the weights (B, heads, L, L).
        Raises:
            ValueError: a window does not divide the tokens.
        """
        projections = self.qkv(hidden_states).unflatten(2, (3, -1, self.head_dim)).unbind(2)
        sizes = [group.num_heads for group in self.groups]
        contexts, maps = [], []
        for group, *tensors in zip(self.groups, *(tensor.split(sizes, 2) for tensor in projections), strict=True):
            context, weights = group(*tensors, token_mask, output_attentions=output_attentions, **kwargs)
            contexts.append(context)
            if output_attentions and weights is not None:
                maps.append(group.on_all_tokens(weights, len(hidden_states)))
        return self.out_proj(concatenate(contexts, 2).flatten(2)), concatenate(maps, 1) if maps else None


def concatenate(tensors: list[torch.Tensor], dim: int) -> torch.Tensor:
    """`torch.cat` that leaves a single tensor as it is."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim)
