"""What a call of any of our feature extractors accepts and gives back."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature
from transformers.utils import PaddingStrategy, TensorType

from .audio_io import to_mono
from .audio_resampling import resample


def padding_name(padding: bool | str | PaddingStrategy) -> str:
    """ "longest" or "max_length"; True means "longest", as in transformers.

    Raises:
        ValueError: any other padding.
    """
    name = "longest" if padding is True else padding
    if name not in ("longest", "max_length"):
        raise ValueError(f"Unknown padding {padding!r}: expected 'longest' (or True) or 'max_length'.")
    return name


def as_clips(raw_speech: Any) -> list[Any]:
    """The clips of a batch, each (N,) or (channels, N); one clip of samples is a batch of one.

    Raises:
        ValueError: no clips, or an array of more than three dimensions.
    """
    if isinstance(raw_speech, (torch.Tensor, np.ndarray)):
        if raw_speech.ndim not in (1, 2, 3):
            raise ValueError(
                "Expected audio of shape (samples,), (batch, samples) or (batch, channels, samples), got "
                f"{tuple(raw_speech.shape)}."
            )
        return [raw_speech] if raw_speech.ndim == 1 else list(raw_speech)
    if not isinstance(raw_speech, (list, tuple)):
        raise ValueError(f"Expected audio as lists, numpy arrays or tensors, got {type(raw_speech).__name__}.")
    if len(raw_speech) == 0:
        raise ValueError("Got an empty list instead of audio.")
    return [raw_speech] if isinstance(raw_speech[0], numbers.Real) else list(raw_speech)


def prepare_clips(
    raw_speech: Any, sampling_rate: int | None, own_rate: int, device: str | torch.device | None
) -> list[torch.Tensor]:
    """Checked, mono clips (N,) float32 at the extractor's own rate.

    Args:
        raw_speech: one clip or a batch, see `as_clips`; several channels are averaged before resampling.
        sampling_rate: of `raw_speech`, in Hz.
        own_rate: of the extractor, in Hz.
        device: where to put them; None for where tensors are, or the CPU.
    Raises:
        ValueError: no or a wrong sampling rate, or clips that are empty, not finite, of another rank, or of integers.
    """
    if sampling_rate is None:
        raise ValueError(
            "The sampling rate of the audio is unknown: pass `sampling_rate=` (any rate; clips are resampled to "
            f"{own_rate} Hz)."
        )
    clips = []
    for clip in as_clips(raw_speech):
        samples = to_mono(clip)
        if len(samples) < 2:
            raise ValueError(f"A clip has {len(samples)} samples: it is empty or no audio.")
        samples = resample(samples.to(device or samples.device), sampling_rate, own_rate)
        if not samples.mean().isfinite():  # a single NaN or infinity shows in the mean
            raise ValueError("A clip holds NaN or infinite samples.")
        clips.append(samples)
    return clips


def frame_mask(num_frames: Sequence[int], features: torch.Tensor) -> torch.Tensor:
    """(B, T) int32, 1 = one of the `num_frames` real frames of each clip of `features` (B, T, F)."""
    positions = torch.arange(features.shape[1], device=features.device)
    return (positions < positions.new_tensor(num_frames).unsqueeze(1)).int()


def batch_feature(outputs: Mapping[str, torch.Tensor], return_tensors: str | TensorType | None) -> BatchFeature:
    """What an extractor returns: tensors, arrays, or with `None` lists with one array a clip."""
    if return_tensors is None or TensorType(return_tensors) is not TensorType.PYTORCH:
        outputs = {name: list(tensor.cpu().numpy()) for name, tensor in outputs.items()}
    return BatchFeature(dict(outputs), tensor_type=return_tensors)
