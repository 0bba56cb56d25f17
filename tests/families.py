"""The table of families: a tiny configuration and an extractor of each, and what it can do; for all contracts."""

from __future__ import annotations

import dataclasses

import torch

from modeling_sslam import (
    AxlstmConfig,
    EatConfig,
    KaldiFbankFeatureExtractor,
    LinearSpectrogramFeatureExtractor,
    MwmaeConfig,
    PowerMelFeatureExtractor,
    SpectrogramCnnConfig,
    SsamConfig,
    SsastConfig,
    SsastMaeConfig,
    SslamConfig,
)
from modeling_sslam.configuration_audio_encoder import AudioEncoderConfig
from modeling_sslam.feature_extraction_base import AudioFeatureExtractor

NUM_LABELS = 3


@dataclasses.dataclass(frozen=True)
class Family:
    """
    Args:
        config: tiny, with `NUM_LABELS` labels.
        feature_extractor: for clips of about a second.
        objective: name of an objective that pretrains it, None where there is none.
        has_attentions: whether its encoder gives attention weights.
        has_published_sizes: whether the defaults of its configuration build a published base model.
        published_size: blocks of that model, and a number of parameters that it exceeds.
        channel_axis: of a hidden state.
        layers_are_hidden_states: whether `bands` of a layer are its hidden state, rather than made of it.
        hears_incomplete_steps: whether the frames behind the last whole step reach the steps before.
        is_recurrent: whether its encoder reads step by step; it is not exported.
        output_scale: size of the values of its tokens, which rounding is relative to.
        derived_fields: fields that follow from others, so that nobody sets them.
    """

    config: AudioEncoderConfig
    feature_extractor: AudioFeatureExtractor
    objective: str | None = None
    has_attentions: bool = True
    has_published_sizes: bool = True
    published_size: tuple[int, float] = (12, 40e6)
    channel_axis: int = -1
    layers_are_hidden_states: bool = True
    hears_incomplete_steps: bool = False
    is_recurrent: bool = False
    output_scale: float = 1.0
    derived_fields: tuple[str, ...] = ()

    def pretraining_inputs(self, input_values: torch.Tensor) -> dict[str, torch.Tensor]:
        """What `ForPreTraining` needs besides `input_values` (B, T, F): a mask of every other patch."""
        num_tokens = self.config.num_steps(input_values.shape[1]) * self.config.num_frequency_patches
        return {"bool_masked_pos": (torch.arange(num_tokens) % 2 == 0).expand(len(input_values), -1)}


TRANSFORMER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_labels": NUM_LABELS,
}
SSLAM = TRANSFORMER | {
    "num_mel_bins": 32,
    "max_time_patches": 8,
    "decoder_hidden_size": 32,
    "decoder_num_layers": 1,
    "decoder_groups": 4,
}
SSAST = TRANSFORMER | {"num_mel_bins": 32, "position_fit": "start"}
SSAM = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "num_mel_bins": 32, "num_labels": NUM_LABELS}
AXLSTM = {"hidden_size": 32, "num_hidden_layers": 2, "chunk_size": 4, "num_mel_bins": 32, "num_labels": NUM_LABELS}
MWMAE = TRANSFORMER | {
    "num_mel_bins": 32,
    "patch_size": (4, 8),
    "window_frames": 100,
    "decoder_hidden_size": 24,
    "decoder_num_layers": 2,
    "decoder_num_attention_heads": 3,
}

CNN = {"num_frequency_bins": 33, "sampling_rate": 16000, "hop_length": 40}

MASKED = "masked_reconstruction"


def kaldi() -> KaldiFbankFeatureExtractor:
    return KaldiFbankFeatureExtractor(num_mel_bins=32, target_length=64)


def power_mel() -> PowerMelFeatureExtractor:
    return PowerMelFeatureExtractor(num_mel_bins=32)


def cnn(architecture: str, width: float) -> Family:
    """A convolutional network. Short frames make steps that are many and short."""
    return Family(
        SpectrogramCnnConfig(architecture=architecture, width_multiplier=width, num_labels=NUM_LABELS, **CNN),
        LinearSpectrogramFeatureExtractor(**CNN),
        has_attentions=False,
        published_size=(4, 11e6),
        channel_axis=1,
        layers_are_hidden_states=False,
        hears_incomplete_steps=True,
        output_scale=10.0,  # there is no norm behind the last map
        derived_fields=("hidden_size", "num_hidden_layers"),
    )


def num_bins(config: AudioEncoderConfig) -> int:
    """Bins F of the spectrograms that a model takes."""
    return config.num_mel_bins if hasattr(config, "num_mel_bins") else config.num_frequency_bins


FAMILIES = {
    "sslam": Family(SslamConfig(**SSLAM), kaldi(), "sslam_stage1"),
    "eat": Family(EatConfig(**SSLAM), kaldi()),
    "ssast patch": Family(SsastConfig(**SSAST, position_grid=(8, 2)), kaldi(), "ssast"),
    "ssast frame": Family(SsastConfig(**SSAST, patch_size=(2, 32), position_grid=(64, 1)), kaldi(), "ssast"),
    "ssam": Family(SsamConfig(**SSAM), power_mel(), MASKED, has_attentions=False, is_recurrent=True),
    "ssam bidirectional": Family(
        SsamConfig(**SSAM, bidirectional=True), power_mel(), MASKED, has_attentions=False, is_recurrent=True
    ),
    "axlstm": Family(AxlstmConfig(**AXLSTM), power_mel(), MASKED, has_attentions=False, is_recurrent=True),
    "ssast_mae": Family(SsastMaeConfig(**TRANSFORMER, num_mel_bins=32, patch_size=(4, 8)), power_mel(), MASKED),
    "mwmae": Family(MwmaeConfig(**MWMAE, decoder_window_sizes=(2, 4, 0)), power_mel(), MASKED),
    "spectrogram_cnn resnet": cnn("resnet18", 1 / 16),
    "spectrogram_cnn cifar": cnn("cifar-resnet8", 1 / 4),
    "spectrogram_cnn densenet": cnn("densenet121", 1 / 16),
    "spectrogram_cnn efficientnet": cnn("efficientnet-b0", 1 / 40),
    "mwmae with class token": Family(
        MwmaeConfig(**MWMAE, decoder_window_sizes=0, use_class_token=True), power_mel(), MASKED
    ),
}
