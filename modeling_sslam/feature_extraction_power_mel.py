"""Waveforms to the log-mel spectrograms, standardised clip by clip, that SSAM, AxLSTM and MW-MAE read.

Yadav and Tan, "Audio Mamba", Interspeech 2024; Yadav et al., "AxLSTMs", Interspeech 2025; Yadav et al., "Masked
Autoencoders with Multi-Window Local-Global Attention Are Better Audio Learners", ICLR 2024.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn

from .audio_spectrogram import PowerMel
from .feature_extraction_base import MelFeatureExtractor, frame_mask

# Standardisation -> what is subtracted from the number of cells when their variance is taken.
CORRECTIONS = {"unbiased": 1, "population": 0}
STANDARDIZATION_EPS = 1e-8


class PowerMelFeatureExtractor(MelFeatureExtractor):
    """Waveforms at any rate to log-mels (B, T, F): resample, power mel, standardise each clip, cut or pad.

    A clip is standardised over all of its own frames and bins, BEFORE it is cut or padded, so its values depend
    neither on the batch nor on the length asked for. Padding is zero, the mean of a clip.

    Args:
        feature_size, padding_value: of the base class, read by its `pad` only.
        sampling_rate: the rate that clips are resampled to, in Hz.
        num_mel_bins: mel filters F.
        frame_length_ms, frame_shift_ms: window and distance between frames, in milliseconds.
        fft_length: samples of a Fourier transform; None for those of a window.
        low_frequency, high_frequency: outer edges of the mel filters in Hz.
        standardization: "unbiased", the official inference, or "population", the official pretraining: whether the
            variance is divided by the number of cells less one, or by that number (1e-5 apart on a clip of 10 s).
        target_length: frames T that a clip is cut or padded to; None for all that it has.
        return_attention_mask: whether a call returns a mask.
    Raises:
        ValueError: an unknown standardisation.
    """

    def __init__(
        self,
        feature_size: int = 1,
        sampling_rate: int = 16000,
        padding_value: float = 0.0,
        num_mel_bins: int = 80,
        frame_length_ms: float = 25.0,
        frame_shift_ms: float = 10.0,
        fft_length: int | None = None,
        low_frequency: float = 50.0,
        high_frequency: float = 8000.0,
        standardization: str = "unbiased",
        target_length: int | None = None,
        return_attention_mask: bool = True,
        **kwargs: Any,
    ):
        if standardization not in CORRECTIONS:
            raise ValueError(f"Unknown standardization {standardization!r}: expected one of {', '.join(CORRECTIONS)}.")
        super().__init__(
            num_mel_bins,
            frame_length_ms,
            frame_shift_ms,
            feature_size=feature_size,
            sampling_rate=sampling_rate,
            padding_value=padding_value,
            target_length=target_length,
            return_attention_mask=return_attention_mask,
            **kwargs,
        )
        self.fft_length = fft_length
        self.low_frequency = low_frequency
        self.high_frequency = high_frequency
        self.standardization = standardization

    def front_end(self, device: torch.device) -> PowerMel:
        return power_mel(
            self.sampling_rate,
            self.num_mel_bins,
            self.frame_length_ms,
            self.frame_shift_ms,
            self.fft_length,
            self.low_frequency,
            self.high_frequency,
            device,
        )

    def extract(self, clips: list[torch.Tensor], max_frames: int | None) -> tuple[torch.Tensor, list[int]]:
        """All frames are computed, as a clip is standardised before it is cut."""
        mel = self.front_end(clips[0].device)
        # Each clip is reflected at its own end, so that the batch it is in does not matter.
        reflected = [mel.reflect(clip.unsqueeze(0))[0] for clip in clips]
        features = mel.log_mel(nn.utils.rnn.pad_sequence(reflected, batch_first=True))
        num_frames = [mel.num_frames(len(clip)) for clip in clips]
        return self.normalize(features, frame_mask(num_frames, features))[:, :max_frames], num_frames

    def normalize(self, features: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Log-mels (B, T, F), every clip standardised by itself.

        Args:
            features: (B, T, F) log-mels of whole clips.
            mask: (B, T), 1 = real frame, None for all. Others become zero.
        """
        if mask is None:
            mask = torch.ones(features.shape[:2], dtype=torch.int32, device=features.device)
        return standardize(features, mask, self.standardization)

    def denormalize(self, features: torch.Tensor) -> torch.Tensor:
        """Raises ValueError: what was taken off a clip is not kept."""
        raise ValueError(
            "PowerMelFeatureExtractor standardises every clip by its own mean and deviation, which features do not "
            "keep: they cannot be turned back into log-mels. Take the log-mels from `front_end` instead."
        )


def standardize(features: torch.Tensor, mask: torch.Tensor, standardization: str) -> torch.Tensor:
    """Brings every clip to mean 0 and standard deviation 1 over the cells of its real frames.

    Args:
        features: (B, T, F).
        mask: (B, T), 1 = real frame. Others become zero.
        standardization: "unbiased" or "population".
    """
    mask = mask.unsqueeze(2)
    cells = mask.sum(dim=(1, 2), keepdim=True) * features.shape[2]
    centred = (features - (features * mask).sum(dim=(1, 2), keepdim=True) / cells) * mask
    variance = centred.square().sum(dim=(1, 2), keepdim=True) / (cells - CORRECTIONS[standardization])
    return centred / (variance.sqrt() + STANDARDIZATION_EPS)


@functools.lru_cache(maxsize=8)
def power_mel(
    sampling_rate: int,
    num_mel_bins: int,
    frame_length_ms: float,
    frame_shift_ms: float,
    fft_length: int | None,
    low_frequency: float,
    high_frequency: float,
    device: torch.device,
) -> PowerMel:
    """One module per setting and device: an extractor itself holds only what belongs into its JSON."""
    frame_length = int(sampling_rate * frame_length_ms / 1000)
    frame_shift = int(sampling_rate * frame_shift_ms / 1000)
    fft_length = fft_length or frame_length
    mel = PowerMel(sampling_rate, num_mel_bins, fft_length, frame_length, frame_shift, low_frequency, high_frequency)
    return mel.to(device)
