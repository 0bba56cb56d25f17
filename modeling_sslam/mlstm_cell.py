"""The mLSTM cell (Beck et al., "xLSTM: Extended Long Short-Term Memory", 2024): a memory with exponential gates.

With F[t] the sum of log sigmoid(f) up to t, and for j <= t

    S[t, j] = (q[t] . k[j]) / sqrt(DH) exp(F[t] - F[j] + i[j] - m[t]),    m[t] the largest exponent of row t,
    h[t] = sum_j S[t, j] v[j] / (max(|sum_j S[t, j]|, exp(-m[t])) + eps).

`parallel_cell` computes just that, in time and memory that grow with the square of the length. `chunkwise_cell` cuts
the sequence into chunks, between which a memory of fixed size is handed on: inside a chunk it is the parallel form,
and the cost is linear. Both are float32 (float64 stays), also under autocast: sums of many log gates are subtracted.
"""

import torch
from torch import nn
from transformers.utils.generic import maybe_autocast

EPS = 1e-6


def mlstm_cell(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    input_gate: torch.Tensor,
    forget_gate: torch.Tensor,
    chunk_size: int,
) -> torch.Tensor:
    """The cell on a sequence of any length; chunkwise where that costs less than the parallel form.

    Args:
        query, key, value: (B, heads, L, DH).
        input_gate, forget_gate: (B, heads, L) before exponential and sigmoid.
        chunk_size: tokens a chunk. Sequences of up to four chunks are computed in parallel form.
    Returns:
        (B, heads, L, DH) float32 (float64 where `query` is).
    """
    dtype = torch.promote_types(query.dtype, torch.float32)
    arguments = [tensor.to(dtype) for tensor in (query, key, value, input_gate, forget_gate)]
    with maybe_autocast(query.device.type, enabled=False):
        if query.shape[2] <= 4 * chunk_size:
            return parallel_cell(*arguments)
        return chunkwise_cell(*arguments, chunk_size)


def parallel_cell(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    input_gate: torch.Tensor,
    forget_gate: torch.Tensor,
) -> torch.Tensor:
    """The cell in its parallel, stabilised form; arguments and result of `mlstm_cell`, without conversions."""
    log_decay = nn.functional.logsigmoid(forget_gate).cumsum(dim=2)
    log_weights = causal_log_weights(log_decay, input_gate)
    largest = log_weights.amax(dim=3).detach()
    weights = (log_weights - largest[..., None]).exp()
    scores = scaled(query) @ key.transpose(2, 3) * weights
    return normalised(scores @ value, scores.sum(dim=3), largest)


def chunkwise_cell(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    input_gate: torch.Tensor,
    forget_gate: torch.Tensor,
    chunk_size: int,
) -> torch.Tensor:
    """The same with a cost linear in the length.

    The memory at the start of a chunk is C = sum_j exp(a[j] - m) k[j] v[j]^T and n = sum_j exp(a[j] - m) k[j] over all
    earlier tokens, a[j] being the exponent with which token j still counts there and m the largest of them.
    """
    sequences = (scaled(query), key, value, input_gate, nn.functional.logsigmoid(forget_gate))
    batch_heads, head_dim = query.shape[:2], query.shape[3]
    memory, norm = value.new_zeros(*batch_heads, head_dim, head_dim), value.new_zeros(*batch_heads, head_dim, 1)
    scale = value.new_full((*batch_heads, 1), -torch.inf)
    outputs = []
    for q, k, v, gate, log_forget in zip(*(sequence.split(chunk_size, dim=2) for sequence in sequences), strict=True):
        log_decay = log_forget.cumsum(dim=2)
        log_weights = causal_log_weights(log_decay, gate)
        from_memory = log_decay + scale
        largest = torch.maximum(log_weights.amax(dim=3), from_memory).detach()
        scores = q @ k.transpose(2, 3) * (log_weights - largest[..., None]).exp()
        recalled = q * (from_memory - largest).exp()[..., None]
        sums = scores.sum(dim=3) + (recalled @ norm).squeeze(3)
        outputs.append(normalised(scores @ v + recalled @ memory, sums, largest))

        # What each token of this chunk, and the memory, still count at the chunk's end.
        remaining = log_decay[..., -1:]
        exponents = remaining - log_decay + gate
        new_scale = torch.maximum(exponents.amax(dim=2, keepdim=True), remaining + scale).detach()
        kept = (remaining + scale - new_scale).exp()[..., None]
        written = (k * (exponents - new_scale).exp()[..., None]).transpose(2, 3)
        memory, norm = kept * memory + written @ v, kept * norm + written.sum(dim=3, keepdim=True)
        scale = new_scale
    return torch.cat(outputs, dim=2)


def causal_log_weights(log_decay: torch.Tensor, input_gate: torch.Tensor) -> torch.Tensor:
    """Exponents F[t] - F[j] + i[j], -inf for j > t: (B, heads, L) twice -> (B, heads, L, L)."""
    length = log_decay.shape[2]
    later = torch.ones(length, length, dtype=torch.bool, device=log_decay.device).triu(1)
    log_weights = log_decay[..., None] + (input_gate - log_decay)[:, :, None]
    return log_weights.masked_fill(later, -torch.inf)


def scaled(query: torch.Tensor) -> torch.Tensor:
    """The query over the root of its width."""
    return query * query.shape[-1] ** -0.5


def normalised(numerator: torch.Tensor, sums: torch.Tensor, largest: torch.Tensor) -> torch.Tensor:
    """Divides (B, heads, L, DH) by the normaliser that belongs to exponents relative to `largest` (B, heads, L)."""
    return numerator / (torch.maximum(sums.abs(), (-largest).exp()) + EPS)[..., None]


__all__ = ["mlstm_cell"]
