# Copyright 2026 The modeling_sslam authors. MIT licence.
"""Configuration of AxLSTM encoders."""

from __future__ import annotations

from huggingface_hub.dataclasses import strict

from .configuration_masked_patch import MaskedPatchConfig


@strict
class AxlstmConfig(MaskedPatchConfig):
    r"""
    Configuration of AxLSTM (Yadav, Theodoridis and Tan, "AxLSTMs: Learning Self-Supervised Audio Representations with
    xLSTMs", Interspeech 2025). The defaults build the published base model; `tiny` and `small` are class methods.
    Fields that are not named here are those of `MaskedPatchConfig`.

    Args:
        expand: channels of the cell, as a multiple of `hidden_size`.
        num_cell_heads: memories of the cell, which share its channels.
        projection_block_size: channels that are mixed to a query, key or value.
        conv_kernel: tokens that the causal convolution before query and key sees.
        cell_norm_eps: of the norm before each layer and of the norm behind the cell, which have no bias.
        chunk_size: tokens of a chunk in sequences so long that the chunkwise form of the cell is cheaper than the
            parallel one. Changes rounding only.

    Raises:
        ValueError: a size below 1, or sizes that do not divide.
    """

    model_type = "axlstm"
    auto_classes = {
        "AutoConfig": "configuration_axlstm.AxlstmConfig",
        "AutoModel": "modeling_axlstm.AxlstmModel",
        "AutoModelForPreTraining": "modeling_axlstm.AxlstmForPreTraining",
        "AutoModelForAudioClassification": "modeling_axlstm.AxlstmForAudioClassification",
        "AutoModelForAudioFrameClassification": "modeling_axlstm.AxlstmForAudioFrameClassification",
    }
    published_sizes = {"tiny": {"hidden_size": 192}, "small": {"hidden_size": 384}}

    expand: int = 2
    num_cell_heads: int = 4
    projection_block_size: int = 4
    conv_kernel: int = 4
    cell_norm_eps: float = 1e-5
    chunk_size: int = 128

    def __post_init__(self, **kwargs):
        for size in ("expand", "num_cell_heads", "projection_block_size", "conv_kernel", "chunk_size"):
            if getattr(self, size) < 1:
                raise ValueError(f"{size} is {getattr(self, size)}: expected at least 1")
        for divisor in ("num_cell_heads", "projection_block_size"):
            if self.inner_size % getattr(self, divisor):
                raise ValueError(
                    f"expand x hidden_size is {self.inner_size}, not a multiple of {divisor} {getattr(self, divisor)}"
                )
        super().__post_init__(**kwargs)

    @property
    def inner_size(self) -> int:
        """Channels of the cell."""
        return self.expand * self.hidden_size


__all__ = ["AxlstmConfig"]
