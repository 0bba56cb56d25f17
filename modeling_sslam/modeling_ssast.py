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
from transformers.modeling_outputs import SequenceClassifierOutput, TokenClassifierOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_ssast import SsastConfig
from .layers_initializers import init_as_torch
from .layers_transformer import PreNormLayer, SelfAttention
from .time_steps import frame_loss, time_steps
from .tokens_learned_positions import fit_positions
from .tokens_masks import gather_tokens, split_indices
from .tokens_patches import PatchEmbedding, patch_attention_mask, with_special_tokens
from .tokens_pooling import masked_mean


@dataclass
class SsastModelOutput(ModelOutput):
    """
    Args:
        last_hidden_state: (B, 2 + L, D) after the norm: class token, distillation token, then patches, time-major.
        token_mask: (B, L) bool, True = real patch; None when nothing is padded.
        hidden_states: on request, the input of the first block and the output of each block before the norm.
        attentions: on request (eager attention only), (B, heads, 2 + L, 2 + L) of each block.
    """

    last_hidden_state: torch.FloatTensor | None = None
    token_mask: torch.BoolTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class SsastForPreTrainingOutput(ModelOutput):
    """
    Args:
        discriminative: (B, M, P) for each masked patch what is compared with the pixels of all masked patches.
        generative: (B, M, P) the reconstructed pixels. Both in the order of `patchify`.
        masked_indices: (B, M) which patches these are.
        last_hidden_state, hidden_states, attentions: as in `SsastModelOutput`.
    """

    discriminative: torch.FloatTensor | None = None
    generative: torch.FloatTensor | None = None
    masked_indices: torch.LongTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


class SsastEmbeddings(nn.Module):
    """Patches, masked ones replaced, with learned positions behind two class tokens."""

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

    def forward(
        self,
        input_values: torch.Tensor,
        masked_indices: torch.Tensor | None = None,
        mask_token: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram.
            masked_indices: (B, M) int64, patches to replace. Needs `mask_token`.
            mask_token: (1, 1, D) what stands for them; they keep their positions.

        Returns:
            (B, 2 + L, D).
        Raises:
            ValueError: wrong rank, other mel bins than configured, a clip shorter than a patch, or as `fit_positions`.
        """
        # In the weights' precision, also under autocast: the residual stream then is too, as in the official code.
        patches = self.patch_embeddings(input_values).to(self.class_token.dtype)
        if masked_indices is not None:
            if mask_token is None:
                raise ValueError("masked_indices needs mask_token, what stands for masked patches: use ForPreTraining")
            index = masked_indices[..., None].expand(-1, -1, patches.shape[2])
            patches = patches.scatter(1, index, mask_token.expand_as(index))
        tokens = [token.expand(len(patches), -1, -1) for token in (self.class_token, self.distillation_token)]
        return torch.cat([*tokens, patches], dim=1) + self.positions(patches.shape[1])

    def positions(self, num_patches: int) -> torch.Tensor:
        """(1, 2 + num_patches, D), time-major, made from the learned table."""
        config = self.config
        num_special, num_frequency = config.num_special_tokens, config.num_frequency_patches
        num_time = num_patches // num_frequency
        table = self.position_embeddings[0, num_special:].unflatten(0, config.position_grid[::-1])
        fitted = fit_positions(table, num_time, num_frequency, config.position_fit, config.positions_via_eight_rows)
        return torch.cat([self.position_embeddings[:, :num_special], fitted[None]], dim=1)


class SsastPreTrainedModel(PreTrainedModel):
    """What all SSAST models share: configuration, initialisation, and what transformers may do with them."""

    config: SsastConfig
    base_model_prefix = "ssast"
    main_input_name = "input_values"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _no_split_modules = ["SsastEmbeddings", "PreNormLayer"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _can_record_outputs = {"hidden_states": PreNormLayer, "attentions": SelfAttention}
    _input_embed_layer = "patch_embeddings"
    # A model may be loaded from the checkpoint of another one: heads it does not have are left aside.
    _keys_to_ignore_on_load_unexpected = [
        r"^mask_token$",
        r"^(discriminative|generative)_head\.",
        r"^pooled_norm\.",
        r"^classifier\.",
    ]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """DeiT's initialisation in the blocks; PyTorch's own in the patch projection and in all heads."""
        std = self.config.initializer_range
        if isinstance(module, SsastEmbeddings):
            for parameter in (module.class_token, module.distillation_token, module.position_embeddings):
                init.trunc_normal_(parameter, std=std)
        elif isinstance(module, nn.Conv2d):
            init_as_torch(module)
        elif isinstance(module, nn.Linear):
            init.trunc_normal_(module.weight, std=std)
            if module.bias is not None:
                init.zeros_(module.bias)
        else:
            super()._init_weights(module)


class SsastModel(SsastPreTrainedModel):
    """The SSAST encoder: spectrogram -> two class tokens and patch tokens."""

    def __init__(self, config: SsastConfig):
        super().__init__(config)
        self.embeddings = SsastEmbeddings(config)
        self.layers = nn.ModuleList([PreNormLayer(config) for _ in range(config.num_hidden_layers)])
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.patch_embeddings.projection

    @torch.no_grad()
    def refit_positions(self, num_frames: int) -> None:
        """Replaces the learned table of positions by what clips of `num_frames` frames get out of it.

        These clips' output stays the same. But each of their positions is then trained for itself, as in the official
        fine-tuning, whereas a table that is stretched in every forward pass is trained at its old size.

        Raises:
            ValueError: as `fit_positions`.
        """
        config, embeddings = self.config, self.embeddings
        num_time = (num_frames - config.patch_size[0]) // config.patch_stride[0] + 1
        grid = num_time, config.num_frequency_patches
        positions = embeddings.positions(num_time * config.num_frequency_patches)
        special, patches = positions[:, : config.num_special_tokens], positions[:, config.num_special_tokens :]
        patches = patches.unflatten(1, grid).transpose(1, 2).flatten(1, 2)
        embeddings.position_embeddings = nn.Parameter(torch.cat([special, patches], dim=1))
        config.position_grid = grid

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        masked_indices: torch.Tensor | None = None,
        mask_token: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SsastModelOutput:
        r"""
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram. Frames beyond the last whole patch are left out.
            attention_mask: (B, T), 1 = real frame. A patch counts when all its frames are real. The published models
                were trained and evaluated without, so that padding is heard.
            masked_indices: (B, M) int64, patches that are replaced by `mask_token`.
            mask_token: (1, 1, D), needed with `masked_indices`.

        Returns:
            `SsastModelOutput`.
        Raises:
            ValueError: wrong rank or size of an argument, see the message.
        """
        hidden_states = self.embeddings(input_values, masked_indices, mask_token)
        config = self.config
        token_mask = patch_attention_mask(
            attention_mask, input_values, config.patch_size[0], config.num_frequency_patches, config.time_stride
        )
        key_mask = with_special_tokens(token_mask, config.num_special_tokens)
        attention_mask = create_bidirectional_mask(config=config, inputs_embeds=hidden_states, attention_mask=key_mask)
        for layer in self.layers:
            hidden_states = layer(hidden_states, attention_mask, **kwargs)
        return SsastModelOutput(last_hidden_state=self.norm(hidden_states), token_mask=token_mask)


class SsastPredictionHead(nn.Module):
    """Linear, ReLU, linear: a token of width D to the P pixels of its patch."""

    def __init__(self, config: SsastConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.patch_size[0] * config.patch_size[1])

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
        heads = (self.discriminative_head, self.generative_head)
        if module is self:
            init.normal_(self.mask_token, std=self.config.hidden_size**-0.5)
        elif any(module is layer for head in heads for layer in head.children()):
            init_as_torch(module)
        else:
            super()._init_weights(module)

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,
        bool_masked_pos: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        masked_indices: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SsastForPreTrainingOutput:
        r"""
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram.
            bool_masked_pos: (B, L) bool, True = masked, time-major; every row masks the same number of patches.
            attention_mask: (B, T), 1 = real frame.
            masked_indices: (B, M) int64, in place of `bool_masked_pos`, which has to be looked at before it can be
                used, and on a GPU waits for that.

        Returns:
            `SsastForPreTrainingOutput`.
        Raises:
            ValueError: no mask, or wrong rank or size of an argument; see the message.
        """
        if bool_masked_pos is not None:
            config = self.config
            num_patches = input_values.shape[1] // config.time_stride * config.num_frequency_patches
            if bool_masked_pos.shape != (len(input_values), num_patches):
                raise ValueError(
                    f"bool_masked_pos has shape {tuple(bool_masked_pos.shape)}: expected "
                    f"{(len(input_values), num_patches)}, clips and patches"
                )
            masked_indices = split_indices(bool_masked_pos)[1].to(input_values.device)
        elif masked_indices is None:
            raise ValueError("pretraining needs a mask: pass bool_masked_pos or masked_indices")
        encoded = self.ssast(
            input_values,
            attention_mask=attention_mask,
            masked_indices=masked_indices,
            mask_token=self.mask_token,
            **kwargs,
        )
        masked = gather_tokens(encoded.last_hidden_state, masked_indices + self.config.num_special_tokens)
        return SsastForPreTrainingOutput(
            discriminative=self.discriminative_head(masked),
            generative=self.generative_head(masked),
            masked_indices=masked_indices,
            last_hidden_state=encoded.last_hidden_state,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )


class SsastForAudioClassification(SsastPreTrainedModel):
    """Encoder with a pooled, normalised, linear classifier."""

    def __init__(self, config: SsastConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.ssast = SsastModel(config)
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
            attention_mask: (B, T), 1 = real frame; without it, padding takes part in the mean, as published.
            labels: (B,) class indices, or (B, C) float targets with
                `config.problem_type = "multi_label_classification"`.

        Returns:
            `SequenceClassifierOutput` with logits (B, C).
        """
        encoded = self.ssast(input_values, attention_mask=attention_mask, **kwargs)
        num_special = self.config.num_special_tokens
        if self.config.pooling == "cls":
            pooled = encoded.last_hidden_state[:, :num_special].mean(dim=1)
        else:
            pooled = masked_mean(encoded.last_hidden_state[:, num_special:], encoded.token_mask)
        logits = self.classifier(self.pooled_norm(pooled))
        loss = None if labels is None else self.loss_function(labels, logits, self.config, **kwargs)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=encoded.hidden_states, attentions=encoded.attentions
        )


class SsastForAudioFrameClassification(SsastPreTrainedModel):
    """Encoder with a classifier on every time step (the mean over its frequency patches)."""

    def __init__(self, config: SsastConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.ssast = SsastModel(config)
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
    ) -> TokenClassifierOutput:
        r"""
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram.
            attention_mask: (B, T), 1 = real frame.
            labels: (B, S) class indices for the S time steps, -100 = ignored, or (B, S, C) float targets for several
                classes at a time. Padded time steps never enter the loss.

        Returns:
            `TokenClassifierOutput` with logits (B, S, C).
        """
        encoded = self.ssast(input_values, attention_mask=attention_mask, **kwargs)
        steps, time_mask = time_steps(encoded, self.config)
        logits = self.classifier(self.pooled_norm(steps))
        loss = None if labels is None else frame_loss(logits, labels, time_mask)
        return TokenClassifierOutput(
            loss=loss, logits=logits, hidden_states=encoded.hidden_states, attentions=encoded.attentions
        )


__all__ = [
    "SsastForAudioClassification",
    "SsastForAudioFrameClassification",
    "SsastForPreTraining",
    "SsastForPreTrainingOutput",
    "SsastModel",
    "SsastModelOutput",
    "SsastPreTrainedModel",
]
