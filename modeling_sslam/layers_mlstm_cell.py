"""The mLSTM cell (Beck et al., "xLSTM: Extended Long Short-Term Memory", 2024): a memory with exponential gates.

With F[t] the sum of log sigmoid(f) up to t, and for j <= t

    S[t, j] = (q[t] . k[j]) / sqrt(DH) exp(F[t] - F[j] + i[j] - m[t]),    m[t] the largest exponent of row t,
    h[t] = sum_j S[t, j] v[j] / (max(|sum_j S[t, j]|, exp(-m[t])) + eps).

`parallel_cell` computes just that, in time and memory that grow with the square of the length. `chunkwise_cell` cuts
the sequence into chunks, between which a memory of fixed size is handed on: inside a chunk it is the parallel form,
and the cost is linear. Both are float32 (float64 stays), also under autocast: sums of many log gates are subtracted.

Where h[t] has a small normaliser, `eps` counts and with it the value of m[t]: its gradient is not left out.
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
    largest = largest_exponents(log_decay, input_gate)
    scores = weighted_scores(scaled(query), key, log_decay, input_gate, largest)
    return normalised(scores @ with_ones(value), largest)


def chunkwise_cell(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    input_gate: torch.Tensor,
    forget_gate: torch.Tensor,
    chunk_size: int,
) -> torch.Tensor:
    """The same with a cost linear in the length.

    The memory at the start of a chunk is sum_j exp(e[j] - s) k[j] [v[j], 1]^T over all earlier tokens, e[j] being the
    exponent with which token j still counts there and the scale s the largest of them.
    """
    sequences = (scaled(query), key, with_ones(value), input_gate, nn.functional.logsigmoid(forget_gate))
    memory = value.new_zeros(*key.shape[:2], key.shape[3], value.shape[3] + 1)
    scale = value.new_full((*key.shape[:2], 1), -torch.inf)
    outputs = []
    for q, k, v, gate, log_forget in zip(*(sequence.split(chunk_size, dim=2) for sequence in sequences), strict=True):
        log_decay = log_forget.cumsum(dim=2)
        from_memory = log_decay + scale
        largest = torch.maximum(largest_exponents(log_decay, gate), from_memory)
        recalled = (q * (from_memory - largest).exp()[..., None]) @ memory
        outputs.append(normalised(weighted_scores(q, k, log_decay, gate, largest) @ v + recalled, largest))

        # At the chunk's end everything counts as it does for the chunk's last token.
        scale = largest[..., -1:]
        written = k * (log_decay[..., -1:] - log_decay + gate - scale).exp()[..., None]
        kept = (from_memory[..., -1:] - scale).exp()[..., None]
        memory = kept * memory + written.transpose(2, 3) @ v
    return torch.cat(outputs, dim=2)


def largest_exponents(log_decay: torch.Tensor, input_gate: torch.Tensor) -> torch.Tensor:
    """m[t], the largest of F[t] - F[j] + i[j] for j <= t: (B, heads, L) each.

    F[t] does not decide which one it is, so no table of all t and j is needed.
    """
    index = (input_gate - log_decay).cummax(dim=2).indices
    return log_decay - log_decay.gather(2, index) + input_gate.gather(2, index)


def weighted_scores(
    query: torch.Tensor, key: torch.Tensor, log_decay: torch.Tensor, input_gate: torch.Tensor, largest: torch.Tensor
) -> torch.Tensor:
    """S[t, j] of the module's docstring from a scaled query: (B, heads, L, L), zero for j > t."""
    length = log_decay.shape[2]
    later = torch.ones(length, length, dtype=torch.bool, device=log_decay.device).triu(1)
    # F[t] - F[j] comes first: long sums, most of which cancel. In place, as only the result of exp is needed again.
    exponents = (log_decay[..., None] - log_decay[:, :, None]).add_(input_gate[:, :, None]).sub_(largest[..., None])
    return query @ key.transpose(2, 3) * exponents.masked_fill_(later, -torch.inf).exp_()


def scaled(query: torch.Tensor) -> torch.Tensor:
    """The query over the root of its width."""
    return query * query.shape[-1] ** -0.5


def with_ones(value: torch.Tensor) -> torch.Tensor:
    """A channel of ones behind those of the value, in which the weights are summed for the normaliser."""
    return nn.functional.pad(value, (0, 1), value=1.0)


def normalised(sums: torch.Tensor, largest: torch.Tensor) -> torch.Tensor:
    """Divides weighted sums of values by their normaliser.

    Args:
        sums: (B, heads, L, DH + 1) of values `with_ones`.
        largest: (B, heads, L), m[t] relative to which the weights were taken.
    """
    values, ones = sums[..., :-1], sums[..., -1:]
    return values / (torch.maximum(ones.abs(), (-largest).exp()[..., None]) + EPS)


__all__ = ["mlstm_cell"]
