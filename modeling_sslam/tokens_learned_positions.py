"""Learned positions of a time-frequency grid, made to serve grids of other sizes (SSAST, Gong et al., AAAI 2022)."""

from __future__ import annotations

import torch
from torch import nn

OFFICIAL_ROWS = 8  # frequency rows by way of which the official code stretches a table in time


def fit_positions(
    table: torch.Tensor, num_time: int, num_frequency: int, fit: str, via_eight_rows: bool = False
) -> torch.Tensor:
    """A table for `num_time` time steps and `num_frequency` frequency patches, cut or stretched out of a learned one.

    Args:
        table: (frequency rows, time columns, D).
        fit: "centre" cuts out the middle of an axis that is too long, and stretches one that is too short; "start"
            takes the beginning in time, and does the same as "centre" in frequency.
        via_eight_rows: stretch in time by way of eight frequency rows, as the official code does.
    Returns:
        (num_time * num_frequency, D), time-major.
    Raises:
        ValueError: more time steps than the table has, with "start".
    """
    rows, columns, _ = table.shape
    grid = table.permute(2, 0, 1)[None]
    if fit == "start":
        if num_time > columns:
            raise ValueError(
                f"the clip has {num_time} time steps, and the learned positions reach {columns}: cut the clip into "
                'windows, or set position_fit="centre", which stretches them'
            )
        grid = grid[..., :num_time]
    elif num_time < columns:
        grid = _centre(grid, 3, num_time)
    elif num_time > columns:
        grid = _stretch(grid, OFFICIAL_ROWS if via_eight_rows else rows, num_time)
    # Differs from the official code, which cuts as many rows as there are time steps and then fails.
    if num_frequency < rows:
        grid = _centre(grid, 2, num_frequency)
    elif num_frequency != grid.shape[2]:
        grid = _stretch(grid, num_frequency, num_time)
    return grid[0].permute(2, 1, 0).flatten(0, 1)


def _centre(grid: torch.Tensor, axis: int, length: int) -> torch.Tensor:
    return grid.narrow(axis, grid.shape[axis] // 2 - length // 2, length)


def _stretch(grid: torch.Tensor, num_rows: int, num_columns: int) -> torch.Tensor:
    """Bilinear interpolation of (1, D, rows, columns), in float32 whatever the precision of the table."""
    size = (num_rows, num_columns)
    return nn.functional.interpolate(grid.float(), size, mode="bilinear", align_corners=False).to(grid.dtype)
