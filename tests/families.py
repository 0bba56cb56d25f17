"""A tiny configuration and an extractor of every family, which `test_families.py` and `test_remote_code.py` use."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from transformers import PreTrainedConfig, SequenceFeatureExtractor

from modeling_sslam import (
    AxlstmConfig,
    EatConfig,
    MwmaeConfig,
    PowerMelFeatureExtractor,
    SsamConfig,
    SsastConfig,
    SsastMaeConfig,
    SslamConfig,
    SslamFeatureExtractor,
)

NUM_LABELS = 3


@dataclasses.dataclass(frozen=True)
class Family:
    """
    Args:
        config: tiny, with `NUM_LABELS` labels.
        feature_extractor: for clips of about a second.
        pretraining_inputs: what `ForPreTraining` needs besides `input_values` (B, T, F), given these.
    """

    config: PreTrainedConfig
    feature_extractor: SequenceFeatureExtractor
    pretraining_inputs: Callable[[torch.Tensor], dict[str, torch.Tensor]] = lambda input_values: {}


def alternating_mask(num_frequency: int, patch_frames: int) -> Callable[[torch.Tensor], dict[str, torch.Tensor]]:
    """Masks every other patch."""

    def inputs(input_values: torch.Tensor) -> dict[str, torch.Tensor]:
        num_tokens = input_values.shape[1] // patch_frames * num_frequency
        return {"bool_masked_pos": (torch.arange(num_tokens) % 2 == 0).expand(len(input_values), -1)}

    return inputs


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

FAMILIES = {
    "sslam": Family(
        SslamConfig(**SSLAM), SslamFeatureExtractor(num_mel_bins=32, target_length=64), alternating_mask(2, 16)
    ),
    "eat": Family(EatConfig(**SSLAM), SslamFeatureExtractor(num_mel_bins=32, target_length=64)),
    "ssast patch": Family(
        SsastConfig(**SSAST, position_grid=(8, 2)),
        SslamFeatureExtractor(num_mel_bins=32, target_length=64),
        alternating_mask(2, 16),
    ),
    "ssast frame": Family(
        SsastConfig(**SSAST, patch_size=(2, 32), position_grid=(64, 1)),
        SslamFeatureExtractor(num_mel_bins=32, target_length=64),
        alternating_mask(1, 2),
    ),
    "ssam": Family(SsamConfig(**SSAM), PowerMelFeatureExtractor(num_mel_bins=32)),
    "ssam bidirectional": Family(SsamConfig(**SSAM, bidirectional=True), PowerMelFeatureExtractor(num_mel_bins=32)),
    "axlstm": Family(AxlstmConfig(**AXLSTM), PowerMelFeatureExtractor(num_mel_bins=32)),
    "ssast_mae": Family(
        SsastMaeConfig(**TRANSFORMER, num_mel_bins=32, patch_size=(4, 8)), PowerMelFeatureExtractor(num_mel_bins=32)
    ),
    "mwmae": Family(MwmaeConfig(**MWMAE, decoder_window_sizes=(2, 4, 0)), PowerMelFeatureExtractor(num_mel_bins=32)),
    "mwmae with class token": Family(
        MwmaeConfig(**MWMAE, decoder_window_sizes=0, use_class_token=True), PowerMelFeatureExtractor(num_mel_bins=32)
    ),
}
