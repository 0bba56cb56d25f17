"""Long recordings as windows: where they start, the windows themselves, and merging what a model says about each."""

from __future__ import annotations

import torch

MERGES = ("mean", "max")


def window_starts(num_samples: int, window: int, hop: int) -> list[int]:
    """First sample of every window; windows cover all samples.

    Windows start every `hop` samples as long as they fit. Where a tail remains, a last window of full length ends with
    the audio (so it overlaps the one before by more than the others do). Audio shorter than a window is one, shorter,
    window.

    Args:
        num_samples, window, hop: in samples, with 0 < hop <= window.
    Raises:
        ValueError: sizes out of range.
    """
    if not 0 < hop <= window:
        raise ValueError(f"Windows of {window} samples cannot start every {hop} samples: expected 0 < hop <= window.")
    if num_samples <= window:
        return [0]
    last = num_samples - window
    starts = list(range(0, last + 1, hop))
    return starts if starts[-1] == last else [*starts, last]


def split_windows(waveform: torch.Tensor, window: int, hop: int) -> list[torch.Tensor]:
    """The windows (..., window) of a waveform (..., N), see `window_starts`; views, so they need no memory."""
    return [waveform[..., start : start + window] for start in window_starts(waveform.shape[-1], window, hop)]


def check_merge(merge: str) -> None:
    """Raises ValueError for a merge that `merge_windows` does not know."""
    if merge not in MERGES:
        raise ValueError(f"Unknown merge {merge!r}: expected one of {', '.join(MERGES)}.")


def merge_windows(values: torch.Tensor, merge: str) -> torch.Tensor:
    """Merges scores (W, ...) of the W windows of a recording into (...), by their "mean" or their "max".

    Raises:
        ValueError: an unknown merge.
    """
    check_merge(merge)
    return values.mean(dim=0) if merge == "mean" else values.amax(dim=0)
