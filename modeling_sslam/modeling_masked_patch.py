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
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs
from transformers.utils.generic import can_return_tuple

from .configuration_masked_patch import MaskedPatchConfig
from .layers_initializers import init_as_torch, init_xavier
from .tokens_masks import random_mask
from .tokens_patches import PatchEmbedding, patch_attention_mask, with_special_tokens
from .tokens_pooling import masked_mean
from .tokens_positions import time_frequency_table


@dataclass
class MaskedPatchModelOutput(ModelOutput):
    """
    Args:
        last_hidden_state: (B, L, D) patch tokens after the norm, time-major.
        class_hidden_state: (B, D) the class token after the norm; None without one.
        token_mask: (B, L) bool, True = real patch; None when nothing is padded.
        hidden_states: on request, the input of the first block and the output of each block before the norm,
            (B, 1 + L, D) with the class token first.
        attentions: on request, where there is attention (eager only), (B, heads, 1 + L, 1 + L) of each block.
    """

    last_hidden_state: torch.FloatTensor | None = None
    class_hidden_state: torch.FloatTensor | None = None
    token_mask: torch.BoolTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None

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
        bool_masked_pos: (B, L) bool, True = masked.
        last_hidden_state, token_mask, hidden_states, attentions: as in `MaskedPatchModelOutput`.
    """

    prediction: torch.FloatTensor | None = None
    bool_masked_pos: torch.BoolTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None
    token_mask: torch.BoolTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


class MaskedPatchEmbeddings(nn.Module):
    """Patches with fixed positions, masked ones replaced by one vector, and the class token in front."""

    def __init__(self, config: MaskedPatchConfig):
        super().__init__()
        self.config = config
        self.patch_embeddings = PatchEmbedding(config.hidden_size, config.patch_size, num_mel_bins=config.num_mel_bins)
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size)) if config.use_class_token else None

    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        bool_masked_pos: torch.Tensor | None = None,
        mask_token: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram.
            attention_mask: (B, T), 1 = real frame. A patch counts when all its frames are real.
            bool_masked_pos: (B, L) bool, True = masked. Needs `mask_token`.
            mask_token: (1, 1, D) what stands for masked patches.

        Returns:
            The sequence for the blocks (B, 1 + L, D), class token first (B, L, D without one), and which of its tokens
            are real, (B, 1 + L) bool or None.
        Raises:
            ValueError: wrong rank or size of an argument, see the message.
        """
        # The residual stream has the precision of the weights, also under autocast, as in the official code.
        dtype = self.patch_embeddings.projection.weight.dtype
        patches = self.patch_embeddings(input_values).to(dtype)
        num_clips, num_patches, hidden_size = patches.shape
        num_frequency = self.config.num_frequency_patches
        positions = time_frequency_table(num_patches // num_frequency, num_frequency, hidden_size, patches.device)
        positions = positions.to(dtype)
        if bool_masked_pos is None:
            hidden_states = patches + positions
        elif self.config.mask_token_has_position:
            hidden_states = self._mask(patches, bool_masked_pos, mask_token) + positions
        else:
            hidden_states = self._mask(patches + positions, bool_masked_pos, mask_token)

        token_mask = patch_attention_mask(attention_mask, input_values, self.config.patch_size[0], num_frequency)
        if self.class_token is not None:
            hidden_states = torch.cat([self.class_token.expand(num_clips, -1, -1), hidden_states], dim=1)
            token_mask = with_special_tokens(token_mask, 1)
        return hidden_states, token_mask

    def _mask(
        self, patches: torch.Tensor, bool_masked_pos: torch.Tensor, mask_token: torch.Tensor | None
    ) -> torch.Tensor:
        """(B, L, D) with the mask token in the place of every masked patch."""
        if mask_token is None:
            raise ValueError("bool_masked_pos needs mask_token, what stands for masked patches: use ForPreTraining")
        if bool_masked_pos.shape != patches.shape[:2]:
            raise ValueError(
                f"bool_masked_pos has shape {tuple(bool_masked_pos.shape)}, but there are "
                f"{tuple(patches.shape[:2])} clips and patches"
            )
        return torch.where(bool_masked_pos[..., None], mask_token.to(patches.dtype), patches)

    def outputs(self, sequence: torch.Tensor, token_mask: torch.Tensor | None) -> MaskedPatchModelOutput:
        """Takes the class token off again: what `forward` returned, behind the blocks and the norm, as an output."""
        if self.class_token is None:
            return MaskedPatchModelOutput(last_hidden_state=sequence, token_mask=token_mask)
        return MaskedPatchModelOutput(
            last_hidden_state=sequence[:, 1:],
            class_hidden_state=sequence[:, 0],
            token_mask=None if token_mask is None else token_mask[:, 1:],
        )


class MaskedPatchPreTrainedModel(PreTrainedModel):
    """What the models of the families share: initialisation, and what transformers may do with them.

    A family derives its own, annotates `config`, and adds the initialisation of its blocks.
    """

    config: MaskedPatchConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _can_compile_fullgraph = True
    _input_embed_layer = "patch_embeddings"
    # A model may be loaded from the checkpoint of another one: heads it does not have are left aside.
    _keys_to_ignore_on_load_unexpected = [
        r"^mask_token$",
        r"^prediction_head\.",
        r"^pooled_norm\.",
        r"^classifier\.",
    ]

    def get_input_embeddings(self) -> nn.Module:
        return self.base_model.embeddings.patch_embeddings.projection

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Tokens and patches as in the official code, anything else as in transformers.

        Only modules that own parameters are passed here: transformers takes the others of an out-of-tree model for
        initialised.
        """
        if isinstance(module, MaskedPatchEmbeddings):
            if module.class_token is not None:
                init.normal_(module.class_token, std=self.config.initializer_range)
        elif isinstance(module, nn.Conv2d):
            init_xavier(module)
        else:
            super()._init_weights(module)


class PredictionHead(nn.Module):
    """Linear, GELU, linear: every token of width `hidden_size` to the P cells of its patch."""

    def __init__(self, hidden_size: int, patch_size: tuple[int, int]):
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.activation = nn.GELU()
        self.output = nn.Linear(hidden_size, patch_size[0] * patch_size[1])

    def forward(self, encoded: MaskedPatchModelOutput) -> torch.Tensor:
        """(B, L, P) from what the encoder gave."""
        return self.predict(encoded.last_hidden_state)

    def predict(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(B, L, hidden_size) -> (B, L, P)."""
        return self.output(self.activation(self.dense(hidden_states)))


class MaskedPatchForPreTraining:
    """Reconstruction of masked patches, for `class XForPreTraining(MaskedPatchForPreTraining, XPreTrainedModel)`.

    Attributes:
        encoder_class: the family's model.
    """

    encoder_class: type[PreTrainedModel]

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
        elif isinstance(module, nn.Linear) and any(module is layer for layer in self.prediction_head.children()):
            init_as_torch(module)
        else:
            super()._init_weights(module)

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,
        noise: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> MaskedPatchForPreTrainingOutput:
        r"""
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram.
            noise: (B, L) uniform numbers, of which the smallest are kept; a time step's first one counts for all of
                it with `config.masking = "timestep"`. Without it a fixed-seed generator draws them, so that the
                forward pass is a function of its arguments.
            attention_mask: (B, T), 1 = real frame.

        Returns:
            `MaskedPatchForPreTrainingOutput`.
        Raises:
            ValueError: wrong rank or size of an argument, see the message.
        """
        bool_masked_pos = self._draw_mask(input_values, noise)
        encoded = self.encoder(
            input_values,
            attention_mask=attention_mask,
            bool_masked_pos=bool_masked_pos,
            mask_token=self.mask_token,
            **kwargs,
        )
        return MaskedPatchForPreTrainingOutput(
            prediction=self.prediction_head(encoded),
            bool_masked_pos=bool_masked_pos,
            last_hidden_state=encoded.last_hidden_state,
            token_mask=encoded.token_mask,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )

    def _draw_mask(self, input_values: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """(B, L) bool, True = masked."""
        num_frequency = self.config.num_frequency_patches
        shape = len(input_values), input_values.shape[1] // self.config.patch_size[0] * num_frequency
        if noise is None:
            generator = torch.Generator(input_values.device).manual_seed(0)
            noise = torch.rand(shape, generator=generator, device=input_values.device)
        if noise.shape != shape:
            raise ValueError(f"noise has shape {tuple(noise.shape)}: expected {shape}, one number a patch")
        if self.config.masking == "timestep":
            noise = noise[:, ::num_frequency].repeat_interleave(num_frequency, dim=1)
        return random_mask(noise.to(input_values.device), self.config.mask_ratio).bool_masked_pos


class MaskedPatchForAudioClassification:
    """Mean of the patches, norm, linear; for `class XForAudioClassification(MaskedPatchFor..., XPreTrainedModel)`.

    Attributes:
        encoder_class: the family's model.
    """

    encoder_class: type[PreTrainedModel]

    def __init__(self, config: MaskedPatchConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.encoder = self.encoder_class(config)
        self.pooled_norm = nn.LayerNorm(config.hidden_size, eps=config.classifier_norm_eps)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SequenceClassifierOutput:
        r"""
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram.
            attention_mask: (B, T), 1 = real frame.
            labels: (B,) class indices, or (B, C) float targets with
                `config.problem_type = "multi_label_classification"`.

        Returns:
            `SequenceClassifierOutput` with logits (B, C).
        """
        encoded = self.encoder(input_values, attention_mask=attention_mask, **kwargs)
        patches = encoded.last_hidden_state[:, self.config.num_special_tokens :]
        pooled = masked_mean(patches, encoded.token_mask)
        logits = self.classifier(self.pooled_norm(pooled))
        loss = None if labels is None else self.loss_function(labels, logits, self.config, **kwargs)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=encoded.hidden_states, attentions=encoded.attentions
        )
