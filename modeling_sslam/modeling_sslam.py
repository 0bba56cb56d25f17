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
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_sslam import SslamConfig
from .encoder import AudioEncoderOutput, AudioPreTrainedModel, TokenEncoder
from .heads import ForAudioClassification, ForAudioFrameClassification
from .layers_initializers import TorchLinear, init_as_torch
from .layers_transformer import DropPath, FeedForward, SelfAttention
from .tokens_masks import gather_tokens, resolve_mask
from .tokens_patches import PatchEmbedding, patch_attention_mask, with_special_tokens
from .tokens_positions import time_frequency_table


@dataclass
class SslamModelOutput(AudioEncoderOutput):
    """
    Args:
        last_hidden_state: (B, 1 + L, D), class token first, then patches, time-major; only the kept patches, in the
            given order, when a mask was given.
        pooler_output: (B, D) the class token after the last block, which the papers classify.
        token_mask, hidden_states, attentions: as in `AudioEncoderOutput`.
        layer_targets: on request (`output_layer_targets=True`), what each block's feed-forward branch adds, before the
            residual: the regression target of pretraining, (B, 1 + L, D) of each block.
    """

    layer_targets: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class SslamForPreTrainingOutput(ModelOutput):
    """
    Args:
        prediction: (B * clones, L, D) the decoder's prediction for every patch, masked or not, time-major.
        class_prediction: (B * clones, D) the class token after the last block.
        last_hidden_state: (B * clones, 1 + K, D) encoder output of class token and K kept patches.
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
        self.patch_embeddings = PatchEmbedding(config.hidden_size, config.patch_size, num_mel_bins=config.num_mel_bins)
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
                f"{self.config.longest_clip}: cut the clip into windows"
            )
        return tokens + self.position_embeddings[:, : tokens.shape[1]].to(tokens.dtype)

    def add_class_token(self, patches: torch.Tensor) -> torch.Tensor:
        """(B, L, D) patches -> (B, 1 + L, D) normalised tokens, class token first."""
        class_token = self.class_token.to(patches.dtype).expand(patches.shape[0], -1, -1)
        return self.norm(torch.cat([class_token, patches], dim=1))

    def init_weights(self, config: SslamConfig) -> None:
        projection = self.patch_embeddings.projection
        # Xavier over the (D, patch area) matrix; the convolution's own fan-out would count the kernel twice.
        bound = (6.0 / (projection.weight[0].numel() + projection.out_channels)) ** 0.5
        init.uniform_(projection.weight, -bound, bound)
        init.normal_(self.class_token, std=config.class_token_std)
        init.copy_(self.position_embeddings, position_embeddings(config))


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
        self.projection = TorchLinear(channels[-1], config.hidden_size)

    def forward(self, tokens: torch.Tensor, num_frequency: int) -> torch.Tensor:
        """(B, L, D) time-major tokens of a grid with `num_frequency` columns -> (B, L, D)."""
        grid = tokens.unflatten(1, (-1, num_frequency))
        for layer in self.layers:
            grid = layer(grid)
        return self.projection(grid.flatten(1, 2))


class SslamPreTrainedModel(AudioPreTrainedModel):
    """What all SSLAM models share: configuration, initialisation, and what transformers may do with them."""

    config: SslamConfig
    base_model_prefix = "sslam"
    _no_split_modules = ["SslamEmbeddings", "SslamLayer"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {
        "hidden_states": SslamLayer,
        "attentions": SelfAttention,
        "layer_targets": OutputRecorder(FeedForward, index=0),
    }

    def init_layer(self, layer: nn.Linear | nn.Conv2d) -> None:
        """As in the official code: 0.02 normal in the blocks, PyTorch's own in the convolutions."""
        if isinstance(layer, nn.Conv2d):
            init_as_torch(layer)
        else:
            super().init_layer(layer)


class SslamModel(TokenEncoder, SslamPreTrainedModel):
    """The SSLAM / EAT encoder: spectrogram -> class token and patch tokens."""

    def __init__(self, config: SslamConfig):
        super().__init__(config)
        self.embeddings = SslamEmbeddings(config)
        rates = torch.linspace(0, config.drop_path_rate, config.num_hidden_layers, device="cpu").tolist()
        self.layers = nn.ModuleList([SslamLayer(config, rate) for rate in rates])
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        kept_indices: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SslamModelOutput:
        r"""
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram. Frames beyond the last whole patch are left out.
            attention_mask: (B, T), 1 = real frame. A patch counts when all its frames are real.
            kept_indices: (B * clones, K) int64 patches that enter the blocks, where they keep their positions. Clip
                0's clones come first.

        Returns:
            `SslamModelOutput`.
        Raises:
            ValueError: wrong rank or size of an argument, see the message.
        """
        patches = self.embeddings.patches(input_values)
        token_mask = patch_attention_mask(attention_mask, input_values, self.config)
        if kept_indices is not None:
            patches, token_mask = self._keep(patches, token_mask, kept_indices)
        hidden_states = self.embeddings.add_class_token(patches)

        key_mask = with_special_tokens(token_mask, self.config.num_special_tokens)
        attention_mask = create_bidirectional_mask(
            config=self.config, inputs_embeds=hidden_states, attention_mask=key_mask
        )
        for layer in self.layers:
            hidden_states = layer(hidden_states, attention_mask, **kwargs)
        return SslamModelOutput(
            last_hidden_state=hidden_states, pooler_output=hidden_states[:, 0], token_mask=token_mask
        )

    def _keep(
        self, patches: torch.Tensor, token_mask: torch.Tensor | None, kept: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Repeats each clip for its clones and keeps some patches of each: (B * clones, K, D)."""
        clones = len(kept) // len(patches)
        if token_mask is not None:
            token_mask = token_mask.repeat_interleave(clones, dim=0).gather(1, kept)
        return gather_tokens(patches.repeat_interleave(clones, dim=0), kept), token_mask


class SslamForPreTraining(SslamPreTrainedModel):
    """Encoder and convolutional decoder, as trained in both stages. Losses live in `training/objectives/sslam.py`."""

    def __init__(self, config: SslamConfig):
        super().__init__(config)
        self.sslam = SslamModel(config)
        self.decoder = SslamDecoder(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,
        bool_masked_pos: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        kept_indices: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SslamForPreTrainingOutput:
        r"""
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram.
            bool_masked_pos: (B * clones, L) bool, True = masked. Clip 0's clones come first.
            attention_mask: (B, T), 1 = real frame.
            generator: source of the noise that stands for masked tokens, on the model's device. Without it a
                fixed-seed generator is used, so that the forward pass is a function of its arguments.
            kept_indices: (B * clones, K) int64, the same mask in the other spelling, see `tokens_masks.py`.

        Returns:
            `SslamForPreTrainingOutput`.
        Raises:
            ValueError: wrong rank or size of an argument, no mask, or one that leaves nothing; see the message.
        """
        num_patches = self.config.num_patches(input_values.shape[1])
        kept_indices = resolve_mask(
            bool_masked_pos, kept_indices, len(input_values), num_patches, input_values.device, clones=True
        )
        encoded = self.sslam(input_values, attention_mask=attention_mask, kept_indices=kept_indices, **kwargs)
        tokens = encoded.last_hidden_state
        grid = self._noise((len(tokens), num_patches), tokens, generator)
        grid = grid.scatter(1, kept_indices[..., None].expand(-1, -1, tokens.shape[2]), tokens[:, 1:])
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


class SslamForAudioClassification(ForAudioClassification, SslamPreTrainedModel):
    """Encoder with a pooled, normalised, linear classifier."""

    encoder_class = SslamModel


class SslamForAudioFrameClassification(ForAudioFrameClassification, SslamPreTrainedModel):
    """Encoder with a classifier on every time patch (the mean over its frequency patches), 160 ms apart."""

    encoder_class = SslamModel


__all__ = [
    "SslamForAudioClassification",
    "SslamForAudioFrameClassification",
    "SslamForPreTraining",
    "SslamForPreTrainingOutput",
    "SslamModel",
    "SslamModelOutput",
    "SslamPreTrainedModel",
]
