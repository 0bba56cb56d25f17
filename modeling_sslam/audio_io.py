"""Audio files, bytes, arrays and `datasets` items to a mono waveform; files are read by soundfile alone."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from .audio_resampling import resample


class AudioDecodingError(ValueError):
    """Audio that cannot be decoded; the message names the file and the cause."""


def load_audio(source: Any, sampling_rate: int) -> torch.Tensor:
    """Mono waveform (N,) float32 of `source` at `sampling_rate` Hz; what `source` may be, see `decode_audio`."""
    waveform, rate = decode_audio(source)
    return resample(waveform, rate, sampling_rate)


def decode_audio(source: Any) -> tuple[torch.Tensor, int]:
    """Decodes audio and averages its channels.

    Args:
        source: a path; the bytes of a file; a mapping with "bytes" and/or "path" (`datasets.Audio(decode=False)`); a
            mapping with "array" or "raw", (N,) or (channels, N), and "sampling_rate"; or the `AudioDecoder` of
            `datasets` and torchcodec.
    Returns:
        Waveform (N,) float32, in [-1, 1] for files, and its sampling rate in Hz.
    Raises:
        AudioDecodingError: a file that is missing, damaged or without samples.
        ValueError: a mapping without the keys above, or an array of another rank.
        TypeError: any other kind of object.
    """
    if isinstance(source, (str, os.PathLike)):
        return _decode_file(source, name=os.fspath(source))
    if isinstance(source, (bytes, bytearray)):
        return _decode_file(io.BytesIO(source), name=f"{len(source)} bytes")
    if hasattr(source, "get_all_samples"):
        samples = source.get_all_samples()
        return to_mono(samples.data), int(samples.sample_rate)
    if isinstance(source, Mapping):
        return _decode_mapping(source)
    raise TypeError(
        f"Cannot read audio from {type(source).__name__}: expected a path, bytes, a mapping with 'array' and "
        "'sampling_rate' or with 'bytes' or 'path', or an AudioDecoder."
    )


def _decode_mapping(source: Mapping[str, Any]) -> tuple[torch.Tensor, int]:
    array = source.get("raw") if source.get("array") is None else source["array"]
    if array is not None:
        if source.get("sampling_rate") is None:
            raise ValueError(f"An audio array needs a 'sampling_rate' beside it, got the keys {list(source)}.")
        return to_mono(array), int(source["sampling_rate"])
    path, content = source.get("path"), source.get("bytes")
    if content is not None:
        return _decode_file(io.BytesIO(content), name=path or f"{len(content)} bytes")
    if path is not None:
        return _decode_file(path, name=path)
    raise ValueError(
        f"Expected a mapping with 'array' (or 'raw') and 'sampling_rate', or with 'bytes' or 'path'; got the keys "
        f"{list(source)}."
    )


def _decode_file(file: str | os.PathLike | io.BytesIO, name: str) -> tuple[torch.Tensor, int]:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package is there, its libsndfile is not
        raise ImportError("Reading audio files needs soundfile: `pip install soundfile`.") from error
    try:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioDecodingError(f"Cannot decode {name}: {error}") from error
    if len(samples) == 0:
        raise AudioDecodingError(f"Cannot decode {name}: it holds no samples.")
    return to_mono(samples.T), rate


def to_mono(array: Any) -> torch.Tensor:
    """Samples as a tensor, array or nested list, (N,) or (channels, N), to their channel average (N,) float32.

    Raises:
        ValueError: another rank, samples first instead of channels first, or samples that are not floating point.
    """
    waveform = array if isinstance(array, torch.Tensor) else torch.from_numpy(np.array(array))
    shape = tuple(waveform.shape)
    if waveform.ndim not in (1, 2):
        raise ValueError(f"Audio must have the shape (samples,) or (channels, samples), got {shape}.")
    if not waveform.is_floating_point():
        raise ValueError(
            f"Audio must be floating point in [-1, 1], got {waveform.dtype}: divide 16-bit integer samples by 32768."
        )
    if waveform.ndim == 1:
        return waveform.float()
    if shape[0] > shape[1]:
        raise ValueError(f"Audio of shape {shape} has more channels than samples: pass it as (channels, samples).")
    return waveform.float().mean(dim=0)
