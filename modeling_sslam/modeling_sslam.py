# Copyright 2026 The modeling_sslam authors. MIT licence.
"""SSLAM and EAT: a post-norm spectrogram transformer with a convolutional decoder for pretraining.

SSLAM: Alex et al., "SSLAM: Enhancing Self-Supervised Models with Audio Mixtures for Polyphonic Soundscapes", ICLR
2025.
EAT: Chen et al., "EAT: Self-Supervised Pre-Training with Efficient Audio Transformer", IJCAI 2024.

Tokens are time-major (index `time * frequency_patches + frequency`), the class token comes first, and nothing is
normalised after the last block. Teacher, targets, losses and mixtures live in `training/`.
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import initialization as init
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import SequenceClassifierOutput, TokenClassifierOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_sslam import SslamConfig
from .layers_initializers import init_as_torch
from .layers_transformer import DropPath, FeedForward, SelfAttention
from .time_steps import frame_loss, time_steps
from .tokens_masks import gather_tokens, split_indices, visible_tokens
from .tokens_patches import PatchEmbedding, patch_attention_mask, with_special_tokens
from .tokens_pooling import AttentivePooling, linear_softmax, masked_mean
from .tokens_positions import time_frequency_table


@dataclass
class SslamModelOutput(ModelOutput):
    """
    Args:
        last_hidden_state: (B, 1 + L, D), class token first, then patches, time-major; only the visible patches, in
            ascending order, when a mask was given.
        token_mask: (B, L) bool, True = real patch; None when nothing is padded.
        hidden_states: on request, the input of the first block and the output of each block.
        attentions: on request (eager attention only), (B, heads, 1 + L, 1 + L) of each block.
        layer_targets: on request (`output_layer_targets=True`), what each block's feed-forward branch adds, before the
            residual: the regression target of pretraining, (B, 1 + L, D) of each block.
    """

    last_hidden_state: torch.FloatTensor | None = None
    token_mask: torch.BoolTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None
    layer_targets: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class SslamForPreTrainingOutput(ModelOutput):
    """
    Args:
        prediction: (B * clones, L, D) the decoder's prediction for every patch, masked or not, time-major.
        class_prediction: (B * clones, D) the class token after the last block.
        last_hidden_state: (B * clones, 1 + K, D) encoder output of class token and K visible patches.
        hidden_states, attentions: as in `SslamModelOutput`.
    """

    prediction: torch.FloatTensor | None = None
    class_prediction: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


def position_embeddings(config: SslamConfig) -> torch.Tensor:
    """(1, max_time_patches * frequency patches, D) fixed table."""
    return time_frequency_table(config.max_time_patches, config.num_frequency_patches, config.hidden_size)[None]


class SslamEmbeddings(nn.Module):
    """Patches with their fixed positions, the class token (which has no position), and the norm before the blocks."""

    def __init__(self, config: SslamConfig):
        super().__init__()
        self.config = config
        self.patch_embeddings = PatchEmbedding(
            config.hidden_size, (config.patch_size, config.patch_size), num_mel_bins=config.num_mel_bins
        )
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        # Saved with the weights: numpy made the official table, and its float32 sines differ in the last digits.
        self.register_buffer("position_embeddings", position_embeddings(config))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def patches(self, input_values: torch.Tensor) -> torch.Tensor:
        """(B, T, F) -> (B, L, D) patch tokens with positions.

        Raises:
            ValueError: wrong rank, fewer frames than a patch, other mel bins than configured, or a clip longer than
                the position table.
        """
        tokens = self.patch_embeddings(input_values)
        num_positions = self.position_embeddings.shape[1]
        if tokens.shape[1] > num_positions:
            raise ValueError(
                f"input_values has {input_values.shape[1]} frames; positions reach "
                f"{self.config.max_time_patches * self.config.patch_size}: cut the clip into windows"
            )
        return tokens + self.position_embeddings[:, : tokens.shape[1]].to(tokens.dtype)

    def add_class_token(self, patches: torch.Tensor) -> torch.Tensor:
        """(B, L, D) patches -> (B, 1 + L, D) normalised tokens, class token first."""
        class_token = self.class_token.to(patches.dtype).expand(patches.shape[0], -1, -1)
        return self.norm(torch.cat([class_token, patches], dim=1))


class SslamLayer(GradientCheckpointingLayer):
    """Post-norm transformer block. The second residual starts from the normalised first one.

    What the feed-forward branch adds is what a teacher of this kind offers as a target.
    """

    def __init__(self, config: SslamConfig, drop_path_rate: float):
        super().__init__()
        self.attention = SelfAttention(config)
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = FeedForward(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.drop_path = DropPath(drop_path_rate)

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> torch.Tensor:
        attended, _ = self.attention(hidden_states, attention_mask, **kwargs)
        hidden_states = self.norm1(hidden_states + self.drop_path(attended))
        return self.norm2(hidden_states + self.drop_path(self.dropout(self.mlp(hidden_states))))


class SslamDecoderLayer(nn.Module):
    """Grouped convolution over the patch grid, norm over channels without weights, GELU, residual where it fits."""

    def __init__(self, config: SslamConfig, in_channels: int):
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            config.decoder_hidden_size,
            config.decoder_kernel_size,
            padding=config.decoder_kernel_size // 2,
            groups=config.decoder_groups,
        )
        self.norm = nn.LayerNorm(
            config.decoder_hidden_size, eps=config.decoder_layer_norm_eps, elementwise_affine=False
        )
        self.activation = nn.GELU()

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """(B, time, frequency, channels) -> the same shape with the decoder's channels."""
        image = self.conv(grid.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        # An even kernel with this padding yields one row and one column too many.
        image = image[:, : grid.shape[1], : grid.shape[2]]
        image = self.activation(self.norm(image))
        return image + grid if image.shape == grid.shape else image


class SslamDecoder(nn.Module):
    """Convolutional decoder of pretraining: patch grid with holes filled by noise -> prediction for every patch."""

    def __init__(self, config: SslamConfig):
        super().__init__()
        channels = [config.hidden_size] + [config.decoder_hidden_size] * config.decoder_num_layers
        self.layers = nn.ModuleList([SslamDecoderLayer(config, in_channels) for in_channels in channels[:-1]])
        self.projection = nn.Linear(channels[-1], config.hidden_size)

    def forward(self, tokens: torch.Tensor, num_frequency: int) -> torch.Tensor:
        """(B, L, D) time-major tokens of a grid with `num_frequency` columns -> (B, L, D)."""
        grid = tokens.unflatten(1, (-1, num_frequency))
        for layer in self.layers:
            grid = layer(grid)
        return self.projection(grid.flatten(1, 2))


class SslamPreTrainedModel(PreTrainedModel):
    """What all SSLAM models share: configuration, initialisation, and what transformers may do with them."""

    config: SslamConfig
    base_model_prefix = "sslam"
    main_input_name = "input_values"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _no_split_modules = ["SslamEmbeddings", "SslamLayer"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _can_record_outputs = {
        "hidden_states": SslamLayer,
        "attentions": SelfAttention,
        "layer_targets": OutputRecorder(FeedForward, index=0),
    }
    _input_embed_layer = "patch_embeddings"
    # A model may be loaded from the checkpoint of another one: heads and decoder it does not have are left aside.
    _keys_to_ignore_on_load_unexpected = [r"^decoder\.", r"^norm\.", r"^classifier\.", r"^pooler\."]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialisation of the official code: 0.02 normal in the blocks, PyTorch defaults in the convolutions.

        Only modules that own parameters are passed here: transformers takes the others of an out-of-tree model for
        initialised.
        """
        if isinstance(module, SslamEmbeddings):
            projection = module.patch_embeddings.projection
            # Xavier over the (D, patch area) matrix; the convolution's own fan-out would count the kernel twice.
            bound = (6.0 / (projection.weight[0].numel() + projection.out_channels)) ** 0.5
            init.uniform_(projection.weight, -bound, bound)
            init.normal_(module.class_token, std=self.config.class_token_std)
            init.copy_(module.position_embeddings, position_embeddings(self.config))
        elif isinstance(module, nn.Conv2d):
            init_as_torch(module)
        else:
            super()._init_weights(module)


class SslamModel(SslamPreTrainedModel):
    """The SSLAM / EAT encoder: spectrogram -> class token and patch tokens."""

    def __init__(self, config: SslamConfig):
        super().__init__(config)
        self.embeddings = SslamEmbeddings(config)
        rates = torch.linspace(0, config.drop_path_rate, config.num_hidden_layers, device="cpu").tolist()
        self.layers = nn.ModuleList([SslamLayer(config, rate) for rate in rates])
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.patch_embeddings.projection

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        bool_masked_pos: torch.Tensor | None = None,
        bool_dropped_pos: torch.Tensor | None = None,
        visible_indices: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SslamModelOutput:
        r"""
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram. Frames beyond the last whole patch are left out.
            attention_mask: (B, T), 1 = real frame. A patch counts when all its frames are real.
            bool_masked_pos: (B * clones, L) bool, True = masked. Clip 0's clones come first. Masked patches do not
                enter the blocks; every row must keep the same number.
            bool_dropped_pos: (B, L) bool, True = the patch is removed after the norm before the blocks; the others
                keep their positions. Every row must keep the same number.
            visible_indices: (B * clones, K) int64, ascending, in place of `bool_masked_pos`. See `visible_tokens`:
                it has to look at a mask before it can be used, and on a GPU to wait for that.

        Returns:
            `SslamModelOutput`.
        Raises:
            ValueError: wrong rank or size of an argument, see the message.
        """
        patches = self.embeddings.patches(input_values)
        num_frequency = self.config.num_frequency_patches
        token_mask = patch_attention_mask(attention_mask, input_values, self.config.patch_size, num_frequency)
        if bool_masked_pos is not None:
            visible_indices = visible_tokens(bool_masked_pos, *patches.shape[:2]).to(patches.device)
        if visible_indices is not None:
            patches, token_mask = self._keep_visible(patches, token_mask, visible_indices)
        hidden_states = self.embeddings.add_class_token(patches)
        if bool_dropped_pos is not None:
            hidden_states, token_mask = self._drop(hidden_states, token_mask, bool_dropped_pos)

        key_mask = with_special_tokens(token_mask, self.config.num_special_tokens)
        attention_mask = create_bidirectional_mask(
            config=self.config, inputs_embeds=hidden_states, attention_mask=key_mask
        )
        for layer in self.layers:
            hidden_states = layer(hidden_states, attention_mask, **kwargs)
        return SslamModelOutput(last_hidden_state=hidden_states, token_mask=token_mask)

    def _keep_visible(
        self, patches: torch.Tensor, token_mask: torch.Tensor | None, visible: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Repeats each clip for its clones and keeps the visible patches of each: (B * clones, K, D)."""
        clones = len(visible) // len(patches)
        kept = gather_tokens(patches.repeat_interleave(clones, dim=0), visible)
        if token_mask is not None:
            token_mask = token_mask.repeat_interleave(clones, dim=0).gather(1, visible)
        return kept, token_mask

    def _drop(
        self, hidden_states: torch.Tensor, token_mask: torch.Tensor | None, bool_dropped_pos: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Removes patches behind the class token: (B, 1 + L, D) -> (B, 1 + K, D)."""
        kept = split_indices(bool_dropped_pos)[0].to(hidden_states.device, non_blocking=True)
        token_mask = None if token_mask is None else token_mask.gather(1, kept)
        with_class_token = nn.functional.pad(kept + 1, (1, 0))
        return gather_tokens(hidden_states, with_class_token), token_mask


class SslamForPreTraining(SslamPreTrainedModel):
    """Encoder and convolutional decoder, as trained in both stages. Losses live in `training/objectives/sslam.py`."""

    def __init__(self, config: SslamConfig):
        super().__init__(config)
        self.sslam = SslamModel(config)
        self.decoder = SslamDecoder(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if module is self.decoder.projection:
            init_as_torch(module)
        else:
            super()._init_weights(module)

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,
        bool_masked_pos: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        visible_indices: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SslamForPreTrainingOutput:
        r"""
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram.
            bool_masked_pos: (B * clones, L) bool, True = masked.
            attention_mask: (B, T), 1 = real frame.
            generator: source of the noise that stands for masked tokens, on the model's device. Without it a
                fixed-seed generator is used, so that the forward pass is a function of its arguments.
            visible_indices: as in `SslamModel`, in place of `bool_masked_pos`.

        Returns:
            `SslamForPreTrainingOutput`.
        Raises:
            ValueError: wrong rank or size of an argument, no mask, or one that leaves nothing; see the message.
        """
        num_patches = input_values.shape[1] // self.config.patch_size * self.config.num_frequency_patches
        if bool_masked_pos is not None:
            visible_indices = visible_tokens(bool_masked_pos, len(input_values), num_patches).to(input_values.device)
        elif visible_indices is None:
            raise ValueError("pretraining needs a mask: pass bool_masked_pos or visible_indices")
        encoded = self.sslam(input_values, attention_mask=attention_mask, visible_indices=visible_indices, **kwargs)
        tokens = encoded.last_hidden_state
        grid = self._noise((len(tokens), num_patches), tokens, generator)
        grid = grid.scatter(1, visible_indices[..., None].expand(-1, -1, tokens.shape[2]), tokens[:, 1:])
        return SslamForPreTrainingOutput(
            prediction=self.decoder(grid, self.config.num_frequency_patches),
            class_prediction=tokens[:, 0],
            last_hidden_state=tokens,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )

    def _noise(self, shape: tuple[int, int], like: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """(B * clones, L, D) noise with the configured standard deviation, in the type and place of `like`."""
        noise = like.new_empty(*shape, like.shape[2])
        if self.config.mask_noise_std == 0.0:
            return noise.zero_()
        if generator is None:
            generator = torch.Generator(like.device).manual_seed(0)
        return noise.normal_(std=self.config.mask_noise_std, generator=generator)


class SslamForAudioClassification(SslamPreTrainedModel):
    """Encoder with a pooled, normalised, linear classifier."""

    def __init__(self, config: SslamConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.sslam = SslamModel(config)
        self.pooler = AttentivePooling(config.hidden_size) if config.pooling == "attentive" else None
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.classifier_norm_eps)
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
        encoded = self.sslam(input_values, attention_mask=attention_mask, **kwargs)
        logits = self._classify(encoded.last_hidden_state, encoded.token_mask)
        loss = None if labels is None else self.loss_function(labels, logits, self.config, **kwargs)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=encoded.hidden_states, attentions=encoded.attentions
        )

    def _classify(self, tokens: torch.Tensor, token_mask: torch.Tensor | None) -> torch.Tensor:
        """(B, 1 + L, D) -> (B, C)."""
        class_token, patches = tokens[:, 0], tokens[:, 1:]
        if self.config.pooling == "cls":
            pooled = class_token
        elif self.config.pooling == "mean":
            pooled = masked_mean(patches, token_mask)
        elif self.config.pooling == "linear_softmax":
            pooled = linear_softmax(patches, token_mask)
        else:
            pooled = self.pooler(patches, token_mask)
        return self.classifier(self.norm(pooled))


class SslamForAudioFrameClassification(SslamPreTrainedModel):
    """Encoder with a classifier on every time patch (the mean over its frequency patches), 160 ms apart."""

    def __init__(self, config: SslamConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.sslam = SslamModel(config)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.classifier_norm_eps)
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
            labels: (B, T / patch_size) class indices, -100 = ignored, or (B, T / patch_size, C) float targets for
                several classes at a time. Padded time patches never enter the loss.

        Returns:
            `TokenClassifierOutput` with logits (B, T / patch_size, C).
        """
        encoded = self.sslam(input_values, attention_mask=attention_mask, **kwargs)
        steps, time_mask = time_steps(encoded, self.config)
        logits = self.classifier(self.norm(steps))
        loss = None if labels is None else frame_loss(logits, labels, time_mask)
        return TokenClassifierOutput(
            loss=loss, logits=logits, hidden_states=encoded.hidden_states, attentions=encoded.attentions
        )


__all__ = [
    "SslamForAudioClassification",
    "SslamForAudioFrameClassification",
    "SslamForPreTraining",
    "SslamForPreTrainingOutput",
    "SslamModel",
    "SslamModelOutput",
    "SslamPreTrainedModel",
]
