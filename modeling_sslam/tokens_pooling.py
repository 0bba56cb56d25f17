"""From patch tokens to one vector (or one decision) per clip; padded tokens never take part."""

from __future__ import annotations

import torch
from torch import nn


def masked_mean(tokens: torch.Tensor, token_mask: torch.Tensor | None) -> torch.Tensor:
    """Mean over real tokens: (B, L, D), (B, L) bool or None -> (B, D)."""
    if token_mask is None:
        return tokens.mean(dim=1)
    weights = token_mask.to(tokens.dtype)[..., None]
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


class AttentivePooling(nn.Module):
    """Weighted mean of tokens; the weights are a softmax over tokens of one learned linear score."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.score = nn.Linear(hidden_size, 1)

    def forward(self, tokens: torch.Tensor, token_mask: torch.Tensor | None) -> torch.Tensor:
        """(B, L, D), (B, L) bool or None -> (B, D). The softmax is taken in float32."""
        scores = self.score(tokens).squeeze(-1).float()
        if token_mask is not None:
            scores = scores.masked_fill(~token_mask, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=1).to(tokens.dtype)
        return (weights[:, None] @ tokens).squeeze(1)


def linear_softmax(tokens: torch.Tensor, token_mask: torch.Tensor | None) -> torch.Tensor:
    """Linear-softmax pooling (Wang et al., 2019) of every channel, in the log domain and in float32.

    With p = sigmoid(x) of the tokens, the pooled value is the logit of `sum(p**2) / sum(p)`.

    Args:
        tokens: (B, L, D).
        token_mask: (B, L) bool or None.
    Returns:
        (B, D) in the dtype of the tokens.
    """
    log_p = nn.functional.logsigmoid(tokens.float())
    if token_mask is not None:
        log_p = log_p.masked_fill(~token_mask[..., None], float("-inf"))
    pooled = (2 * log_p).logsumexp(dim=1) - log_p.logsumexp(dim=1)
    # A probability that rounds to one has an infinite logit: stay one float32 step below.
    pooled = pooled.clamp(max=-torch.finfo(torch.float32).eps)
    return (pooled - torch.log(-torch.expm1(pooled))).to(tokens.dtype)
