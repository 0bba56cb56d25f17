# Copyright 2026 The modeling_sslam authors. MIT licence.
"""Fields that SSAM, AxLSTM and their transformer baseline share: all that is not inside their blocks."""

from __future__ import annotations

from typing import ClassVar

from huggingface_hub.dataclasses import strict

from .configuration_audio_encoder import check_choice
from .configuration_patches import PatchConfig, PatchSize, check_whole_patches

TOKEN_GROUPINGS = ("reference", "time")


@strict
class MaskedPatchConfig(PatchConfig):
    r"""
    Tokens and features of the encoders of Yadav and Tan ("Audio Mamba", Interspeech 2024; "AxLSTMs", Interspeech
    2025). A default is what the official code does, also where that is odd. Fields that are not named here are those
    of `PatchConfig`.

    Args:
        hidden_size, num_hidden_layers: width and number of blocks.
        layer_norm_eps: of the norms in the encoder.
        window_frames: frames of a pretraining crop and of the windows that long clips are cut into for features.
            The model itself takes any length.
        use_class_token: put a learned token in front of the patches. It enters no output and no loss, but the blocks
            see it. In SSAM, which reads in one direction, it sees nothing itself.
        mask_token_has_position: whether a masked token knows where it is. False is official: the mask token replaces
            patch AND position, so that a transformer predicts the same for every masked patch of a clip.
        token_grouping: which tokens make a step of the features for downstream tasks. "reference" is official: the
            time-major tokens are grouped as if they were frequency-major, so that a step mixes distant times.
            "time" groups the frequency patches of one time step.
        initializer_range: standard deviation of class token and mask token.

    Raises:
        ValueError: sizes that do not divide, or an unknown grouping.
    """

    window_padding = "zeros"
    # Width, depth and whatever else the published sizes differ in, by name. Each family has its own.
    published_sizes: ClassVar[dict[str, dict[str, int]]] = {}

    hidden_size: int = 768
    num_hidden_layers: int = 12
    layer_norm_eps: float = 1e-6
    patch_size: PatchSize = (4, 16)
    num_mel_bins: int = 80
    window_frames: int = 200
    use_class_token: bool = True
    mask_token_has_position: bool = False
    token_grouping: str = "reference"
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        check_whole_patches(self, "window_frames", "num_mel_bins")
        if self.hidden_size % 4:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of 4, which the positions need")
        check_choice(self, "token_grouping", TOKEN_GROUPINGS)

    @property
    def has_class_token(self) -> bool:
        return self.use_class_token

    @classmethod
    def tiny(cls, **overrides) -> MaskedPatchConfig:
        """The published tiny model."""
        return cls(**(cls.published_sizes["tiny"] | overrides))

    @classmethod
    def small(cls, **overrides) -> MaskedPatchConfig:
        """The published small model."""
        return cls(**(cls.published_sizes["small"] | overrides))

    @classmethod
    def base(cls, **overrides) -> MaskedPatchConfig:
        """The published base model, which is also what the defaults build."""
        return cls(**overrides)


__all__ = ["MaskedPatchConfig"]
