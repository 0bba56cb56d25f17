# Copyright 2026 The modeling_sslam authors. MIT licence.
"""Configuration of SSAST encoders."""

from __future__ import annotations

from huggingface_hub.dataclasses import strict

from .configuration_audio_encoder import check_choice, check_divides
from .configuration_patches import PatchConfig, PatchSize, pair

POSITION_FITS = ("centre", "start")

SIZES = {
    "tiny": {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768},
    "small": {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536},
    "base": {},
}


@strict
class SsastConfig(PatchConfig):
    r"""
    Configuration of SSAST (Gong et al., "SSAST: Self-Supervised Audio Spectrogram Transformer", AAAI 2022). The
    defaults build the published base patch model as it is pretrained; `SsastConfig.patch("tiny")` and
    `SsastConfig.frame("base")` build the others. Fields that are not named here are those of `PatchConfig`.

    Args:
        hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, hidden_act: the transformer.
        layer_norm_eps: of the norms in the encoder.
        qkv_bias: whether the joint query/key/value projection has a bias.
        attention_probs_dropout_prob: dropout rate; every published recipe has 0.
        initializer_range: standard deviation of linear weights, class tokens and positions.
        patch_size: (frames, mel bins) of a patch; (2, 128) in the frame models, which have one patch a time step.
        patch_stride: (frames, mel bins) from one patch to the next; `patch_size` when None, as in pretraining.
            Fine-tuning uses (10, 10) for patch and (1, 128) for frame models.
        position_grid: (time steps, frequency patches) of the learned position table, those of a pretraining clip.
        position_fit: how the table serves a clip of other length. "centre" is official: the middle of the table is
            cut out for a shorter clip, and the table is stretched for a longer one, so that a position depends on the
            length of the (padded) clip. "start" takes the table from its beginning, so that a padded batch gives the
            same as single clips; a clip longer than the table is refused.
        positions_via_eight_rows: stretch the table in time by way of eight frequency rows, whatever their number, as
            the official code does. Makes a difference where the table has another number of rows, so not with 128
            bins.
        pooling: what the classifier sees: the mean of the patch tokens ("mean"), or of the two class tokens ("cls"),
            both official; or patch tokens pooled by "attentive" or "linear_softmax".

    Raises:
        ValueError: sizes that do not divide or do not fit, or an unknown pooling or position fit.
    """

    model_type = "ssast"
    auto_classes = {
        "AutoConfig": "configuration_ssast.SsastConfig",
        "AutoModel": "modeling_ssast.SsastModel",
        "AutoModelForPreTraining": "modeling_ssast.SsastForPreTraining",
        "AutoModelForAudioClassification": "modeling_ssast.SsastForAudioClassification",
        "AutoModelForAudioFrameClassification": "modeling_ssast.SsastForAudioFrameClassification",
    }

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    qkv_bias: bool = True
    attention_probs_dropout_prob: float | int = 0.0
    initializer_range: float = 0.02
    patch_stride: PatchSize | None = None
    position_grid: PatchSize = (64, 8)
    position_fit: str = "centre"
    positions_via_eight_rows: bool = False
    classifier_norm_eps: float = 1e-5

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.patch_stride = self.patch_size if self.patch_stride is None else pair("patch_stride", self.patch_stride)
        self.position_grid = pair("position_grid", self.position_grid)
        check_divides(self, hidden_size="num_attention_heads")
        check_choice(self, "position_fit", POSITION_FITS)

    @property
    def num_special_tokens(self) -> int:
        """Class and distillation token."""
        return 2

    @property
    def positions_depend_on_length(self) -> bool:
        return self.position_fit == "centre"

    @property
    def longest_clip(self) -> int | None:
        """The end of the table, where it is not stretched."""
        return None if self.position_fit == "centre" else self.frames_of(self.position_grid[0])

    @classmethod
    def patch(cls, size: str = "base", **overrides) -> SsastConfig:
        """The published patch model of a size: "tiny", "small" or "base"."""
        return cls(**(_size(size) | overrides))

    @classmethod
    def frame(cls, size: str = "base", **overrides) -> SsastConfig:
        """The published frame model of a size."""
        return cls(**(_size(size) | {"patch_size": (2, 128), "position_grid": (512, 1)} | overrides))


def _size(size: str) -> dict[str, int]:
    """Fields of a published size. Raises ValueError for another one."""
    if size not in SIZES:
        raise ValueError(f"Unknown size {size!r}: expected one of {', '.join(SIZES)}.")
    return SIZES[size]


__all__ = ["SsastConfig"]
