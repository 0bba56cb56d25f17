# Copyright 2026 The modeling_sslam authors. MIT licence.
"""What SSAM, AxLSTM and their transformer baseline share: all but the blocks.

Spectrogram -> patches with fixed positions -> masked ones replaced -> class token in front -> BLOCKS -> norm -> class
token dropped -> prediction of the patches, or a classifier on their mean. No token is dropped for being masked.
Yadav and Tan, "Audio Mamba: Selective State Spaces for Self-Supervised Audio Representations", Interspeech 2024;
Yadav, Theodoridis and Tan, "AxLSTMs: Learning Self-Supervised Audio Representations with xLSTMs", Interspeech 2025.
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import initialization as init
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs
from transformers.utils.generic import can_return_tuple

from .configuration_masked_patch import MaskedPatchConfig
from .encoder import AudioEncoderOutput, AudioPreTrainedModel, ModelMixin, TokenEncoder, scene_embedding
from .layers_initializers import TorchLinear, init_xavier
from .tokens_masks import masked_positions, resolve_mask
from .tokens_patches import PatchEmbedding, patch_attention_mask, with_special_tokens
from .tokens_positions import time_frequency_table


@dataclass
class MaskedPatchModelOutput(AudioEncoderOutput):
    """
    Args:
        last_hidden_state: (B, L, D) patch tokens after the norm, time-major.
        pooler_output: (B, F * D) the mean over time of the F patches of a step side by side, as
            `config.token_grouping` says: the papers' scene embedding of a clip that is not longer than a window.
        token_mask: (B, L) bool, True = real patch; None when nothing is padded.
        hidden_states: on request, the input of the first block and the output of each block before the norm,
            (B, 1 + L, D) with the class token first.
        attentions: on request, where there is attention (eager only), (B, heads, 1 + L, 1 + L) of each block.
        class_hidden_state: (B, D) the class token after the norm; None without one.
    """

    class_hidden_state: torch.FloatTensor | None = None

    def sequence(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """All tokens (B, 1 + L, D), class token first, and which are real, (B, 1 + L) bool or None."""
        if self.class_hidden_state is None:
            return self.last_hidden_state, self.token_mask
        tokens = torch.cat([self.class_hidden_state[:, None], self.last_hidden_state], dim=1)
        return tokens, with_special_tokens(self.token_mask, 1)


@dataclass
class MaskedPatchForPreTrainingOutput(ModelOutput):
    """
    Args:
        prediction: (B, L, P) the cells of every patch, masked or not, as `patchify` lays them out.
        last_hidden_state, token_mask, hidden_states, attentions: as in `MaskedPatchModelOutput`.
    """

    prediction: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None
    token_mask: torch.BoolTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


class MaskedPatchEmbeddings(nn.Module):
    """Patches with fixed positions, and the class token in front."""

    def __init__(self, config: MaskedPatchConfig):
        super().__init__()
        self.config = config
        self.patch_embeddings = PatchEmbedding(config.hidden_size, config.patch_size, num_mel_bins=config.num_mel_bins)
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size)) if config.use_class_token else None

    def patches(self, input_values: torch.Tensor) -> torch.Tensor:
        """(B, T, F) -> (B, L, D) patch tokens without positions.

        They have the precision of the weights, also under autocast: the residual stream then has too, as in the
        official code.

        Raises:
            ValueError: wrong rank, other mel bins than configured, or a clip shorter than a patch.
        """
        return self.patch_embeddings(input_values).to(self.patch_embeddings.projection.weight.dtype)

    def positions(self, patches: torch.Tensor) -> torch.Tensor:
        """(L, D) sines and cosines of time and frequency for patches (B, L, D)."""
        _, num_patches, hidden_size = patches.shape
        num_frequency = self.config.num_frequency_patches
        table = time_frequency_table(num_patches // num_frequency, num_frequency, hidden_size, patches.device)
        return table.to(patches.dtype)

    def add_class_token(
        self, patches: torch.Tensor, token_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, L, D) -> the sequence for the blocks (B, 1 + L, D), and which of its tokens are real."""
        if self.class_token is None:
            return patches, token_mask
        sequence = torch.cat([self.class_token.expand(patches.shape[0], -1, -1), patches], dim=1)
        return sequence, with_special_tokens(token_mask, 1)

    def init_weights(self, config: MaskedPatchConfig) -> None:
        if self.class_token is not None:
            init.normal_(self.class_token, std=config.initializer_range)


class MaskedPatchPreTrainedModel(AudioPreTrainedModel):
    """What the models of the families share: patches start Xavier-uniform, the other layers as in transformers.

    A family derives its own, annotates `config`, and says how its blocks start.
    """

    config: MaskedPatchConfig
    base_model_prefix = "encoder"

    def init_layer(self, layer: nn.Linear | nn.Conv1d | nn.Conv2d) -> None:
        if isinstance(layer, nn.Conv2d):
            init_xavier(layer)
        else:
            super().init_layer(layer)


class MaskedPatchEncoder(TokenEncoder):
    """Before and behind the blocks, for `class XModel(MaskedPatchEncoder, XPreTrainedModel)`."""

    def embed(
        self, input_values: torch.Tensor, attention_mask: torch.Tensor | None, patch_embeds: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The sequence for the blocks (B, 1 + L, D), class token first, and which of its tokens are real.

        Args:
            input_values, attention_mask, patch_embeds: of `forward`.
        Raises:
            ValueError: wrong rank or size of an argument, see the message.
        """
        if patch_embeds is None:
            patches = self.embeddings.patches(input_values)
            patch_embeds = patches + self.embeddings.positions(patches)
        token_mask = patch_attention_mask(attention_mask, input_values, self.config)
        return self.embeddings.add_class_token(patch_embeds, token_mask)

    def outputs(self, sequence: torch.Tensor, token_mask: torch.Tensor | None) -> MaskedPatchModelOutput:
        """Takes the class token off again: what `embed` returned, behind the blocks and the norm, as an output."""
        config, class_token = self.config, None
        if config.use_class_token:
            sequence, class_token = sequence[:, 1:], sequence[:, 0]
            token_mask = None if token_mask is None else token_mask[:, 1:]
        return MaskedPatchModelOutput(
            last_hidden_state=sequence,
            pooler_output=scene_embedding(sequence, token_mask, config.num_frequency_patches, config.token_grouping),
            token_mask=token_mask,
            class_hidden_state=class_token,
        )

    def special_tokens(self, output: MaskedPatchModelOutput) -> torch.Tensor:
        """(B, 1, D) the class token where it has heard the clip, else none."""
        if not self.config.has_class_token:
            return output.last_hidden_state[:, :0]
        return output.class_hidden_state[:, None]


class PredictionHead(nn.Module):
    """Linear, GELU, linear: every token of width `hidden_size` to the P cells of its patch.

    Args:
        linear_class: of the two layers, which says how they start.
    """

    def __init__(self, hidden_size: int, patch_size: tuple[int, int], linear_class: type[nn.Linear] = TorchLinear):
        super().__init__()
        self.dense = linear_class(hidden_size, hidden_size)
        self.activation = nn.GELU()
        self.output = linear_class(hidden_size, patch_size[0] * patch_size[1])

    def forward(self, encoded: MaskedPatchModelOutput) -> torch.Tensor:
        """(B, L, P) from what the encoder gave."""
        return self.predict(encoded.last_hidden_state)

    def predict(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(B, L, hidden_size) -> (B, L, P)."""
        return self.output(self.activation(self.dense(hidden_states)))


class MaskedPatchForPreTraining(ModelMixin):
    """Reconstruction of masked patches, for `class XForPreTraining(MaskedPatchForPreTraining, XPreTrainedModel)`.

    Attributes:
        encoder_class: the family's model.
    """

    encoder_class: type[MaskedPatchEncoder]

    def __init__(self, config: MaskedPatchConfig):
        super().__init__(config)
        self.encoder = self.encoder_class(config)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.prediction_head = self.build_prediction_head(config)
        self.post_init()

    def build_prediction_head(self, config: MaskedPatchConfig) -> PredictionHead:
        return PredictionHead(config.hidden_size, config.patch_size)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if module is self:
            init.normal_(self.mask_token, std=self.config.initializer_range)
        else:
            super()._init_weights(module)

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,
        bool_masked_pos: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        kept_indices: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> MaskedPatchForPreTrainingOutput:
        r"""
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram.
            bool_masked_pos: (B, L) bool, True = masked, time-major; every row masks the same number of patches.
            attention_mask: (B, T), 1 = real frame.
            kept_indices: (B, K) int64, the same mask in the other spelling, see `tokens_masks.py`.

        Returns:
            `MaskedPatchForPreTrainingOutput`.
        Raises:
            ValueError: no mask, or wrong rank or size of an argument; see the message.
        """
        patches = self.encoder.embeddings.patches(input_values)
        num_clips, num_patches, _ = patches.shape
        kept_indices = resolve_mask(bool_masked_pos, kept_indices, num_clips, num_patches, patches.device)
        encoded = self.encoder(
            input_values,
            attention_mask=attention_mask,
            patch_embeds=self._mask(patches, masked_positions(kept_indices, num_patches)),
            **kwargs,
        )
        return MaskedPatchForPreTrainingOutput(
            prediction=self.prediction_head(encoded),
            last_hidden_state=encoded.last_hidden_state,
            token_mask=encoded.token_mask,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )

    def _mask(self, patches: torch.Tensor, bool_masked_pos: torch.Tensor) -> torch.Tensor:
        """(B, L, D) patches with positions, the mask token in the place of every masked one."""
        positions, mask_token = self.encoder.embeddings.positions(patches), self.mask_token.to(patches.dtype)
        is_masked = bool_masked_pos[..., None]
        if self.config.mask_token_has_position:
            return torch.where(is_masked, mask_token, patches) + positions
        return torch.where(is_masked, mask_token, patches + positions)
