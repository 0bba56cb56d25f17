"""Waveforms as they are, for models that own their front end: learned filters, or a spectrogram inside the model.

Such a model wants samples (B, N) and a padding mask. What is left for its extractor is what all of ours do first:
check the audio, average channels, resample; and to pad and cut.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .feature_extraction_base import AudioFeatureExtractor


class WaveformFeatureExtractor(AudioFeatureExtractor):
    """Waveforms at any rate to mono waveforms (B, N): resample, cut, pad with zeros. A frame is a sample.

    Args:
        feature_size, padding_value: of the base class, read by its `pad` only.
        sampling_rate: the rate that clips are resampled to, in Hz.
        target_length: samples N that a clip is cut or padded to; None for all that it has.
        return_attention_mask: whether a call returns a mask.
    """

    def __init__(
        self,
        feature_size: int = 1,
        sampling_rate: int = 16000,
        padding_value: float = 0.0,
        target_length: int | None = None,
        return_attention_mask: bool = True,
        **kwargs: Any,
    ):
        super().__init__(feature_size, sampling_rate, padding_value, target_length, return_attention_mask, **kwargs)

    def extract(self, clips: list[torch.Tensor], max_frames: int | None) -> tuple[torch.Tensor, list[int]]:
        clips = [clip[:max_frames] for clip in clips]
        return nn.utils.rnn.pad_sequence(clips, batch_first=True), [len(clip) for clip in clips]

    def num_frames(self, num_samples: int) -> int:
        return num_samples

    def num_samples(self, num_frames: int) -> int:
        return num_frames

    def seconds_for(self, num_frames: int) -> float:
        return num_frames / self.sampling_rate
