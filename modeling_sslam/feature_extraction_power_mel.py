"""Waveforms to the log-mel spectrograms, standardised clip by clip, that SSAM, AxLSTM and MW-MAE read.

Yadav and Tan, "Audio Mamba", Interspeech 2024; Yadav et al., "AxLSTMs", Interspeech 2025; Yadav et al., "Masked
Autoencoders with Multi-Window Local-Global Attention Are Better Audio Learners", ICLR 2024.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn
from transformers import BatchFeature
from transformers.utils import PaddingStrategy, TensorType

from .audio_spectrogram import PowerMel
from .audio_transformers import SequenceFeatureExtractor
from .feature_extraction_base import batch_feature, frame_mask, padding_name, prepare_clips

# Standardisation -> what is subtracted from the number of cells when their variance is taken.
CORRECTIONS = {"unbiased": 1, "population": 0}
STANDARDIZATION_EPS = 1e-8


class PowerMelFeatureExtractor(SequenceFeatureExtractor):
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
        target_length: frames T that a clip is cut or padded to with `padding="max_length"`; None for all its frames.
        return_attention_mask: whether a call returns a mask.
    Raises:
        ValueError: an unknown standardisation.
    """

    model_input_names = ["input_values", "attention_mask"]

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
        super().__init__(
            feature_size, sampling_rate, padding_value, return_attention_mask=return_attention_mask, **kwargs
        )
        if standardization not in CORRECTIONS:
            raise ValueError(f"Unknown standardization {standardization!r}: expected one of {', '.join(CORRECTIONS)}.")
        self.num_mel_bins = num_mel_bins
        self.frame_length_ms = frame_length_ms
        self.frame_shift_ms = frame_shift_ms
        self.fft_length = fft_length
        self.low_frequency = low_frequency
        self.high_frequency = high_frequency
        self.standardization = standardization
        self.target_length = target_length

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
                (B, channels, N) or a list of (channels, N).
            sampling_rate: of `raw_speech`, in Hz; required.
            padding: "max_length", or "longest" (= True) for the frames of the longest clip of the batch. When not
                given, "max_length" if there is a length to pad to.
            max_length: frames to pad and cut to, instead of `target_length`.
            truncation: cut clips to their first `max_length` frames, if there is such a length.
            return_tensors: "pt", "np", or `None` for a list with one numpy array per clip.
            return_attention_mask: instead of the extractor's own setting.
            device: where to compute; when not given, where tensors are, or the CPU.
        Returns:
            `input_values` (B, T, F) float32 and `attention_mask` (B, T) int32 with 1 = real frame.
        Raises:
            ValueError: no or a wrong sampling rate, no such padding, no length to pad to, or clips that are empty, too
                short, not finite, of another rank, or of integers.
        """
        max_length = self.target_length if max_length is None else max_length
        if padding is None:
            padding = "longest" if max_length is None else "max_length"
        padding = padding_name(padding)
        if padding == "max_length" and max_length is None:
            raise ValueError("padding='max_length' needs `max_length=` or an extractor with a `target_length`.")

        features, num_frames = self._log_mels(prepare_clips(raw_speech, sampling_rate, self.sampling_rate, device))
        features = standardize(features, frame_mask(num_frames, features), self.standardization)
        if truncation and max_length is not None:
            features = features[:, :max_length]
        if padding == "max_length":
            features = nn.functional.pad(features, (0, 0, 0, max(0, max_length - features.shape[1])))
        outputs = {"input_values": features}
        if self.return_attention_mask if return_attention_mask is None else return_attention_mask:
            outputs["attention_mask"] = frame_mask(num_frames, features)
        return batch_feature(outputs, return_tensors)

    def front_end(self, device: torch.device) -> PowerMel:
        """What makes the spectrograms on a device."""
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

    def _log_mels(self, clips: list[torch.Tensor]) -> tuple[torch.Tensor, list[int]]:
        """Log-mels (B, T, F) of clips padded to the longest, and how many frames of each are its own."""
        mel = self.front_end(clips[0].device)
        # Each clip is reflected at its own end, so that the batch it is in does not matter.
        reflected = [mel.reflect(clip.unsqueeze(0))[0] for clip in clips]
        features = mel.log_mel(nn.utils.rnn.pad_sequence(reflected, batch_first=True))
        return features, [mel.num_frames(len(clip)) for clip in clips]


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
