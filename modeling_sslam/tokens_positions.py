"""Fixed sine/cosine position tables for tokens on a time-frequency grid (Vaswani et al., 2017; two axes as in MAE)."""

from __future__ import annotations

import torch


def sincos_table(positions: torch.Tensor, num_channels: int, base: float = 10000.0) -> torch.Tensor:
    """Sines, then cosines, of `positions` at `num_channels / 2` geometrically spaced angular rates, in float32.

    Args:
        positions: (L,) grid indices.
        num_channels: even number of channels of the result.
        base: the rates fall from 1 to almost `1 / base`.
    Returns:
        (L, num_channels) float32.
    """
    half = num_channels // 2
    exponents = torch.arange(half, dtype=torch.float32, device=positions.device) / half
    angles = positions.float()[:, None] * (1.0 / base**exponents)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def time_frequency_table(
    num_time: int, num_frequency: int, hidden_size: int, device: torch.device | None = None
) -> torch.Tensor:
    """Position table of a time-major grid: row `t * num_frequency + f`.

    The first half of the channels codes the frequency index, the second half the time index.

    Returns:
        (num_time * num_frequency, hidden_size) float32.
    Raises:
        ValueError: `hidden_size` is not a multiple of 4 (sine and cosine for two axes).
    """
    if hidden_size % 4:
        raise ValueError(f"hidden_size is {hidden_size}: sine/cosine positions on two axes need a multiple of 4")
    frequency = sincos_table(torch.arange(num_frequency, device=device), hidden_size // 2)
    time = sincos_table(torch.arange(num_time, device=device), hidden_size // 2)
    frequency = frequency.expand(num_time, num_frequency, -1)
    time = time[:, None].expand(num_time, num_frequency, -1)
    return torch.cat([frequency, time], dim=2).flatten(0, 1)
