# Copyright 2026 The modeling_sslam authors. MIT licence.
"""SSAM: an audio encoder of Mamba blocks that reconstructs masked patches.

Yadav and Tan, "Audio Mamba: Selective State Spaces for Self-Supervised Audio Representations", Interspeech 2024.

A block is a normalised Mamba mixer with a residual around it, and nothing else. Tokens are read in time, and within a
time step from low to high frequency; each sees those before it, and with `bidirectional` in the configuration all.
What SSAM shares with AxLSTM and their transformer baseline is in `modeling_masked_patch.py`.
"""

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_ssam import SsamConfig
from .heads import ForAudioClassification, ForAudioFrameClassification
from .layers_initializers import UnbiasedLinear, init_as_torch, init_as_torch_without_bias
from .layers_mamba import MambaMixer
from .modeling_masked_patch import (
    MaskedPatchEmbeddings,
    MaskedPatchEncoder,
    MaskedPatchForPreTraining,
    MaskedPatchModelOutput,
    MaskedPatchPreTrainedModel,
    PredictionHead,
)
from .tokens_masks import reverse_tokens


class SsamLayer(GradientCheckpointingLayer):
    """Pre-norm Mamba block."""

    def __init__(self, config: SsamConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mixer = MambaMixer(
            config.hidden_size,
            config.inner_size,
            config.state_size,
            config.conv_kernel,
            config.time_step_rank,
            config.bidirectional,
        )

    def forward(self, hidden_states: torch.Tensor, reversed_order: torch.Tensor | None = None) -> torch.Tensor:
        return hidden_states + self.mixer(self.norm(hidden_states), reversed_order)


class SsamPreTrainedModel(MaskedPatchPreTrainedModel):
    """What all SSAM models share: configuration, initialisation, and what transformers may do with them."""

    config: SsamConfig
    _no_split_modules = ["MaskedPatchEmbeddings", "SsamLayer"]
    _can_compile_fullgraph = False
    _can_record_outputs = {"hidden_states": SsamLayer}

    def init_layer(self, layer: nn.Linear | nn.Conv1d | nn.Conv2d) -> None:
        """Linear layers and the convolutions before the scans as in PyTorch, but no linear layer has a bias."""
        if isinstance(layer, nn.Linear):
            init_as_torch_without_bias(layer)
        elif isinstance(layer, nn.Conv1d):
            init_as_torch(layer)
        else:
            super().init_layer(layer)


class SsamModel(MaskedPatchEncoder, SsamPreTrainedModel):
    """The SSAM encoder: spectrogram -> patch tokens."""

    def __init__(self, config: SsamConfig):
        super().__init__(config)
        self.embeddings = MaskedPatchEmbeddings(config)
        self.layers = nn.ModuleList([SsamLayer(config) for _ in range(config.num_hidden_layers)])
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
        reversed_order = None
        if self.config.bidirectional:
            is_real = hidden_states.new_ones(hidden_states.shape[:2], dtype=torch.bool)
            reversed_order = reverse_tokens(is_real if token_mask is None else token_mask)
        for layer in self.layers:
            hidden_states = layer(hidden_states, reversed_order)
        return self.outputs(self.norm(hidden_states), token_mask)


class SsamForPreTraining(MaskedPatchForPreTraining, SsamPreTrainedModel):
    """The encoder and the prediction of all patches. The loss is `training/objectives/masked_reconstruction.py`."""

    encoder_class = SsamModel

    def build_prediction_head(self, config: SsamConfig) -> PredictionHead:
        return PredictionHead(config.hidden_size, config.patch_size, UnbiasedLinear)


class SsamForAudioClassification(ForAudioClassification, SsamPreTrainedModel):
    """The encoder with a linear classifier on the mean of its patches."""

    encoder_class = SsamModel


class SsamForAudioFrameClassification(ForAudioFrameClassification, SsamPreTrainedModel):
    """The encoder with a classifier on every time step (the mean over its frequency patches)."""

    encoder_class = SsamModel


__all__ = [
    "SsamForAudioClassification",
    "SsamForAudioFrameClassification",
    "SsamForPreTraining",
    "SsamModel",
    "SsamPreTrainedModel",
]
