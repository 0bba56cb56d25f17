# Copyright 2026 The modeling_sslam authors. MIT licence.
"""AxLSTM: an audio encoder of mLSTM layers that reconstructs masked patches.

Yadav, Theodoridis and Tan, "AxLSTMs: Learning Self-Supervised Audio Representations with xLSTMs", Interspeech 2025.

A block is a normalised mLSTM layer with a residual around it, and nothing else. Every other block reads the tokens
from the end, so that two blocks together see the whole clip. What AxLSTM shares with SSAM and their transformer
baseline is in `modeling_masked_patch.py`.
"""

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_axlstm import AxlstmConfig
from .heads import ForAudioClassification, ForAudioFrameClassification
from .layers_mlstm import MlstmLayer, OffsetNorm
from .modeling_masked_patch import (
    MaskedPatchEmbeddings,
    MaskedPatchEncoder,
    MaskedPatchForPreTraining,
    MaskedPatchModelOutput,
    MaskedPatchPreTrainedModel,
)
from .tokens_masks import gather_tokens, reverse_tokens


class AxlstmLayer(GradientCheckpointingLayer):
    """Pre-norm mLSTM block.

    Args:
        reverse: read the tokens from the end.
    """

    def __init__(self, config: AxlstmConfig, reverse: bool):
        super().__init__()
        self.reverse = reverse
        self.norm = OffsetNorm(config.hidden_size, config.cell_norm_eps)
        self.layer = MlstmLayer(
            config.hidden_size,
            config.inner_size,
            config.num_cell_heads,
            config.projection_block_size,
            config.conv_kernel,
            config.cell_norm_eps,
            config.chunk_size,
        )

    def forward(self, hidden_states: torch.Tensor, reversed_order: torch.Tensor | None = None) -> torch.Tensor:
        """
        Args:
            hidden_states: (B, L, hidden size).
            reversed_order: (B, L) int64 from `reverse_tokens`; None when no token is padding.
        """
        return hidden_states + self._turn(
            self.layer(self._turn(self.norm(hidden_states), reversed_order)), reversed_order
        )

    def _turn(self, hidden_states: torch.Tensor, reversed_order: torch.Tensor | None) -> torch.Tensor:
        """The tokens in the order of reading, or back again."""
        if not self.reverse:
            return hidden_states
        return hidden_states.flip(1) if reversed_order is None else gather_tokens(hidden_states, reversed_order)


class AxlstmPreTrainedModel(MaskedPatchPreTrainedModel):
    """What all AxLSTM models share: configuration, initialisation, and what transformers may do with them."""

    config: AxlstmConfig
    _no_split_modules = ["MaskedPatchEmbeddings", "AxlstmLayer"]
    _can_record_outputs = {"hidden_states": AxlstmLayer}


class AxlstmModel(MaskedPatchEncoder, AxlstmPreTrainedModel):
    """The AxLSTM encoder: spectrogram -> patch tokens."""

    def __init__(self, config: AxlstmConfig):
        super().__init__(config)
        self.embeddings = MaskedPatchEmbeddings(config)
        self.layers = nn.ModuleList(
            [AxlstmLayer(config, reverse=index % 2 == 1) for index in range(config.num_hidden_layers)]
        )
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        patch_embeds: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> MaskedPatchModelOutput:
        r"""
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram. Frames beyond the last whole patch are left out.
            attention_mask: (B, T), 1 = real frame; padding must be at the end, where no real token reads it. A patch
                counts when all its frames are real.
            patch_embeds: (B, L, D) patch tokens with positions, in place of those of `input_values`.

        Returns:
            `MaskedPatchModelOutput`.
        Raises:
            ValueError: wrong rank or size of an argument, see the message.
        """
        hidden_states, token_mask = self.embed(input_values, attention_mask, patch_embeds)
        reversed_order = None if token_mask is None else reverse_tokens(token_mask)
        for layer in self.layers:
            hidden_states = layer(hidden_states, reversed_order)
        return self.outputs(self.norm(hidden_states), token_mask)


class AxlstmForPreTraining(MaskedPatchForPreTraining, AxlstmPreTrainedModel):
    """The encoder and the prediction of all patches. The loss is `training/objectives/masked_reconstruction.py`."""

    encoder_class = AxlstmModel


class AxlstmForAudioClassification(ForAudioClassification, AxlstmPreTrainedModel):
    """The encoder with a linear classifier on the mean of its patches."""

    encoder_class = AxlstmModel


class AxlstmForAudioFrameClassification(ForAudioFrameClassification, AxlstmPreTrainedModel):
    """The encoder with a classifier on every time step (the mean over its frequency patches)."""

    encoder_class = AxlstmModel


__all__ = [
    "AxlstmForAudioClassification",
    "AxlstmForAudioFrameClassification",
    "AxlstmForPreTraining",
    "AxlstmModel",
    "AxlstmPreTrainedModel",
]
