"""Waveforms to the normalised Kaldi log-mel spectrograms that SSLAM, EAT and SSAST read.

EAT: Chen et al., IJCAI 2024. SSAST: Gong et al., AAAI 2022.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn
from transformers import BatchFeature
from transformers.utils import PaddingStrategy, TensorType

from .audio_spectrogram import KaldiFbank
from .audio_transformers import SequenceFeatureExtractor
from .feature_extraction_base import batch_feature, frame_mask, padding_name, prepare_clips

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
BACKENDS = ("torch", "torchaudio")


class SslamFeatureExtractor(SequenceFeatureExtractor):
    """Waveforms at any rate to log-mels (B, T, F): resample, remove the mean, Kaldi fbank, pad or cut, normalise.

    Frames are padded with zeros BEFORE `(x - mean) / (2 * std)`, so a padded cell is `-mean / (2 * std)`, +0.467 for
    AudioSet, unless `pad_after_normalization` is set. The published models were trained and evaluated on such frames
    without a mask. Hence no `attention_mask` comes with `padding="max_length"` unless it is asked for, while
    `padding="longest"`, where the amount of padding depends on the rest of the batch, returns one.

    Differs from SSAST's code: several channels are averaged, there the first one is taken.

    Args:
        feature_size, padding_value: of the base class, read by its `pad` only.
        sampling_rate: the rate that clips are resampled to, in Hz.
        num_mel_bins: mel filters F.
        frame_length_ms, frame_shift_ms: frames of the spectrogram, in milliseconds.
        target_length: frames T that a clip is padded or cut to.
        mean, std: of the log-mels of the training data; see `NORMALIZATION_PRESETS`.
        remove_mean: whether the mean of a clip's samples is taken off first.
        pad_after_normalization: whether a padded cell is 0 in the normalised spectrogram.
        return_attention_mask: `None` for the rule above, or True or False for both paddings.
        backend: "torch", or "torchaudio" for its `kaldi.fbank` (an optional package; the same values, slower).
    Raises:
        ValueError: an unknown backend.
        ImportError: backend "torchaudio" without a torchaudio that can be imported.
    """

    model_input_names = ["input_values", "attention_mask"]

    def __init__(
        self,
        feature_size: int = 1,
        sampling_rate: int = 16000,
        padding_value: float = 0.0,
        num_mel_bins: int = 128,
        frame_length_ms: float = 25.0,
        frame_shift_ms: float = 10.0,
        target_length: int = 1024,
        mean: float = -4.268,
        std: float = 4.569,
        remove_mean: bool = True,
        pad_after_normalization: bool = False,
        return_attention_mask: bool | None = None,
        backend: str = "torch",
        **kwargs: Any,
    ):
        super().__init__(
            feature_size, sampling_rate, padding_value, return_attention_mask=return_attention_mask, **kwargs
        )
        if backend not in BACKENDS:
            raise ValueError(f"Unknown backend {backend!r}: expected one of {', '.join(BACKENDS)}.")
        if backend == "torchaudio":
            torchaudio_kaldi()
        self.num_mel_bins = num_mel_bins
        self.frame_length_ms = frame_length_ms
        self.frame_shift_ms = frame_shift_ms
        self.target_length = target_length
        self.mean = mean
        self.std = std
        self.remove_mean = remove_mean
        self.pad_after_normalization = pad_after_normalization
        self.backend = backend

    @classmethod
    def from_preset(cls, name: str, **kwargs: Any) -> SslamFeatureExtractor:
        """An extractor with the statistics of a data set of `NORMALIZATION_PRESETS`; `kwargs` override its values.

        Raises:
            ValueError: an unknown name.
        """
        if name not in NORMALIZATION_PRESETS:
            raise ValueError(f"Unknown preset {name!r}: expected one of {', '.join(NORMALIZATION_PRESETS)}.")
        return cls(**{**NORMALIZATION_PRESETS[name], **kwargs})

    def __call__(
        self,
        raw_speech: Any,
        sampling_rate: int | None = None,
        padding: bool | str | PaddingStrategy = "max_length",
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
            padding: "max_length", or "longest" (= True) for the frames of the longest clip of the batch.
            max_length: frames to pad and cut to, instead of `target_length`.
            truncation: cut clips to their first `max_length` frames.
            return_tensors: "pt", "np", or `None` for a list with one numpy array per clip.
            return_attention_mask: instead of the extractor's own setting.
            device: where to compute; when not given, where tensors are, or the CPU.
        Returns:
            `input_values` (B, T, F) float32 and, see the class, `attention_mask` (B, T) int32 with 1 = real frame.
        Raises:
            ValueError: no or a wrong sampling rate, no such padding, or clips that are empty, shorter than one frame,
                not finite, of another rank, or of integers.
        """
        padding = padding_name(padding)
        max_length = self.target_length if max_length is None else max_length

        clips = prepare_clips(raw_speech, sampling_rate, self.sampling_rate, device)
        if self.remove_mean:
            clips = [clip - clip.mean() for clip in clips]
        features, num_frames = self._log_mels(clips, max_length if truncation else None)
        if padding == "max_length":
            features = nn.functional.pad(features, (0, 0, 0, max(0, max_length - features.shape[1])))
        features.sub_(self.mean).div_(2 * self.std)
        padding_cell = 0.0 if self.pad_after_normalization else -self.mean / (2 * self.std)
        for clip_features, real in zip(features, num_frames, strict=True):
            clip_features[real:] = padding_cell
        outputs = {"input_values": features}

        if return_attention_mask is None:
            return_attention_mask = self.return_attention_mask
        if return_attention_mask is None:
            return_attention_mask = padding == "longest"
        if return_attention_mask:
            outputs["attention_mask"] = frame_mask(num_frames, features)
        return batch_feature(outputs, return_tensors)

    def _log_mels(self, clips: list[torch.Tensor], max_frames: int | None) -> tuple[torch.Tensor, list[int]]:
        """Log-mels (B, T, F) of clips padded to the longest, and how many frames of each are its own.

        Frames behind `max_frames` are not computed.
        """
        fbank = kaldi_fbank(
            self.sampling_rate, self.num_mel_bins, self.frame_length_ms, self.frame_shift_ms, clips[0].device
        )
        if max_frames is not None:
            clips = [clip[: fbank.num_samples(max_frames)] for clip in clips]
        num_frames = [fbank.num_frames(len(clip)) for clip in clips]
        if min(num_frames) == 0:
            raise ValueError(
                f"A clip has {min(map(len, clips))} samples at {self.sampling_rate} Hz, less than one frame of "
                f"{fbank.frame_length} ({self.frame_length_ms} ms): pad it or leave it out."
            )
        waveform = nn.utils.rnn.pad_sequence(clips, batch_first=True)
        return fbank(waveform) if self.backend == "torch" else self._torchaudio_log_mels(waveform), num_frames

    def _torchaudio_log_mels(self, waveform: torch.Tensor) -> torch.Tensor:
        compute = functools.partial(
            torchaudio_kaldi().fbank,
            sample_frequency=self.sampling_rate,
            num_mel_bins=self.num_mel_bins,
            frame_length=self.frame_length_ms,
            frame_shift=self.frame_shift_ms,
            window_type="hanning",
            use_energy=False,
            htk_compat=True,
            dither=0.0,
        )
        return torch.stack([compute(clip.unsqueeze(0)) for clip in waveform])


@functools.lru_cache(maxsize=8)
def kaldi_fbank(
    sampling_rate: int, num_mel_bins: int, frame_length_ms: float, frame_shift_ms: float, device: torch.device
) -> KaldiFbank:
    """One module per setting and device: an extractor itself holds only what belongs into its JSON."""
    return KaldiFbank(sampling_rate, num_mel_bins, frame_length_ms, frame_shift_ms).to(device)


def torchaudio_kaldi() -> Any:
    """The module `torchaudio.compliance.kaldi`, imported only for the backend of that name."""
    try:
        from torchaudio.compliance import kaldi
    except Exception as error:  # a build for another torch fails in its own ways, not only with ImportError
        raise ImportError(
            "backend='torchaudio' needs a torchaudio built for the installed torch; importing it failed with "
            f"{type(error).__name__}: {error}. backend='torch' gives the same values without it."
        ) from error
    return kaldi
