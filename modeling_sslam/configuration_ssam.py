# Copyright 2026 The modeling_sslam authors. MIT licence.
"""Configuration of SSAM encoders."""

from __future__ import annotations

from huggingface_hub.dataclasses import strict

from .configuration_masked_patch import MaskedPatchConfig


@strict
class SsamConfig(MaskedPatchConfig):
    r"""
    Configuration of SSAM (Yadav and Tan, "Audio Mamba: Selective State Spaces for Self-Supervised Audio
    Representations", Interspeech 2024). The defaults build the published base model; `tiny` and `small` are class
    methods. Fields that are not named here are those of `MaskedPatchConfig`.

    Args:
        expand: channels of a scan, as a multiple of `hidden_size`.
        state_size: numbers that every channel of a scan carries from token to token.
        conv_kernel: tokens that the causal convolution before a scan sees.
        time_step_rank: rank of the map from a token to its time steps; `hidden_size / 16`, rounded up, when None.
        bidirectional: whether a second scan, with weights of its own, reads the tokens from the end, so that every
            token sees all others and the class token, which is blind otherwise, sees the clip. Its output is added
            to the first one's before gate and output projection, which serve both. No published model has it.

    Raises:
        ValueError: a size below 1, or sizes that do not divide.
    """

    model_type = "ssam"
    auto_classes = {
        "AutoConfig": "configuration_ssam.SsamConfig",
        "AutoModel": "modeling_ssam.SsamModel",
        "AutoModelForPreTraining": "modeling_ssam.SsamForPreTraining",
        "AutoModelForAudioClassification": "modeling_ssam.SsamForAudioClassification",
        "AutoModelForAudioFrameClassification": "modeling_ssam.SsamForAudioFrameClassification",
    }
    published_sizes = {"tiny": {"hidden_size": 192}, "small": {"hidden_size": 384}}

    expand: int = 3
    state_size: int = 24
    conv_kernel: int = 4
    time_step_rank: int | None = None
    bidirectional: bool = False

    def __post_init__(self, **kwargs):
        if self.time_step_rank is None:
            self.time_step_rank = -(-self.hidden_size // 16)
        for size in ("expand", "state_size", "conv_kernel", "time_step_rank"):
            if getattr(self, size) < 1:
                raise ValueError(f"{size} is {getattr(self, size)}: expected at least 1")
        super().__post_init__(**kwargs)

    @property
    def has_class_token(self) -> bool:
        """In one direction the class token, which comes first, hears nothing."""
        return self.use_class_token and self.bidirectional

    @property
    def inner_size(self) -> int:
        """Channels of a scan."""
        return self.expand * self.hidden_size


__all__ = ["SsamConfig"]
