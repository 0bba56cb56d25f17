"""Masks drawn for a whole batch at once: inverse blocks (data2vec 2.0) and shuffled patches (MAE)."""

from __future__ import annotations

import torch


def num_kept_tokens(num_tokens: int, mask_prob: float) -> int:
    """Visible tokens of a row: the truncated share `1 - mask_prob` (EAT: 102 of 512 at 0.8)."""
    return int(num_tokens * (1.0 - mask_prob))


def num_blocks(num_tokens: int, mask_prob: float, mask_prob_adjust: float, block_area: int) -> int:
    """Blocks drawn for a row: enough for the visible share plus `mask_prob_adjust` if none overlapped, truncated."""
    return int(num_tokens * (1.0 - mask_prob + mask_prob_adjust) / block_area)


def inverse_block_mask(
    num_rows: int,
    grid: tuple[int, int],
    mask_prob: float,
    mask_prob_adjust: float,
    block_size: int,
    generator: torch.Generator,
    block_shape: tuple[int, int] | None = None,
) -> torch.Tensor:
    """Inverse block masks (data2vec 2.0, Baevski et al., 2022): what stays visible are square blocks.

    Block centres are drawn with replacement; their union, cut off at the border, is visible. Each row is then brought
    to the same number of visible cells by hiding or showing single cells drawn uniformly, which one `topk` does for
    all rows: visible cells rank above hidden ones, in random order among themselves.

    Args:
        num_rows: masks to draw (clips times clones).
        grid: (time patches, frequency patches).
        mask_prob: share of hidden cells.
        mask_prob_adjust: added to the visible share when the number of blocks is chosen.
        block_size: side of a block in patches.
        generator: source of all randomness; the masks are made on its device.
        block_shape: (time, frequency) shape in place of the square one. The first offset stays `-(block_size // 2)`.
    Returns:
        (num_rows, L) bool, True = masked, every row with the same number of True; L is time-major.
    Raises:
        ValueError: the parameters leave no visible or no masked token.
    """
    num_time, num_frequency = grid
    num_tokens = num_time * num_frequency
    num_visible = num_kept_tokens(num_tokens, mask_prob)
    if not 0 < num_visible < num_tokens:
        raise ValueError(
            f"mask_prob {mask_prob} on a {num_time} x {num_frequency} grid leaves {num_visible} of {num_tokens} "
            "tokens visible: choose a mask_prob or a clip length that leaves some visible and some masked"
        )
    block_time, block_frequency = block_shape or (block_size, block_size)
    device = generator.device
    blocks = num_blocks(num_tokens, mask_prob, mask_prob_adjust, block_time * block_frequency)
    centres = torch.randint(num_tokens, (num_rows, blocks), generator=generator, device=device)

    # Blocks are drawn on a grid with a margin on all sides, which is then cut off: no cell needs a border check.
    margin = block_size // 2
    rows_with_margin = num_time + max(block_time - 1, margin)
    columns_with_margin = num_frequency + max(block_frequency - 1, margin)
    block = torch.arange(block_time, device=device)[:, None] * columns_with_margin
    block = (block + torch.arange(block_frequency, device=device)).flatten()
    first_cells = centres + centres.div(num_frequency, rounding_mode="floor") * (columns_with_margin - num_frequency)
    cells = (first_cells[..., None] + block).flatten(1)
    in_block = torch.zeros(num_rows, rows_with_margin * columns_with_margin, device=device).scatter_(1, cells, 1.0)
    in_block = in_block.unflatten(1, (rows_with_margin, columns_with_margin))
    in_block = in_block[:, margin : margin + num_time, margin : margin + num_frequency].flatten(1)

    rank = torch.rand(num_rows, num_tokens, generator=generator, device=device) + in_block
    visible = rank.topk(num_visible, dim=1, sorted=False).indices
    return torch.ones(num_rows, num_tokens, dtype=torch.bool, device=device).scatter_(1, visible, False)


def shuffled_patches(noise: torch.Tensor, mask_ratio: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Keeps the patches with the smallest noise (He et al., 2022); equal noise keeps the first.

    Args:
        noise: (B, L) uniform numbers.
        mask_ratio: share of masked patches, rounded up to whole patches.
    Returns:
        kept (B, K) and masked (B, L - K) int64 patches, both in the order of their noise.
    Raises:
        ValueError: no patch would be kept, or none masked.
    """
    num_tokens = noise.shape[1]
    # As the official code of SSAM and MW-MAE writes it: `1 - mask_ratio` would round 0.2 * 250 down to 49.
    num_kept = int(num_tokens * (100 - 100 * mask_ratio) / 100)
    if not 0 < num_kept < num_tokens:
        raise ValueError(
            f"mask_ratio {mask_ratio} keeps {num_kept} of {num_tokens} tokens: choose a ratio or a clip length that "
            "keeps some and masks some"
        )
    order = noise.argsort(dim=1, stable=True)
    return order[:, :num_kept], order[:, num_kept:]
