"""Waveforms to the log-magnitude spectrograms in decibels that the networks of GISE-51 read.

Yadav and Foster, "GISE-51: A scalable isolated sound events dataset", arXiv 2103.12306, 2021.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn

from .audio_spectrogram import PowerSpectrogram
from .feature_extraction_base import AudioFeatureExtractor, frame_mask

POWER_FLOOR = 1e-10  # the smallest power whose logarithm is taken, of a magnitude of 1e-5
DYNAMIC_RANGE = 150.0  # decibels below the loudest cell of a clip at which it is cut off


class LinearSpectrogramFeatureExtractor(AudioFeatureExtractor):
    """Waveforms at any rate to decibels (B, T, F): resample, magnitudes, subtract the clip's own mean, cut or pad.

    Frames are centred on every `hop_length`-th sample, the clip being reflected at both ends; periodic Hann window of
    the length of the transform. Decibels are cut off 150 below the loudest cell of the clip. All of this is done over
    the whole clip, BEFORE it is cut or padded, so that values depend neither on the batch nor on the length asked for.
    Nothing is scaled: the deviation of a clip is about 15. Padding is zero, the mean of a clip.

    Args:
        feature_size, padding_value: of the base class, read by its `pad` only.
        sampling_rate: the rate that clips are resampled to, in Hz.
        num_frequency_bins: F, from 0 Hz to half the sampling rate.
        fft_length: samples of a Fourier transform, `2 * F - 2` or `2 * F - 1`; the latter, as published, when None.
        hop_length: samples from one frame to the next.
        target_length: frames T that a clip is cut or padded to; None for all that it has.
        return_attention_mask: whether a call returns a mask.
    Raises:
        ValueError: a transform that has another number of bins.
    """

    def __init__(
        self,
        feature_size: int = 1,
        sampling_rate: int = 22050,
        padding_value: float = 0.0,
        num_frequency_bins: int = 221,
        fft_length: int | None = None,
        hop_length: int = 220,
        target_length: int | None = None,
        return_attention_mask: bool = True,
        **kwargs: Any,
    ):
        fft_length = 2 * num_frequency_bins - 1 if fft_length is None else fft_length
        if fft_length // 2 + 1 != num_frequency_bins:
            raise ValueError(
                f"A transform of {fft_length} samples has {fft_length // 2 + 1} bins, but num_frequency_bins is "
                f"{num_frequency_bins}: leave fft_length out, or give both."
            )
        super().__init__(
            feature_size=feature_size,
            sampling_rate=sampling_rate,
            padding_value=padding_value,
            target_length=target_length,
            return_attention_mask=return_attention_mask,
            **kwargs,
        )
        self.num_frequency_bins = num_frequency_bins
        self.fft_length = fft_length
        self.hop_length = hop_length

    def front_end(self, device: torch.device) -> PowerSpectrogram:
        """What makes power spectrograms (B, T, F) on a device."""
        return power_spectrogram(self.fft_length, self.hop_length, device)

    def extract(self, clips: list[torch.Tensor], max_frames: int | None) -> tuple[torch.Tensor, list[int]]:
        """All frames are computed, as the mean of a clip is that of the whole clip."""
        front_end = self.front_end(clips[0].device)
        # Each clip is reflected at its own end, so that the batch it is in does not matter.
        reflected = [front_end.reflect(clip.unsqueeze(0))[0] for clip in clips]
        power = front_end.of_reflected(nn.utils.rnn.pad_sequence(reflected, batch_first=True))
        num_frames = [front_end.num_frames(len(clip)) for clip in clips]
        return self.normalize(decibels(power), frame_mask(num_frames, power))[:, :max_frames], num_frames

    def num_frames(self, num_samples: int) -> int:
        return self.front_end(torch.device("cpu")).num_frames(num_samples)

    def num_samples(self, num_frames: int) -> int:
        return self.front_end(torch.device("cpu")).num_samples(num_frames)

    def seconds_for(self, num_frames: int) -> float:
        return num_frames * self.hop_length / self.sampling_rate

    def normalize(self, features: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Decibels (B, T, F), every clip cut off below its own dynamic range and less its own mean.

        The reference also adds 75 to all decibels, which the mean takes off again.

        Args:
            features: (B, T, F) decibels of whole clips.
            mask: (B, T), 1 = real frame, None for all. Others become zero.
        """
        if mask is None:
            mask = torch.ones(features.shape[:2], dtype=torch.int32, device=features.device)
        is_padding = ~mask.bool()[..., None]
        loudest = features.masked_fill(is_padding, float("-inf")).amax(dim=(1, 2), keepdim=True)
        features = features.maximum(loudest - DYNAMIC_RANGE).masked_fill(is_padding, 0.0)
        cells = mask.sum(dim=1)[:, None, None] * features.shape[2]
        return (features - features.sum(dim=(1, 2), keepdim=True) / cells).masked_fill(is_padding, 0.0)

    def denormalize(self, features: torch.Tensor) -> torch.Tensor:
        """Raises ValueError: what was taken off a clip is not kept."""
        raise ValueError(
            "LinearSpectrogramFeatureExtractor subtracts the mean of every clip, which features do not keep: they "
            "cannot be turned back into decibels. Take `decibels` of what `front_end` gives instead."
        )


def decibels(power: torch.Tensor) -> torch.Tensor:
    """Power of any shape in decibels, at least -100; equal to 20 log10 of a magnitude of at least 1e-5."""
    return power.clamp(min=POWER_FLOOR).log10_().mul_(10.0)


@functools.lru_cache(maxsize=8)
def power_spectrogram(fft_length: int, hop_length: int, device: torch.device) -> PowerSpectrogram:
    """One module per setting and device: an extractor itself holds only what belongs into its JSON."""
    return PowerSpectrogram(fft_length, hop_length, torch.hann_window(fft_length, dtype=torch.float64)).to(device)
