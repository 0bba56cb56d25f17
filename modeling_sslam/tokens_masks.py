"""Token masks for masked pretraining, sampled for a whole batch at once, and the indexing that goes with them."""

from __future__ import annotations

from typing import NamedTuple

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


def split_indices(bool_masked_pos: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the visible and of the masked tokens, ascending in each row.

    Args:
        bool_masked_pos: (B, L) bool, True = masked. On the CPU this needs no synchronisation with a GPU.
    Returns:
        visible (B, K) and masked (B, L - K), int64.
    Raises:
        ValueError: rows differ in their number of masked tokens, or a row has no visible or no masked token.
    """
    num_masked = bool_masked_pos.sum(dim=1)
    fewest, most = int(num_masked.min()), int(num_masked.max())
    num_tokens = bool_masked_pos.shape[1]
    if fewest != most:
        raise ValueError(
            f"every row of bool_masked_pos must mask the same number of tokens, but rows mask {fewest} to {most} "
            f"of {num_tokens}"
        )
    if most in (0, num_tokens):
        raise ValueError(
            f"bool_masked_pos masks {most} of {num_tokens} tokens: at least one must stay visible and one be masked"
        )
    order = bool_masked_pos.to(torch.uint8).argsort(dim=1, stable=True)
    return order[:, : num_tokens - most], order[:, num_tokens - most :]


def visible_tokens(bool_masked_pos: torch.Tensor, num_clips: int, num_tokens: int) -> torch.Tensor:
    """Indices of the visible tokens of a mask, checked against the clips that it is for.

    Args:
        bool_masked_pos: (num_clips * clones, num_tokens) bool, True = masked.
    Returns:
        (num_clips * clones, K) int64, ascending in each row.
    Raises:
        ValueError: a mask of another shape, or as in `split_indices`.
    """
    if bool_masked_pos.shape[1] != num_tokens or bool_masked_pos.shape[0] % num_clips:
        raise ValueError(
            f"bool_masked_pos has shape {tuple(bool_masked_pos.shape)}: expected a multiple of {num_clips} rows "
            f"(clips times clones) and {num_tokens} columns (patches)"
        )
    return split_indices(bool_masked_pos)[0]


class RandomMask(NamedTuple):
    """Masks of a masked autoencoder (He et al., 2022), K of L tokens kept in each row.

    Args:
        kept: (B, K) int64 indices of the kept tokens, in the order of their noise.
        restore: (B, L) int64, where each token stands in the order kept tokens first, masked ones behind.
        bool_masked_pos: (B, L) bool, True = masked.
    """

    kept: torch.Tensor
    restore: torch.Tensor
    bool_masked_pos: torch.Tensor


def random_mask(noise: torch.Tensor, mask_ratio: float) -> RandomMask:
    """Keeps the tokens with the smallest noise; equal noise keeps the first.

    Args:
        noise: (B, L) uniform numbers.
        mask_ratio: share of masked tokens, rounded up to whole tokens.
    Raises:
        ValueError: no token would be kept, or none masked.
    """
    num_rows, num_tokens = noise.shape
    # As the official code of SSAM and MW-MAE writes it: `1 - mask_ratio` would round 0.2 * 250 down to 49.
    num_kept = int(num_tokens * (100 - 100 * mask_ratio) / 100)
    if not 0 < num_kept < num_tokens:
        raise ValueError(
            f"mask_ratio {mask_ratio} keeps {num_kept} of {num_tokens} tokens: choose a ratio or a clip length that "
            "keeps some and masks some"
        )
    order = noise.argsort(dim=1, stable=True)
    kept = order[:, :num_kept]
    bool_masked_pos = torch.ones(num_rows, num_tokens, dtype=torch.bool, device=noise.device).scatter_(1, kept, False)
    return RandomMask(kept, order.argsort(dim=1), bool_masked_pos)


def gather_tokens(tokens: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Picks tokens row by row: (B, L, D) and (B, K) -> (B, K, D)."""
    return tokens.gather(1, indices[..., None].expand(-1, -1, tokens.shape[2]))


def reverse_tokens(token_mask: torch.Tensor) -> torch.Tensor:
    """Indices that turn the real tokens around and leave padding, which is at the end, where it is.

    The order is its own inverse.

    Args:
        token_mask: (B, L) bool, True = real; the real tokens of a row come first.
    Returns:
        (B, L) int64.
    """
    index = torch.arange(token_mask.shape[1], device=token_mask.device)
    return torch.where(token_mask, token_mask.sum(dim=1, keepdim=True) - 1 - index, index)
