"""Waveforms to the normalised Kaldi log-mel spectrograms that SSLAM, EAT and SSAST read.

EAT: Chen et al., IJCAI 2024. SSAST: Gong et al., AAAI 2022.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn

from .audio_spectrogram import KaldiFbank
from .feature_extraction_base import MelFeatureExtractor

SSAST_AUDIOSET = {"mean": -4.2677393, "std": 4.5689974}
SUPERB = SSAST_AUDIOSET | {"remove_mean": False, "pad_after_normalization": True}
# Mean and standard deviation of a data set's log-mels, and the frames that its published recipe pads or cuts to. Those
# of SSAST have more digits; its SUPERB tasks (keywords, emotion, speaker) have a front end of their own.
NORMALIZATION_PRESETS: dict[str, dict[str, float | int | bool]] = {
    "audioset": {"mean": -4.268, "std": 4.569, "target_length": 1024},
    "esc50": {"mean": -6.627, "std": 5.359, "target_length": 512},
    "speech_commands_v2": {"mean": -6.846, "std": 5.565, "target_length": 128},
    "spass": {"mean": -5.275, "std": 3.268, "target_length": 1024},
    "ssast_audioset": SSAST_AUDIOSET | {"target_length": 1024},
    "ssast_esc50": {"mean": -6.6268077, "std": 5.358466, "target_length": 512},
    "ssast_speech_commands_v2": {"mean": -6.845978, "std": 5.5654526, "target_length": 128},
    "superb_keywords": SUPERB | {"target_length": 100},
    "superb_emotion": SUPERB | {"target_length": 600},
    "superb_speaker": SUPERB | {"target_length": 1000},
}


class KaldiFbankFeatureExtractor(MelFeatureExtractor):
    """Waveforms at any rate to log-mels (B, T, F): resample, remove the mean, Kaldi fbank, normalise, pad or cut.

    A frame of padding is a log-mel of zero, normalised: `-mean / (2 * std)`, +0.467 for AudioSet, unless
    `pad_after_normalization` is set. The published models were trained and evaluated on such frames without a mask.
    Hence no `attention_mask` comes with `padding="max_length"` unless it is asked for, while `padding="longest"`,
    where the amount of padding depends on the rest of the batch, returns one.

    Differs from SSAST's code: several channels are averaged, there the first one is taken.

    Args:
        feature_size, padding_value: of the base class, read by its `pad` only.
        sampling_rate: the rate that clips are resampled to, in Hz.
        num_mel_bins: mel filters F.
        frame_length_ms, frame_shift_ms: frames of the spectrogram, in milliseconds.
        target_length: frames T that a clip is padded or cut to; None for all that it has.
        mean, std: of the log-mels of the training data; see `NORMALIZATION_PRESETS`.
        remove_mean: whether the mean of a clip's samples is taken off first.
        pad_after_normalization: whether a padded cell is 0 in the normalised spectrogram.
        return_attention_mask: `None` for the rule above, or True or False for both paddings.
    """

    PRESETS = NORMALIZATION_PRESETS
    statistics = ("mean", "std")

    def __init__(
        self,
        feature_size: int = 1,
        sampling_rate: int = 16000,
        padding_value: float = 0.0,
        num_mel_bins: int = 128,
        frame_length_ms: float = 25.0,
        frame_shift_ms: float = 10.0,
        target_length: int | None = 1024,
        mean: float = -4.268,
        std: float = 4.569,
        remove_mean: bool = True,
        pad_after_normalization: bool = False,
        return_attention_mask: bool | None = None,
        **kwargs: Any,
    ):
        # Version 0.1 saved which of two libraries computed the same values.
        kwargs.pop("backend", None)
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
        self.mean = mean
        self.std = std
        self.remove_mean = remove_mean
        self.pad_after_normalization = pad_after_normalization

    def front_end(self, device: torch.device) -> KaldiFbank:
        return kaldi_fbank(self.sampling_rate, self.num_mel_bins, self.frame_length_ms, self.frame_shift_ms, device)

    def extract(self, clips: list[torch.Tensor], max_frames: int | None) -> tuple[torch.Tensor, list[int]]:
        """Frames behind `max_frames` are not computed."""
        if self.remove_mean:
            clips = [clip - clip.mean() for clip in clips]
        fbank = self.front_end(clips[0].device)
        if max_frames is not None:
            clips = [clip[: fbank.num_samples(max_frames)] for clip in clips]
        num_frames = [fbank.num_frames(len(clip)) for clip in clips]
        if min(num_frames) == 0:
            raise ValueError(
                f"A clip has {min(map(len, clips))} samples at {self.sampling_rate} Hz, less than one frame of "
                f"{fbank.frame_length} ({self.frame_length_ms} ms): pad it or leave it out."
            )
        return self.normalize(fbank(nn.utils.rnn.pad_sequence(clips, batch_first=True))), num_frames

    @property
    def silence(self) -> float:
        """A log-mel of zero after normalisation, which is what the published recipes put in place of sound."""
        return (0.0 - self.mean) / (2 * self.std)

    @property
    def padding_cell(self) -> float:
        return 0.0 if self.pad_after_normalization else self.silence

    def normalize(self, features: torch.Tensor) -> torch.Tensor:
        """Log-mels (B, T, F) less the mean of the training data, over twice their standard deviation."""
        return (features - self.mean).div_(2 * self.std)

    def denormalize(self, features: torch.Tensor) -> torch.Tensor:
        """Log-mels (B, T, F) of what `normalize` made of them."""
        return features * (2 * self.std) + self.mean


@functools.lru_cache(maxsize=8)
def kaldi_fbank(
    sampling_rate: int, num_mel_bins: int, frame_length_ms: float, frame_shift_ms: float, device: torch.device
) -> KaldiFbank:
    """One module per setting and device: an extractor itself holds only what belongs into its JSON."""
    return KaldiFbank(sampling_rate, num_mel_bins, frame_length_ms, frame_shift_ms).to(device)
