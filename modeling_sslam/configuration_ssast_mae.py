# Copyright 2026 The modeling_sslam authors. MIT licence.
"""Configuration of the transformer baseline of SSAM and AxLSTM."""

from __future__ import annotations

from huggingface_hub.dataclasses import strict

from .configuration_audio_encoder import check_divides
from .configuration_masked_patch import MaskedPatchConfig


@strict
class SsastMaeConfig(MaskedPatchConfig):
    r"""
    Configuration of the transformer that SSAM (Yadav and Tan, Interspeech 2024) and AxLSTM (Yadav et al., Interspeech
    2025) are compared with. Those works call it SSAST; it is not the model of Gong et al. (AAAI 2022). Fields that are
    not named here are those of `MaskedPatchConfig`.

    Args:
        num_attention_heads, intermediate_size, hidden_act: the transformer.
        qkv_bias: whether the joint query/key/value projection has a bias.
        attention_probs_dropout_prob: dropout rate; the official recipe has 0.
        prediction_num_layers: transformer blocks of the prediction head, 0 in all published models.
        prediction_hidden_size, prediction_num_attention_heads: width and heads of these blocks.

    Raises:
        ValueError: sizes that do not divide.
    """

    model_type = "ssast_mae"
    auto_classes = {
        "AutoConfig": "configuration_ssast_mae.SsastMaeConfig",
        "AutoModel": "modeling_ssast_mae.SsastMaeModel",
        "AutoModelForPreTraining": "modeling_ssast_mae.SsastMaeForPreTraining",
        "AutoModelForAudioClassification": "modeling_ssast_mae.SsastMaeForAudioClassification",
        "AutoModelForAudioFrameClassification": "modeling_ssast_mae.SsastMaeForAudioFrameClassification",
    }
    published_sizes = {
        "tiny": {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768},
        "small": {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536},
    }

    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    qkv_bias: bool = True
    attention_probs_dropout_prob: float | int = 0.0
    prediction_num_layers: int = 0
    prediction_hidden_size: int = 384
    prediction_num_attention_heads: int = 6

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        check_divides(self, hidden_size="num_attention_heads")
        check_divides(self, prediction_hidden_size="prediction_num_attention_heads")


__all__ = ["SsastMaeConfig"]
