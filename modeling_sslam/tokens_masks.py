"""Token masks as models take them, in two spellings, and the indexing that goes with them.

A mask is `bool_masked_pos` (B, L), True = masked, or the same mask as `kept_indices` (B, K): the tokens that are not
masked, in the order in which an encoder reads them. Every row keeps the same number. A mask that lies on a GPU must be
waited for before that number is known; indices have it as their shape. Who trains a model draws its masks.
"""

from __future__ import annotations

import torch


def kept_tokens(bool_masked_pos: torch.Tensor) -> torch.Tensor:
    """(B, L) bool, True = masked -> (B, K) int64 indices of the others, ascending in each row.

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
    return bool_masked_pos.to(torch.uint8).argsort(dim=1, stable=True)[:, : num_tokens - most]


def masked_positions(kept_indices: torch.Tensor, num_tokens: int) -> torch.Tensor:
    """(B, K) kept tokens of `num_tokens` -> the mask (B, L) bool, True = masked."""
    mask = torch.ones(len(kept_indices), num_tokens, dtype=torch.bool, device=kept_indices.device)
    return mask.scatter_(1, kept_indices, False)


def masked_tokens(kept_indices: torch.Tensor, num_tokens: int) -> torch.Tensor:
    """(B, K) kept tokens of `num_tokens` -> (B, L - K) int64 indices of the masked ones, ascending in each row."""
    order = masked_positions(kept_indices, num_tokens).to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    return order[:, : num_tokens - kept_indices.shape[1]]


def resolve_mask(
    bool_masked_pos: torch.Tensor | None,
    kept_indices: torch.Tensor | None,
    num_rows: int,
    num_tokens: int,
    device: torch.device,
    clones: bool = False,
) -> torch.Tensor:
    """The mask of a pretraining model as kept tokens on its device, whichever way it was given.

    Args:
        bool_masked_pos, kept_indices: the mask, in one of the two spellings.
        num_rows, num_tokens: of the clips that it is for.
        clones: whether a clip may have several masks: rows are then a multiple of the clips, clip 0's first.
    Returns:
        (rows, K) int64.
    Raises:
        ValueError: no mask or both, one of another shape, or as in `kept_tokens`.
    """
    if bool_masked_pos is not None and kept_indices is not None:
        raise ValueError("pretraining needs one mask, but got both: pass bool_masked_pos or kept_indices")
    given = bool_masked_pos if kept_indices is None else kept_indices
    if given is None:
        raise ValueError("pretraining needs one mask, but got neither: pass bool_masked_pos or kept_indices")
    rows_fit = len(given) % num_rows == 0 if clones else len(given) == num_rows
    if kept_indices is not None:
        if not rows_fit or not 0 < kept_indices.shape[1] < num_tokens:
            raise ValueError(
                f"kept_indices has shape {tuple(kept_indices.shape)}, but there are {num_rows} clips of {num_tokens} "
                "patches: keep some of each clip and mask some"
            )
        return kept_indices.to(device, non_blocking=True)
    if not rows_fit or given.shape[1] != num_tokens:
        expected = f"a multiple of {num_rows} rows (clips times clones)" if clones else f"{num_rows} rows (clips)"
        raise ValueError(
            f"bool_masked_pos has shape {tuple(given.shape)}: expected {expected} and {num_tokens} columns (patches)"
        )
    return kept_tokens(given).to(device, non_blocking=True)


def check_attention_mask(attention_mask: torch.Tensor, input_values: torch.Tensor) -> None:
    """Raises ValueError unless the mask is of the clips and frames of `input_values` (B, T, ...)."""
    if attention_mask.shape != input_values.shape[:2]:
        raise ValueError(
            f"attention_mask has shape {tuple(attention_mask.shape)}, but input_values has "
            f"{tuple(input_values.shape[:2])} clips and frames"
        )


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
