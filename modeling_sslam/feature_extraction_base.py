"""What all our feature extractors have in common: what a call accepts and gives back, and what they know of time."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from transformers import BatchFeature
from transformers.utils import PaddingStrategy, TensorType

from .audio_io import to_mono
from .audio_resampling import resample
from .audio_transformers import SequenceFeatureExtractor


class AudioFeatureExtractor(SequenceFeatureExtractor):
    """Base of our extractors: waveforms at any rate to `input_values` (B, T, ...) and a mask of the T frames.

    A *frame* is one entry along time of what the extractor gives: a column of a spectrogram, or a sample. A subclass
    says in `extract` what it makes of clips, in `num_frames`, `num_samples` and `seconds_for` how frames and samples
    go together, and in `silence`, `normalize` and `denormalize` how it normalises, if it does.

    Class attributes:
        PRESETS: name -> constructor arguments, see `from_preset`.
        statistics: the arguments that are statistics of the data set that a model is trained on.

    Args:
        feature_size, padding_value: of the base class, read by its `pad` only.
        sampling_rate: the rate that clips are resampled to, in Hz.
        target_length: frames T that a clip is padded or cut to; None for all that it has.
        return_attention_mask: whether a call returns a mask; None for a mask where the padding depends on the rest of
            the batch, that is with `padding="longest"`.
    """

    model_input_names = ["input_values", "attention_mask"]
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {}
    statistics: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        feature_size: int = 1,
        sampling_rate: int = 16000,
        padding_value: float = 0.0,
        target_length: int | None = None,
        return_attention_mask: bool | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            feature_size, sampling_rate, padding_value, return_attention_mask=return_attention_mask, **kwargs
        )
        self.target_length = target_length

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> Self:
        """An extractor with the arguments that `PRESETS` has under a name; `overrides` replace or join them.

        Raises:
            ValueError: an unknown name.
        """
        if name not in cls.PRESETS:
            known = f"expected one of {', '.join(cls.PRESETS)}" if cls.PRESETS else f"{cls.__name__} has none"
            raise ValueError(f"Unknown preset {name!r}: {known}.")
        return cls(**{**cls.PRESETS[name], **overrides})

    def __call__(
        self,
        raw_speech: Any,
        sampling_rate: int | None = None,
        padding: bool | str | PaddingStrategy | None = None,
        max_length: int | None = None,
        truncation: bool = True,
        return_tensors: str | TensorType | None = None,
        return_attention_mask: bool | None = None,
        device: str | torch.device | None = None,
    ) -> BatchFeature:
        """Features of one clip or of a batch.

        Args:
            raw_speech: floating point samples in [-1, 1], as lists, numpy arrays or tensors. Mono: one clip (N,), a
                batch (B, N), or a list of (N,) of any lengths. Several channels, averaged before resampling: a batch
                (B, channels, N) or a list of (channels, N). So one stereo clip is `[clip]`: a 2-D array is a batch, as
                for transformers' other extractors.
            sampling_rate: of `raw_speech`, in Hz; required.
            padding: "max_length", or "longest" (= True) for the frames of the longest clip of the batch. When not
                given, "max_length" if there is a length to pad to.
            max_length: frames to pad and cut to, instead of `target_length`.
            truncation: cut clips to their first `max_length` frames, if there is such a length.
            return_tensors: "pt", "np", or `None` for a list with one numpy array per clip.
            return_attention_mask: instead of the extractor's own setting.
            device: where to compute; when not given, where tensors are, or the CPU.
        Returns:
            `input_values` (B, T, ...) float32 and, see the class, `attention_mask` (B, T) int32 with 1 = real frame.
        Raises:
            ValueError: no or a wrong sampling rate, no such padding, no length to pad to, or clips that are empty, too
                short, not finite, of another rank, or of integers.
        """
        max_length = self.target_length if max_length is None else max_length
        if padding is None:
            padding = "longest" if max_length is None else "max_length"
        least_length = 0
        if padding_name(padding) == "max_length":
            if max_length is None:
                raise ValueError("padding='max_length' needs `max_length=` or an extractor with a `target_length`.")
            least_length = max_length
        if return_attention_mask is None:
            return_attention_mask = self.return_attention_mask
        if return_attention_mask is None:
            return_attention_mask = padding_name(padding) == "longest"

        clips = prepare_clips(raw_speech, sampling_rate, self.sampling_rate, device)
        features, num_frames = self.extract(clips, max_length if truncation else None)
        length = max(features.shape[1], least_length)
        padded = features.new_full((len(features), length, *features.shape[2:]), self.padding_cell)
        for row, of_clip, real in zip(padded, features, num_frames, strict=True):
            row[:real] = of_clip[:real]
        outputs = {"input_values": padded}
        if return_attention_mask:
            outputs["attention_mask"] = frame_mask(num_frames, padded)
        return batch_feature(outputs, return_tensors)

    def extract(self, clips: list[torch.Tensor], max_frames: int | None) -> tuple[torch.Tensor, list[int]]:
        """What a call makes of clips before it pads them.

        Args:
            clips: (N,) float32 at the extractor's rate, of any lengths.
            max_frames: frames to cut to, None for all.
        Returns:
            Normalised features (B, T, ...) of clips padded in any way to the longest, and how many of the T frames of
            each clip are its own; all are where the number is larger.
        Raises:
            ValueError: a clip too short to give a frame.
        """
        raise NotImplementedError

    def num_frames(self, num_samples: int) -> int:
        """Frames of a clip of so many samples at the extractor's rate, before it is padded or cut."""
        raise NotImplementedError

    def num_samples(self, num_frames: int) -> int:
        """The fewest samples at the extractor's rate that give so many frames."""
        raise NotImplementedError

    def seconds_for(self, num_frames: int) -> float:
        """Seconds that so many frames stand for: from the start of a frame to that of the one so many later."""
        raise NotImplementedError

    @property
    def seconds_per_step(self) -> float:
        """Seconds from one frame to the next."""
        return self.seconds_for(1)

    @property
    def longest_seconds(self) -> float:
        """Seconds that the `target_length` frames stand for; infinite where clips are left whole."""
        return math.inf if self.target_length is None else self.seconds_for(self.target_length)

    def frames_for(self, seconds: float) -> int:
        """Frames of a clip of that length, before it is padded or cut to `target_length`.

        Where a frame needs more than its own time, the last frames of a clip may be missing: ten seconds have 998
        Kaldi frames of 25 ms every 10 ms. 0 for what is shorter than a frame, which a call refuses.
        """
        # Resampling rounds up, too. What the division by a rate has put behind the sixth place is no sample.
        return self.num_frames(math.ceil(round(seconds * self.sampling_rate, 6)))

    @property
    def silence(self) -> float:
        """What a silent cell is after normalisation."""
        return 0.0

    @property
    def padding_cell(self) -> float:
        """What a call fills frames with that are not of the clip."""
        return self.silence

    def normalize(self, features: torch.Tensor) -> torch.Tensor:
        """(B, T, ...) features as a call returns them, of raw ones."""
        return features

    def denormalize(self, features: torch.Tensor) -> torch.Tensor:
        """(B, T, ...) raw features, of those that a call returns."""
        return features


class FrontEnd(Protocol):
    """What makes spectrograms (B, T, F) of waveforms."""

    def num_frames(self, num_samples: int) -> int:
        """Frames of a clip of so many samples."""
        ...

    def num_samples(self, num_frames: int) -> int:
        """The fewest samples that have so many frames."""
        ...


class MelFeatureExtractor(AudioFeatureExtractor):
    """Base of the extractors of mel spectrograms (B, T, F). A subclass says in `front_end` what computes them.

    Args:
        num_mel_bins: mel filters F.
        frame_length_ms, frame_shift_ms: length of and distance between frames, in milliseconds.
        kwargs: of `AudioFeatureExtractor`.
    """

    def __init__(self, num_mel_bins: int, frame_length_ms: float, frame_shift_ms: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_mel_bins = num_mel_bins
        self.frame_length_ms = frame_length_ms
        self.frame_shift_ms = frame_shift_ms

    def front_end(self, device: torch.device) -> FrontEnd:
        """What makes the spectrograms on a device."""
        raise NotImplementedError

    def num_frames(self, num_samples: int) -> int:
        return self.front_end(torch.device("cpu")).num_frames(num_samples)

    def num_samples(self, num_frames: int) -> int:
        return self.front_end(torch.device("cpu")).num_samples(num_frames)

    def seconds_for(self, num_frames: int) -> float:
        return num_frames * self.frame_shift_ms / 1000


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
    """(B, T) int32, 1 = one of the `num_frames` real frames of each clip of `features` (B, T, ...)."""
    positions = torch.arange(features.shape[1], device=features.device)
    return (positions < positions.new_tensor(num_frames).unsqueeze(1)).int()


def batch_feature(outputs: Mapping[str, torch.Tensor], return_tensors: str | TensorType | None) -> BatchFeature:
    """What an extractor returns: tensors, arrays, or with `None` lists with one array a clip."""
    if return_tensors is None or TensorType(return_tensors) is not TensorType.PYTORCH:
        arrays = {name: list(tensor.cpu().numpy()) for name, tensor in outputs.items()}
        return BatchFeature(arrays, tensor_type=return_tensors)
    return BatchFeature(dict(outputs), tensor_type=return_tensors)
