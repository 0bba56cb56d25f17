# Copyright 2026 The modeling_sslam authors. MIT licence.
"""Configuration of SSLAM and EAT encoders."""

from __future__ import annotations

from huggingface_hub.dataclasses import strict

from .configuration_audio_encoder import check_divides
from .configuration_patches import PatchConfig, PatchSize


@strict
class SslamConfig(PatchConfig):
    r"""
    Configuration of SSLAM (Alex et al., ICLR 2025) and of EAT (Chen et al., IJCAI 2024), which is SSLAM's first stage.
    The defaults build the published base model; `SslamConfig.large()` builds EAT-large. Fields that are not named here
    are those of `PatchConfig`.

    Args:
        hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, hidden_act: the transformer.
        layer_norm_eps: of the norms in the encoder.
        qkv_bias: whether the joint query/key/value projection has a bias.
        hidden_dropout_prob, attention_probs_dropout_prob: dropout rates; every published recipe has 0.
        drop_path_rate: stochastic depth of the last layer; it rises linearly from 0 at the first layer.
        initializer_range: standard deviation of the linear weights of the blocks.
        class_token_std: standard deviation of the class token at initialisation; the official code has 1, not 0.02.
        max_time_patches: rows of the fixed position table; with 16-frame patches 768 are 122.9 s.
        decoder_hidden_size, decoder_num_layers, decoder_kernel_size, decoder_groups: convolutional decoder of
            pretraining.
        decoder_layer_norm_eps: of the decoder's norms, which have no weights.
        mask_noise_std: standard deviation of the noise that stands for a masked token in the decoder.
        pooling: what the classifier sees: the class token ("cls"), or the patch tokens pooled by "mean", "attentive"
            or "linear_softmax".
        classifier_norm_eps: of the norm before the classifier; 1e-6 in the fairseq releases, 1e-5 in the hub ones.

    Raises:
        ValueError: sizes that do not divide, or an unknown pooling.
    """

    model_type = "sslam"
    auto_classes = {
        "AutoConfig": "configuration_sslam.SslamConfig",
        "AutoModel": "modeling_sslam.SslamModel",
        "AutoModelForPreTraining": "modeling_sslam.SslamForPreTraining",
        "AutoModelForAudioClassification": "modeling_sslam.SslamForAudioClassification",
        "AutoModelForAudioFrameClassification": "modeling_sslam.SslamForAudioFrameClassification",
    }

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    qkv_bias: bool = True
    hidden_dropout_prob: float | int = 0.0
    attention_probs_dropout_prob: float | int = 0.0
    drop_path_rate: float | int = 0.0
    initializer_range: float = 0.02
    class_token_std: float | int = 1.0
    patch_size: PatchSize = (16, 16)
    max_time_patches: int = 768
    decoder_hidden_size: int = 768
    decoder_num_layers: int = 6
    decoder_kernel_size: int = 3
    decoder_groups: int = 16
    decoder_layer_norm_eps: float = 1e-5
    mask_noise_std: float | int = 0.01
    pooling: str = "cls"

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        check_divides(self, hidden_size="num_attention_heads")
        if self.num_mel_bins % self.patch_size[1]:
            raise ValueError(f"num_mel_bins {self.num_mel_bins} is not a multiple of patch_size {self.patch_size[1]}")

    @property
    def num_special_tokens(self) -> int:
        """The class token."""
        return 1

    @property
    def longest_clip(self) -> int:
        """The end of the position table."""
        return self.frames_of(self.max_time_patches)

    @classmethod
    def base(cls, **overrides) -> SslamConfig:
        """The published base model (EAT-base, SSLAM)."""
        return cls(**overrides)

    @classmethod
    def large(cls, **overrides) -> SslamConfig:
        """EAT-large."""
        sizes = {
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "decoder_hidden_size": 1024,
            "decoder_num_layers": 3,
            "decoder_kernel_size": 5,
        }
        return cls(**(sizes | overrides))


__all__ = ["SslamConfig"]
