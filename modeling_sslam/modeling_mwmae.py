# Copyright 2026 The modeling_sslam authors. MIT licence.
"""MW-MAE and MAE for audio: a spectrogram transformer that sees a fifth of the patches, and a decoder of windows.

Yadav et al., "Masked Autoencoders with Multi-Window Local-Global Attention Are Better Audio Learners", ICLR 2024. Only
kept patches enter the encoder, in the order of their noise; the decoder predicts all patches from them. In MW-MAE the
decoder's heads attend within windows of different sizes, and there is no class token.

Blocks are pre-norm. Tokens are time-major. Positions start as sines and cosines and are trained, for clips of
`config.window_frames`; longer clips are encoded window by window. The loss is in `training/`.

Differs from the reference: in mixed precision the residual stream, the softmax and the loss are float32; the authors'
bfloat16 runs round them after every block. Not here: AudioMAE++ of the same author, whose blocks, positions, recipe
and features are all others, and which would be a family of its own.
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_mwmae import MwmaeConfig, TransformerSizes
from .encoder import AudioEncoderOutput, AudioPreTrainedModel, TokenEncoder, scene_embedding
from .heads import ForAudioClassification, ForAudioFrameClassification
from .layers_initializers import LecunLinear, init_xavier
from .layers_transformer import FeedForward
from .layers_window_attention import WindowAttention
from .tokens_masks import gather_tokens, resolve_mask
from .tokens_patches import PatchEmbedding, patch_attention_mask, with_special_tokens
from .tokens_positions import sincos_table, time_frequency_table


@dataclass
class MwmaeModelOutput(AudioEncoderOutput):
    """
    Args:
        last_hidden_state: (B, S + L, D) tokens after the norm: the class token where there is one (S is 1 or 0), then
            the patches, time-major, or the kept ones in the order in which they were given. The class token of a clip
            of several windows is the mean of theirs.
        pooler_output: (B, F * D) the mean over time of the F patches of a step side by side, the paper's scene
            embedding of a clip; None where a mask was given.
        token_mask: (B, L) bool, True = real patch; None when nothing is padded.
        hidden_states: on request, the input of the first block and the output of each block, before the norm. A clip
            of several windows has a row for each.
        attentions: on request (eager attention only), (B, heads, S + L, S + L) of each block, with rows likewise.
    """


@dataclass
class MwmaeForPreTrainingOutput(ModelOutput):
    """
    Args:
        prediction: (B, L, P) the cells of every patch, masked or not, as `patchify` lays them out.
        last_hidden_state: (B, S + K, D) encoder output of the class token and the K kept patches.
        hidden_states, attentions: of the encoder, as in `MwmaeModelOutput`.
        decoder_hidden_states: on request, the input of the decoder's first block and the output of each block,
            (B, S + L, decoder width).
        decoder_attentions: on request (eager attention only), (B, heads, S + L, S + L) of each block, zero between
            windows.
    """

    prediction: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None
    decoder_hidden_states: tuple[torch.FloatTensor, ...] | None = None
    decoder_attentions: tuple[torch.FloatTensor, ...] | None = None


def initial_positions(config: MwmaeConfig) -> torch.Tensor:
    """(1, S + L, D) sines and cosines of time and frequency, zeros for a class token."""
    num_time = config.num_steps(config.window_frames)
    table = time_frequency_table(num_time, config.num_frequency_patches, config.hidden_size)
    return nn.functional.pad(table, (0, 0, config.num_special_tokens, 0))[None]


def initial_decoder_positions(config: MwmaeConfig) -> torch.Tensor:
    """(1, S + L, decoder width) sines and cosines of a patch's number in the clip, zeros for a class token."""
    table = sincos_table(torch.arange(config.window_patches), config.decoder_hidden_size)
    return nn.functional.pad(table, (0, 0, config.num_special_tokens, 0))[None]


class MwmaeEmbeddings(nn.Module):
    """Patches with trained positions, and the class token, which has one too."""

    def __init__(self, config: MwmaeConfig):
        super().__init__()
        self.config = config
        self.patch_embeddings = PatchEmbedding(config.hidden_size, config.patch_size, num_mel_bins=config.num_mel_bins)
        self.position_embeddings = nn.Parameter(initial_positions(config).to(torch.get_default_dtype()))
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size)) if config.use_class_token else None

    def patches(self, input_values: torch.Tensor) -> torch.Tensor:
        """(B, T, F) -> (B, L, D) patch tokens without positions.

        Raises:
            ValueError: wrong rank, less than a patch, or other mel bins than configured.
        """
        return self.patch_embeddings(input_values)

    def with_positions(self, patches: torch.Tensor) -> torch.Tensor:
        """(B, L, D) of at most `config.window_patches` patches, which start where the window starts.

        The sum has the precision of the positions, also under autocast.
        """
        special = self.config.num_special_tokens
        return patches + self.position_embeddings[:, special : special + patches.shape[1]]

    def add_class_token(self, patches: torch.Tensor) -> torch.Tensor:
        """(B, L, D) -> (B, S + L, D)."""
        if self.class_token is None:
            return patches
        class_token = self.class_token + self.position_embeddings[:, :1]
        return torch.cat([class_token.expand(patches.shape[0], -1, -1), patches], dim=1)

    def init_weights(self, config: MwmaeConfig) -> None:
        init.copy_(self.position_embeddings, initial_positions(config))
        if self.class_token is not None:
            init.normal_(self.class_token, std=config.initializer_range)


class MwmaeLayer(GradientCheckpointingLayer):
    """Pre-norm transformer block of encoder or decoder.

    Args:
        sizes: those of the encoder or of the decoder.
        index: number of the block; with `config.shift_windows` the windows of odd ones are shifted.
    """

    def __init__(self, config: MwmaeConfig, sizes: TransformerSizes, index: int):
        super().__init__()
        shifted = config.shift_windows and index % 2 == 1
        self.norm1 = nn.LayerNorm(sizes.hidden_size, eps=config.layer_norm_eps)
        self.attention = WindowAttention(config, sizes.hidden_size, sizes.window_sizes, shifted)
        self.norm2 = nn.LayerNorm(sizes.hidden_size, eps=config.layer_norm_eps)
        self.mlp = FeedForward(sizes)

    def forward(
        self, hidden_states: torch.Tensor, token_mask: torch.Tensor | None = None, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, L, D), (B, L) bool -> (B, L, D), and attention weights as in `WindowAttention`."""
        attended, weights = self.attention(self.norm1(hidden_states), token_mask, **kwargs)
        hidden_states = hidden_states + attended
        return hidden_states + self.mlp(self.norm2(hidden_states)), weights


class MwmaeDecoder(nn.Module):
    """Kept tokens -> cells of every patch: narrower blocks over all tokens, mask tokens in the gaps."""

    def __init__(self, config: MwmaeConfig):
        super().__init__()
        sizes = config.decoder_sizes
        self.config = config
        self.embed = LecunLinear(config.hidden_size, sizes.hidden_size)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, sizes.hidden_size))
        self.position_embeddings = nn.Parameter(initial_decoder_positions(config).to(torch.get_default_dtype()))
        self.layers = nn.ModuleList([MwmaeLayer(config, sizes, index) for index in range(sizes.num_hidden_layers)])
        self.norm = nn.LayerNorm(sizes.hidden_size, eps=config.layer_norm_eps)
        self.projection = LecunLinear(sizes.hidden_size, config.patch_size[0] * config.patch_size[1])

    def forward(
        self,
        encoded: torch.Tensor,
        kept_indices: torch.Tensor,
        num_patches: int,
        token_mask: torch.Tensor | None = None,
        **kwargs,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
        """
        Args:
            encoded: (B, S + K, D) class token and kept patches.
            kept_indices: (B, K) int64, which of the clip's `num_patches` these are.
            token_mask: (B, L) bool, True = real patch.
        Returns:
            Prediction (B, L, P), hidden states before and after every block, and the attention weights of every block
            on request.
        """
        special = self.config.num_special_tokens
        tokens = self.embed(encoded)
        class_token, kept = tokens[:, :special], tokens[:, special:]
        masked = self.mask_token.to(kept.dtype).expand(len(tokens), num_patches, -1)
        patches = masked.scatter(1, kept_indices[..., None].expand_as(kept), kept)
        hidden_states = torch.cat([class_token, patches], dim=1)
        hidden_states = hidden_states + self.position_embeddings[:, : hidden_states.shape[1]]
        key_mask = with_special_tokens(token_mask, special)
        all_states, all_weights = [hidden_states], []
        for layer in self.layers:
            hidden_states, weights = layer(hidden_states, key_mask, **kwargs)
            all_states.append(hidden_states)
            all_weights.append(weights)
        prediction = self.projection(self.norm(hidden_states)[:, special:])
        return prediction, tuple(all_states), tuple(all_weights)

    def init_weights(self, config: MwmaeConfig) -> None:
        init.copy_(self.position_embeddings, initial_decoder_positions(config))
        init.normal_(self.mask_token, std=config.initializer_range)


class MwmaePreTrainedModel(AudioPreTrainedModel):
    """What all models of the family share: configuration, initialisation, and what transformers may do with them."""

    config: MwmaeConfig
    base_model_prefix = "encoder"
    _no_split_modules = ["MwmaeEmbeddings", "MwmaeLayer"]
    _supports_sdpa = True
    _can_record_outputs = {"hidden_states": MwmaeLayer, "attentions": WindowAttention}

    def init_layer(self, layer: nn.Linear | nn.Conv2d) -> None:
        """Xavier-uniform blocks and patches; query, key and value count as one matrix."""
        init_xavier(layer)


class MwmaeModel(TokenEncoder, MwmaePreTrainedModel):
    """The encoder of MW-MAE and MAE: spectrogram -> patch tokens."""

    def __init__(self, config: MwmaeConfig):
        super().__init__(config)
        sizes = config.encoder_sizes
        self.embeddings = MwmaeEmbeddings(config)
        self.layers = nn.ModuleList([MwmaeLayer(config, sizes, index) for index in range(sizes.num_hidden_layers)])
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        kept_indices: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> MwmaeModelOutput:
        r"""
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram. Frames beyond the last whole patch are left out.
                Of clips longer than `config.window_frames`, windows of that length are encoded each by itself.
            attention_mask: (B, T), 1 = real frame. A patch counts when all its frames are real.
            kept_indices: (B, K) int64 patches that enter the blocks, in this order; of clips of one window.

        Returns:
            `MwmaeModelOutput`.
        Raises:
            ValueError: wrong rank or size of an argument, see the message.
        """
        patches = self.embeddings.patches(input_values)
        token_mask = patch_attention_mask(attention_mask, input_values, self.config)
        num_clips, num_patches = patches.shape[:2]
        in_windows = num_patches > self.config.window_patches
        if in_windows:
            if kept_indices is not None:
                raise ValueError(
                    f"input_values has {input_values.shape[1]} frames, but pretraining takes one window of at most "
                    f"{self.config.window_frames}: cut the clips"
                )
            patches, window_mask = cut_windows(patches, token_mask, self.config.window_patches)
        else:
            window_mask = token_mask
        hidden_states = self.embeddings.with_positions(patches)
        if kept_indices is not None:
            hidden_states = gather_tokens(hidden_states, kept_indices)
            token_mask = window_mask = None if token_mask is None else token_mask.gather(1, kept_indices)
        hidden_states = self.embeddings.add_class_token(hidden_states)
        special = self.config.num_special_tokens
        key_mask = with_special_tokens(window_mask, special)

        kwargs.setdefault("output_attentions", self.config.output_attentions)
        for layer in self.layers:
            hidden_states, _ = layer(hidden_states, key_mask, **kwargs)
        hidden_states = self.norm(hidden_states)
        if in_windows:
            hidden_states = join_windows(hidden_states, window_mask, num_clips, num_patches, special)
        pooled = None
        if kept_indices is None:
            num_frequency, grouping = self.config.num_frequency_patches, self.config.token_grouping
            pooled = scene_embedding(hidden_states[:, special:], token_mask, num_frequency, grouping)
        return MwmaeModelOutput(last_hidden_state=hidden_states, pooler_output=pooled, token_mask=token_mask)


def cut_windows(
    patches: torch.Tensor, token_mask: torch.Tensor | None, window: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, L, D) -> (B * windows, window, D), the last window filled up, and which of these tokens are real.

    Args:
        token_mask: (B, L) bool, None = all are real.
    """
    if token_mask is None:
        token_mask = torch.ones(patches.shape[:2], dtype=torch.bool, device=patches.device)
    missing = -patches.shape[1] % window
    patches = nn.functional.pad(patches, (0, 0, 0, missing))
    token_mask = nn.functional.pad(token_mask, (0, missing))
    return tuple(tokens.unflatten(1, (-1, window)).flatten(0, 1) for tokens in (patches, token_mask))


def join_windows(
    hidden_states: torch.Tensor, window_mask: torch.Tensor, num_clips: int, num_patches: int, num_special: int
) -> torch.Tensor:
    """The reverse: (B * windows, S + window, D) -> (B, S + L, D). Special tokens: means over windows with sound."""
    hidden_states = hidden_states.unflatten(0, (num_clips, -1))
    sound = window_mask.unflatten(0, (num_clips, -1)).any(dim=2)
    weights = (sound / sound.sum(dim=1, keepdim=True).clamp(min=1)).to(hidden_states.dtype)
    special = (hidden_states[:, :, :num_special] * weights[..., None, None]).sum(dim=1)
    patches = hidden_states[:, :, num_special:].flatten(1, 2)[:, :num_patches]
    return torch.cat([special, patches], dim=1)


class MwmaeForPreTraining(MwmaePreTrainedModel):
    """Encoder of the kept patches and decoder of all. The loss is `training/objectives/masked_reconstruction.py`."""

    def __init__(self, config: MwmaeConfig):
        super().__init__(config)
        self.encoder = MwmaeModel(config)
        self.decoder = MwmaeDecoder(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,
        bool_masked_pos: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        kept_indices: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> MwmaeForPreTrainingOutput:
        r"""
        Args:
            input_values: (B, T, F) normalised log-mel spectrogram of at most `config.window_frames` frames.
            bool_masked_pos: (B, L) bool, True = masked, time-major; every row masks the same number of patches.
            attention_mask: (B, T), 1 = real frame. No patch attends to padding, but padded ones are kept like others.
            kept_indices: (B, K) int64, the same mask in the other spelling, see `tokens_masks.py`. Their order matters
                to encoders with windows, an ablation: the paper's is random.

        Returns:
            `MwmaeForPreTrainingOutput`.
        Raises:
            ValueError: wrong rank or size of an argument, or tokens that the windows do not divide; see the message.
        """
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if output_attentions is None:
            output_attentions = self.config.output_attentions
        num_patches = self.config.num_patches(input_values.shape[1])
        kept_indices = resolve_mask(bool_masked_pos, kept_indices, len(input_values), num_patches, input_values.device)
        encoded = self.encoder(
            input_values,
            attention_mask=attention_mask,
            kept_indices=kept_indices,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            **kwargs,
        )
        prediction, decoder_states, decoder_weights = self.decoder(
            encoded.last_hidden_state,
            kept_indices,
            num_patches,
            patch_attention_mask(attention_mask, input_values, self.config),
            output_attentions=output_attentions,
            **kwargs,
        )
        return MwmaeForPreTrainingOutput(
            prediction=prediction,
            last_hidden_state=encoded.last_hidden_state,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
            decoder_hidden_states=decoder_states if output_hidden_states else None,
            decoder_attentions=decoder_weights if output_attentions else None,
        )


class MwmaeForAudioClassification(ForAudioClassification, MwmaePreTrainedModel):
    """The encoder with a linear classifier on the mean of its patches.

    Differs from the reference: its supervised mode, which has no published numbers, leaves out the encoder's norm.
    """

    encoder_class = MwmaeModel


class MwmaeForAudioFrameClassification(ForAudioFrameClassification, MwmaePreTrainedModel):
    """The encoder with a classifier on every time step (the mean over its frequency patches)."""

    encoder_class = MwmaeModel


__all__ = [
    "MwmaeForAudioClassification",
    "MwmaeForAudioFrameClassification",
    "MwmaeForPreTraining",
    "MwmaeForPreTrainingOutput",
    "MwmaeModel",
    "MwmaeModelOutput",
    "MwmaePreTrainedModel",
]
