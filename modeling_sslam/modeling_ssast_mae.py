# Copyright 2026 The modeling_sslam authors. MIT licence.
"""The transformer baseline of SSAM and AxLSTM: a pre-norm spectrogram transformer that reconstructs masked patches.

Yadav and Tan, "Audio Mamba", Interspeech 2024, and Yadav et al., "AxLSTMs", Interspeech 2025, call it SSAST; it shares
with Gong et al.'s SSAST little but the idea. What it shares with SSAM and AxLSTM is in `modeling_masked_patch.py`.

The official code adds positions before it replaces masked patches by one token. Attention does not tell such tokens
apart, so every masked patch of a clip gets the same prediction; `mask_token_has_position` in the configuration
gives them their place.
"""

import torch
from torch import nn
from transformers.masking_utils import create_bidirectional_mask
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_ssast_mae import SsastMaeConfig
from .heads import ForAudioClassification, ForAudioFrameClassification
from .layers_initializers import init_xavier
from .layers_transformer import BlockSizes, PreNormLayer, SelfAttention
from .modeling_masked_patch import (
    MaskedPatchEmbeddings,
    MaskedPatchEncoder,
    MaskedPatchForPreTraining,
    MaskedPatchModelOutput,
    MaskedPatchPreTrainedModel,
    PredictionHead,
)


class SsastMaePreTrainedModel(MaskedPatchPreTrainedModel):
    """What all models of the family share: configuration, initialisation, and what transformers may do with them."""

    config: SsastMaeConfig
    _no_split_modules = ["MaskedPatchEmbeddings", "PreNormLayer"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": PreNormLayer, "attentions": SelfAttention}

    def init_layer(self, layer: nn.Linear | nn.Conv2d) -> None:
        """Xavier-uniform, also the blocks; query, key and value count as one matrix."""
        init_xavier(layer)


class SsastMaeModel(MaskedPatchEncoder, SsastMaePreTrainedModel):
    """The transformer baseline's encoder: spectrogram -> patch tokens."""

    def __init__(self, config: SsastMaeConfig):
        super().__init__(config)
        self.embeddings = MaskedPatchEmbeddings(config)
        self.layers = nn.ModuleList([PreNormLayer(config) for _ in range(config.num_hidden_layers)])
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
            attention_mask: (B, T), 1 = real frame. A patch counts when all its frames are real.
            patch_embeds: (B, L, D) patch tokens with positions, in place of those of `input_values`.

        Returns:
            `MaskedPatchModelOutput`.
        Raises:
            ValueError: wrong rank or size of an argument, see the message.
        """
        hidden_states, token_mask = self.embed(input_values, attention_mask, patch_embeds)
        key_mask = create_bidirectional_mask(
            config=self.config, inputs_embeds=hidden_states, attention_mask=token_mask
        )
        for layer in self.layers:
            hidden_states = layer(hidden_states, key_mask, **kwargs)
        return self.outputs(self.norm(hidden_states), token_mask)


class TransformerPredictionHead(PredictionHead):
    """Narrower transformer blocks over all tokens, the class token among them, before the two linear layers.

    An option of AxLSTM's code that no published result uses. It adds no positions.
    """

    def __init__(self, config: SsastMaeConfig):
        hidden_size = config.prediction_hidden_size
        super().__init__(hidden_size, config.patch_size)
        intermediate_size = config.intermediate_size * hidden_size // config.hidden_size
        sizes = BlockSizes(hidden_size, config.prediction_num_attention_heads, intermediate_size, config.hidden_act)
        self.config = config
        self.projection = nn.Linear(config.hidden_size, hidden_size)
        self.layers = nn.ModuleList([PreNormLayer(config, sizes) for _ in range(config.prediction_num_layers)])
        self.norm = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)

    def forward(self, encoded: MaskedPatchModelOutput) -> torch.Tensor:
        """(B, L, P) from what the encoder gave."""
        sequence, token_mask = encoded.sequence()
        hidden_states = self.projection(sequence)
        key_mask = create_bidirectional_mask(self.config, inputs_embeds=hidden_states, attention_mask=token_mask)
        for layer in self.layers:
            hidden_states = layer(hidden_states, key_mask)
        num_patches = encoded.last_hidden_state.shape[1]
        return self.predict(self.norm(hidden_states)[:, -num_patches:])


class SsastMaeForPreTraining(MaskedPatchForPreTraining, SsastMaePreTrainedModel):
    """The encoder and the prediction of all patches. The loss is `training/objectives/masked_reconstruction.py`."""

    encoder_class = SsastMaeModel

    def build_prediction_head(self, config: SsastMaeConfig) -> PredictionHead:
        if config.prediction_num_layers == 0:
            return super().build_prediction_head(config)
        return TransformerPredictionHead(config)


class SsastMaeForAudioClassification(ForAudioClassification, SsastMaePreTrainedModel):
    """The encoder with a linear classifier on the mean of its patches."""

    encoder_class = SsastMaeModel


class SsastMaeForAudioFrameClassification(ForAudioFrameClassification, SsastMaePreTrainedModel):
    """The encoder with a classifier on every time step (the mean over its frequency patches)."""

    encoder_class = SsastMaeModel


__all__ = [
    "SsastMaeForAudioClassification",
    "SsastMaeForAudioFrameClassification",
    "SsastMaeForPreTraining",
    "SsastMaeModel",
    "SsastMaePreTrainedModel",
]
