# Copyright 2026 The modeling_sslam authors. MIT licence.
"""SSAST: a pre-norm spectrogram transformer that finds and reconstructs masked patches.

Gong, Lai, Chung and Glass, "SSAST: Self-Supervised Audio Spectrogram Transformer", AAAI 2022.

Two class tokens come first, then the patches in time order (index `time * frequency_patches + frequency`; inside the
official code they are in frequency order, which attention does not notice). The losses live in `training/`.
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import initialization as init
from transformers.masking_utils import create_bidirectional_mask
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_ssast import SsastConfig
from .encoder import AudioEncoderOutput, AudioPreTrainedModel, TokenEncoder
from .heads import ForAudioClassification, ForAudioFrameClassification
from .layers_initializers import TorchLinear, init_as_torch
from .layers_transformer import PreNormLayer, SelfAttention
from .tokens_learned_positions import fit_positions
from .tokens_masks import gather_tokens, masked_tokens, resolve_mask
from .tokens_patches import PatchEmbedding, patch_attention_mask, with_special_tokens
from .tokens_pooling import masked_mean


@dataclass
class SsastModelOutput(AudioEncoderOutput):
    """
    Args:
        last_hidden_state: (B, 2 + L, D) after the norm: class token, distillation token, then patches, time-major.
        pooler_output: (B, D) the mean of the patch tokens, which the paper classifies.
        token_mask: (B, L) bool, True = real patch; None when nothing is padded.
        hidden_states: on request, the input of the first block and the output of each block before the norm.
        attentions: on request (eager attention only), (B, heads, 2 + L, 2 + L) of each block.
    """


@dataclass
class SsastForPreTrainingOutput(ModelOutput):
    """
    Args:
        discriminative: (B, M, P) for each masked patch, in time-major order, what is compared with the pixels of all
            masked patches.
        generative: (B, M, P) their reconstructed pixels. Both in the order of `patchify`.
        last_hidden_state, hidden_states, attentions: as in `SsastModelOutput`.
    """

    discriminative: torch.FloatTensor | None = None
    generative: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


class SsastEmbeddings(nn.Module):
    """Patches with learned positions behind two class tokens."""

    def __init__(self, config: SsastConfig):
        super().__init__()
        self.config = config
        num_time, num_frequency = config.position_grid
        self.patch_embeddings = PatchEmbedding(
            config.hidden_size, config.patch_size, config.patch_stride, config.num_mel_bins
        )
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.distillation_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        # As in the official files: the class tokens', then all time steps of the lowest frequency patch, and so on.
        num_positions = config.num_special_tokens + num_time * num_frequency
        self.position_embeddings = nn.Parameter(torch.zeros(1, num_positions, config.hidden_size))

    def patches(self, input_values: torch.Tensor) -> torch.Tensor:
        """(B, T, F) -> (B, L, D) patch tokens without positions.

        They have the weights' precision, also under autocast: the residual stream then has too, as in the official
        code.

        Raises:
            ValueError: wrong rank, other mel bins than configured, or a clip shorter than a patch.
        """
        return self.patch_embeddings(input_values).to(self.class_token.dtype)

    def positions(self, num_patches: int) -> torch.Tensor:
        """(1, num_patches, D), time-major, made from the learned table. Raises ValueError as `fit_positions`."""
        config = self.config
        num_frequency = config.num_frequency_patches
        num_time = num_patches // num_frequency
        table = self.position_embeddings[0, config.num_special_tokens :].unflatten(0, config.position_grid[::-1])
        fitted = fit_positions(table, num_time, num_frequency, config.position_fit, config.positions_via_eight_rows)
        return fitted[None]

    def add_special_tokens(self, patches: torch.Tensor) -> torch.Tensor:
        """(B, L, D) patches with positions -> (B, 2 + L, D)."""
        special = torch.cat([self.class_token, self.distillation_token], dim=1)
        special = special + self.position_embeddings[:, : self.config.num_special_tokens]
        return torch.cat([special.expand(patches.shape[0], -1, -1), patches], dim=1)

    def init_weights(self, config: SsastConfig) -> None:
        for parameter in (self.class_token, self.distillation_token, self.position_embeddings):
            init.trunc_normal_(parameter, std=config.initializer_range)


class SsastPreTrainedModel(AudioPreTrainedModel):
    """What all SSAST models share: configuration, initialisation, and what transformers may do with them."""

    config: SsastConfig
    base_model_prefix = "ssast"
    _no_split_modules = ["SsastEmbeddings", "PreNormLayer"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": PreNormLayer, "attentions": SelfAttention}

    def init_layer(self, layer: nn.Linear | nn.Conv2d) -> None:
        """DeiT's initialisation in the blocks; PyTorch's own in the patch projection."""
        if isinstance(layer, nn.Conv2d):
            init_as_torch(layer)
            return
        init.trunc_normal_(layer.weight, std=self.config.initializer_range)
        if layer.bias is not None:
            init.zeros_(layer.bias)


class SsastModel(TokenEncoder, SsastPreTrainedModel):
    """The SSAST encoder: spectrogram -> two class tokens and patch tokens."""

    def __init__(self, config: SsastConfig):
        super().__init__(config)
        self.embeddings = SsastEmbeddings(config)
        self.layers = nn.ModuleList([PreNormLayer(config) for _ in range(config.num_hidden_layers)])
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    @torch.no_grad()
    def prepare_for_clips(self, num_frames: int) -> None:
        """Replaces the learned table of positions by what clips of `num_frames` frames get out of it.

        These clips' output stays the same. But each of their positions is then trained for itself, as in the official
        fine-tuning, whereas a table that is stretched in every forward pass is trained at its old size.

        Raises:
            ValueError: as `fit_positions`.
        """
        config, embeddings = self.config, self.embeddings
        grid = config.num_steps(num_frames), config.num_frequency_patches
        patches = embeddings.positions(grid[0] * grid[1]).unflatten(1, grid).transpose(1, 2).flatten(1, 2)
        special = embeddings.position_embeddings[:, : config.num_special_tokens]
        embeddings.position_embeddings = nn.Parameter(torch.cat([special, patches], dim=1))
        config.position_grid = grid

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        patch_embeds: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SsastModelOutput:
        r"""
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram. Frames beyond the last whole patch are left out.
            attention_mask: (B, T), 1 = real frame. A patch counts when all its frames are real. The published models
                were trained and evaluated without, so that padding is heard.
            patch_embeds: (B, L, D) patch tokens with positions, in place of those of `input_values`.

        Returns:
            `SsastModelOutput`.
        Raises:
            ValueError: wrong rank or size of an argument, see the message.
        """
        if patch_embeds is None:
            patches = self.embeddings.patches(input_values)
            patch_embeds = patches + self.embeddings.positions(patches.shape[1])
        hidden_states = self.embeddings.add_special_tokens(patch_embeds)
        config = self.config
        token_mask = patch_attention_mask(attention_mask, input_values, config)
        key_mask = with_special_tokens(token_mask, config.num_special_tokens)
        attention_mask = create_bidirectional_mask(config=config, inputs_embeds=hidden_states, attention_mask=key_mask)
        for layer in self.layers:
            hidden_states = layer(hidden_states, attention_mask, **kwargs)
        hidden_states = self.norm(hidden_states)
        pooled = masked_mean(hidden_states[:, config.num_special_tokens :], token_mask)
        return SsastModelOutput(last_hidden_state=hidden_states, pooler_output=pooled, token_mask=token_mask)


class SsastPredictionHead(nn.Module):
    """Linear, ReLU, linear: a token of width D to the P pixels of its patch."""

    def __init__(self, config: SsastConfig):
        super().__init__()
        self.dense = TorchLinear(config.hidden_size, config.hidden_size)
        self.output = TorchLinear(config.hidden_size, config.patch_size[0] * config.patch_size[1])

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.output(self.dense(hidden_states).relu())


class SsastForPreTraining(SsastPreTrainedModel):
    """The encoder and two heads for masked patches. Losses live in `training/objectives/ssast.py`."""

    def __init__(self, config: SsastConfig):
        super().__init__(config)
        if config.patch_stride != config.patch_size:
            raise ValueError(
                f"patch_stride {config.patch_stride} differs from patch_size {config.patch_size}: pretraining needs "
                "patches that do not overlap, since a masked one could be read off its neighbours"
            )
        self.ssast = SsastModel(config)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.discriminative_head = SsastPredictionHead(config)
        self.generative_head = SsastPredictionHead(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if module is self:
            init.normal_(self.mask_token, std=self.config.hidden_size**-0.5)
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
    ) -> SsastForPreTrainingOutput:
        r"""
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram.
            bool_masked_pos: (B, L) bool, True = masked, time-major; every row masks the same number of patches.
            attention_mask: (B, T), 1 = real frame.
            kept_indices: (B, K) int64, the same mask in the other spelling, see `tokens_masks.py`.

        Returns:
            `SsastForPreTrainingOutput`.
        Raises:
            ValueError: no mask, or wrong rank or size of an argument; see the message.
        """
        embeddings = self.ssast.embeddings
        patches = embeddings.patches(input_values)
        num_clips, num_patches, _ = patches.shape
        kept_indices = resolve_mask(bool_masked_pos, kept_indices, num_clips, num_patches, patches.device)
        masked_indices = masked_tokens(kept_indices, num_patches)
        index = masked_indices[..., None].expand(-1, -1, patches.shape[2])
        patches = patches.scatter(1, index, self.mask_token.expand_as(index))  # a masked patch keeps its position
        encoded = self.ssast(
            input_values,
            attention_mask=attention_mask,
            patch_embeds=patches + embeddings.positions(num_patches),
            **kwargs,
        )
        masked = gather_tokens(self.ssast.tokens(encoded).content, masked_indices)
        return SsastForPreTrainingOutput(
            discriminative=self.discriminative_head(masked),
            generative=self.generative_head(masked),
            last_hidden_state=encoded.last_hidden_state,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )


class SsastForAudioClassification(ForAudioClassification, SsastPreTrainedModel):
    """Encoder with a pooled, normalised, linear classifier."""

    encoder_class = SsastModel


class SsastForAudioFrameClassification(ForAudioFrameClassification, SsastPreTrainedModel):
    """Encoder with a classifier on every time step (the mean over its frequency patches)."""

    encoder_class = SsastModel


__all__ = [
    "SsastForAudioClassification",
    "SsastForAudioFrameClassification",
    "SsastForPreTraining",
    "SsastForPreTrainingOutput",
    "SsastModel",
    "SsastModelOutput",
    "SsastPreTrainedModel",
]
