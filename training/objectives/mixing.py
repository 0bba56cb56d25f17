"""Audio mixtures of SSLAM's second stage, made on normalised log-mel spectrograms (Alex et al., ICLR 2025)."""

from __future__ import annotations

import torch


def default_window(num_frames: int, step: int) -> int:
    """Length of a window in frames: the published 240 of 1024, in proportion, as a multiple of `step`."""
    return num_frames * 240 // 1024 // step * step


def window_starts(num_frames: int, window: int, step: int, first: int | None = None) -> range:
    """Possible starts, in frames, of the first unmixed window, or of the second one when `first` is given.

    The first window starts in the first half of the clip, the second anywhere behind the first, so that the last
    `step` frames are always mixed. For 1024 frames, a window of 240 and 16-frame patches: 0, 16, .., 496, and
    first + 240, .., 768.

    Raises:
        ValueError: the window is not a multiple of `step`, or two windows may not fit.
    """
    if window % step or not 0 < window <= num_frames // 4:
        raise ValueError(
            f"a mix window of {window} frames does not fit twice into {num_frames} frames: use a multiple of {step} "
            f"that is at most {num_frames // 4 // step * step}"
        )
    if first is None:
        return range(0, num_frames // 2, step)
    return range(first + window, num_frames - step - window + 1, step)


def draw_windows(num_pairs: int, num_frames: int, window: int, step: int, generator: torch.Generator) -> torch.Tensor:
    """Draws the starts of two unmixed windows per pair: (num_pairs, 2) int64 frames, on the CPU.

    Args:
        num_pairs: one for a whole batch (the official code), or one per clip.
        num_frames, window, step: see `window_starts`.
        generator: a CPU generator.
    """

    def draw(choices: range) -> int:
        return choices[int(torch.randint(len(choices), (), generator=generator))]

    pairs = []
    for _ in range(num_pairs):
        first = draw(window_starts(num_frames, window, step))
        pairs.append([first, draw(window_starts(num_frames, window, step, first))])
    return torch.tensor(pairs)


def unmixed_frames(windows: torch.Tensor, num_frames: int, window: int) -> torch.Tensor:
    """(P, 2) window starts -> (P, num_frames) bool, True = inside a window, where a clip stays as it is."""
    frame = torch.arange(num_frames)
    offset = frame - windows[..., None]
    return ((offset >= 0) & (offset < window)).any(dim=1)


def mix_with_neighbours(input_values: torch.Tensor, unmixed: torch.Tensor) -> torch.Tensor:
    """Each clip with the one before it in the batch: the larger of the two cells, outside the unmixed windows.

    The maximum of log-mels stands for the sum of two sounds, of which the louder dominates a cell.

    Args:
        input_values: (B, T, F) normalised log-mel spectrograms.
        unmixed: (1 or B, T) bool, True = keep the clip as it is.
    Returns:
        (B, T, F).
    Raises:
        ValueError: a batch of one clip, which has no neighbour.
    """
    if input_values.shape[0] < 2:
        raise ValueError("mixing needs at least 2 clips in each process's batch, got 1: raise data.batch_size")
    mixed = torch.maximum(input_values, input_values.roll(1, dims=0))
    return torch.where(unmixed[..., None].to(mixed.device, non_blocking=True), input_values, mixed)
