# Copyright 2026 The modeling_sslam authors. MIT licence.
"""The encoder contract: what every encoder of this package promises, and what the code around encoders relies on.

- `forward` gives `last_hidden_state` and `pooler_output`, the clip embedding of the family's paper.
- `steps` gives embeddings over time and says which are real; with `config.seconds_per_step` a step has its place in
  time. `bands` gives the same before the mean over frequency. Both take clips of any length.
- `tokens` splits an output into special tokens and the others.

So nobody else needs to know where a family keeps special tokens, frequency patches, windows and strides. A family
whose hidden states are tokens gets all of this from `TokenEncoder`; another one writes `bands` and `tokens` itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import torch
from torch import nn
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput

from .configuration_audio_encoder import AudioEncoderConfig
from .head_names import accept_former_head_names, former_head_names
from .tokens_masks import check_attention_mask


class Tokens(NamedTuple):
    """An encoder's output, taken apart.

    Args:
        special: (B, P, D) tokens that stand for no part of the clip; P may be 0.
        content: (B, L, D) the others, in time order.
        mask: (B, L) bool, True = real; None when nothing is padded.
    """

    special: torch.Tensor
    content: torch.Tensor
    mask: torch.Tensor | None


@dataclass
class AudioEncoderOutput(ModelOutput):
    """
    Args:
        last_hidden_state: (B, P + L, D), special tokens first, see the family.
        pooler_output: (B, E) the clip embedding that the family's paper uses, see the family; padding has no part in
            it.
        token_mask: (B, L) bool, True = real; None when nothing is padded.
        hidden_states: on request, the input of the first block and the output of each block.
        attentions: on request, where there is attention (eager only), of each block.
    """

    # Always there, but a `ModelOutput` wants defaults.
    last_hidden_state: torch.FloatTensor = None  # type: ignore[assignment]
    pooler_output: torch.FloatTensor | None = None
    token_mask: torch.BoolTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@runtime_checkable
class AudioEncoder(Protocol):
    """What the code around encoders uses of one; `tests/contracts/` holds every family to it."""

    config: AudioEncoderConfig

    def __call__(
        self, input_values: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> AudioEncoderOutput: ...

    def tokens(self, output: AudioEncoderOutput) -> Tokens:
        """The output taken apart."""
        ...

    def bands(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        layers: Sequence[int] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, layers, S, F, D) embeddings over time and frequency, and (B, S) bool which steps are real."""
        ...

    def steps(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        layers: Sequence[int] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, layers, S, D) embeddings over time, and (B, S) bool which steps are real."""
        ...

    @property
    def layer_indices(self) -> Sequence[int]:
        """The `layers` that are the outputs of blocks, from the first to the last."""
        ...

    def layers_above(self, name: str) -> int:
        """How many blocks lie above a parameter, its own included; 0 outside the blocks."""
        ...


@runtime_checkable
class SelfInitialized(Protocol):
    """A module that says itself how its parameters, and the layers in it that are special, start."""

    def init_weights(self, config: PreTrainedConfig) -> None: ...


class AudioPreTrainedModel(PreTrainedModel):
    """What all our models declare. A family derives its own and annotates `config`.

    Modules with parameters of their own are `SelfInitialized`, and so are layers that start in their own way. All
    other linear and convolutional layers start as the family's `init_layer` says.
    """

    config: AudioEncoderConfig
    main_input_name = "input_values"
    input_modalities = ("audio",)  # type: ignore[assignment]  # as in transformers' own models
    supports_gradient_checkpointing = True
    _can_compile_fullgraph = True
    _input_embed_layer = "patch_embeddings"
    # A model may be loaded from the checkpoint of another one: parts that it does not have are left aside.
    _keys_to_ignore_on_load_unexpected = [
        r"^(frame_)?classifier\.",
        r"^mask_token$",
        r"^decoder\.",
        r"^(prediction|discriminative|generative)_head\.",
    ]

    def __init__(self, config: AudioEncoderConfig, *args, **kwargs):
        super().__init__(config, *args, **kwargs)
        self.register_load_state_dict_pre_hook(accept_former_head_names)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, config=None, key_mapping=None, **kwargs):
        """As in transformers; heads that were saved under the names of version 0.1 load too."""
        former = former_head_names(cls.config_class, pretrained_model_name_or_path, config, kwargs)
        model = super().from_pretrained(
            pretrained_model_name_or_path, *args, config=config, key_mapping=(key_mapping or {}) | former, **kwargs
        )
        if former:
            loaded = model[0] if isinstance(model, tuple) else model
            loaded._weight_conversions = None  # or transformers would save under the former names again
        return model

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Only modules that own parameters are passed here: transformers takes the others for initialised."""
        if isinstance(module, SelfInitialized) and not isinstance(module, PreTrainedModel):
            module.init_weights(self.config)
        elif isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            self.init_layer(module)
        else:
            super()._init_weights(module)

    def init_layer(self, layer: nn.Linear | nn.Conv1d | nn.Conv2d) -> None:
        """How a layer without a rule of its own starts: as in transformers."""
        super()._init_weights(layer)

    def layers_above(self, name: str) -> int:
        """How many blocks lie above a parameter, its own included; 0 outside the blocks. For layer-wise decay."""
        prefix, _, number = name.removeprefix(f"{self.base_model_prefix}.").partition("layers.")
        if prefix or not number:
            return 0
        return self.config.num_hidden_layers - int(number.partition(".")[0])

    def prepare_for_clips(self, num_frames: int) -> None:
        """Called before the model is fine-tuned on clips of so many frames; most families need nothing."""


# Mixins must not derive from a model class: transformers would take its configuration for that of the whole family.
# To a type checker they are what they are mixed into.
if TYPE_CHECKING:
    ModelMixin = AudioPreTrainedModel
else:
    ModelMixin = object


class TokenEncoder(ModelMixin):
    """`tokens`, `bands` and `steps` of encoders of tokens, for `class XModel(TokenEncoder, XPreTrainedModel)`.

    Tokens are special ones, then `config.num_frequency_patches` for each time step, in `last_hidden_state` as in every
    hidden state; a family whose output has no place for special tokens says in `special_tokens` where they are.
    """

    def get_input_embeddings(self) -> nn.Module:
        """The layer that has the weights; transformers' own search ends at the module around it."""
        embeddings = super().get_input_embeddings()
        return getattr(embeddings, "projection", embeddings)

    @property
    def layer_indices(self) -> range:
        return range(1, self.config.num_hidden_layers + 1)

    def special_tokens(self, output: AudioEncoderOutput) -> torch.Tensor:
        """(B, P, D) of the output."""
        return output.last_hidden_state[:, : self.config.num_special_tokens]

    def tokens(self, output: AudioEncoderOutput) -> Tokens:
        content = output.last_hidden_state[:, self.config.num_special_tokens :]
        return Tokens(self.special_tokens(output), content, output.token_mask)

    def steps(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        layers: Sequence[int] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings over time of clips of any length, the mean over the patches of a time step.

        Args:
            input_values: (B, T, F). Clips longer than `config.longest_clip` are encoded in windows of that length.
            attention_mask: (B, T), 1 = real frame.
            layers: indices of hidden states: 0 for the input of the first block, i for the output of block i, before
                the norm behind the blocks; `layer_indices` for all of these. None for the encoder's output.

        Returns:
            (B, layers, S, D) and which steps are real, (B, S) bool. A step lies where `step_intervals` says.
        Raises:
            ValueError: wrong rank or size of an argument, or a clip shorter than a step.
        """
        bands, is_real = self.bands(input_values, attention_mask, layers)
        return bands.mean(dim=3), is_real

    def bands(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        layers: Sequence[int] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `steps`, but with the patches of a time step, from low to high frequency: (B, layers, S, F, D)."""
        parts = [
            self._bands_of_window(frames, mask, layers)
            for frames, mask in cut_windows(self.config, input_values, attention_mask)
        ]
        return torch.cat([bands for bands, _ in parts], dim=2), torch.cat([is_real for _, is_real in parts], dim=1)

    def _bands_of_window(
        self, input_values: torch.Tensor, attention_mask: torch.Tensor | None, layers: Sequence[int] | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        output = self(input_values, attention_mask=attention_mask, output_hidden_states=layers is not None)
        tokens, num_frequency = self.tokens(output), self.config.num_frequency_patches
        if layers is None:
            bands, is_real = over_time(tokens, num_frequency)
            bands = bands[:, None]
        else:
            num_special = output.hidden_states[0].shape[1] - tokens.content.shape[1]
            chosen = torch.stack([output.hidden_states[layer][:, num_special:] for layer in layers], dim=1)
            bands, is_real = chosen.unflatten(2, (-1, num_frequency)), over_time(tokens, num_frequency)[1]
        if is_real is None:
            is_real = bands.new_ones(bands.shape[0], bands.shape[2], dtype=torch.bool)
        return bands, is_real


def over_time(tokens: Tokens, num_frequency: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The content of an output as time steps of `num_frequency` patches: (B, S, F, D) and (B, S) bool or None."""
    mask = None if tokens.mask is None else tokens.mask[:, ::num_frequency]
    return tokens.content.unflatten(1, (-1, num_frequency)), mask


def scene_embedding(
    content: torch.Tensor, mask: torch.Tensor | None, num_frequency: int, grouping: str
) -> torch.Tensor:
    """Mean over time of the patches of a step side by side, the clip embedding of HEAR (Turian et al., PMLR 2022).

    Args:
        content: (B, S * num_frequency, D) time-major patches.
        mask: (B, S * num_frequency) bool, True = real, which come first; None = all.
        grouping: "time", or "reference" for what the code of SSAM and AxLSTM does, which takes the patches for
            frequency-major: the clip is then cut into `num_frequency` stretches of time, whose means are the result.
    Returns:
        (B, num_frequency * D).
    """
    num_clips, num_tokens, _ = content.shape
    place = torch.arange(num_tokens, device=content.device).expand(num_clips, -1)
    num_real = place.new_full((num_clips, 1), num_tokens) if mask is None else mask.sum(dim=1, keepdim=True)
    num_steps = (num_real // num_frequency).clamp(min=1)
    part = place % num_frequency if grouping == "time" else place // num_steps
    # By comparison: one_hot looks at the values first, for which a GPU waits and which an exporter cannot follow.
    is_part = part[..., None] == torch.arange(num_frequency, device=content.device)
    weights = is_part & (place < num_real)[..., None]
    return torch.einsum("blf,bld->bfd", (weights / num_steps[..., None]).to(content.dtype), content).flatten(1)


def cut_windows(
    config: AudioEncoderConfig, input_values: torch.Tensor, attention_mask: torch.Tensor | None
) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    """Clips (B, T, ...) as windows that an encoder takes at once, whose steps lie end to end.

    What is left at the end and fills no step is left out. Raises ValueError for a mask of other clips or frames.
    """
    if attention_mask is not None:
        check_attention_mask(attention_mask, input_values)
    num_frames, longest = input_values.shape[1], config.longest_clip
    if longest is None or num_frames <= longest:
        return [(input_values, attention_mask)]
    steps_of_window = config.num_steps(longest)
    windows = []
    for first in range(0, config.num_steps(num_frames), steps_of_window):
        start = first * config.time_stride
        end = start + config.frames_of(steps_of_window)
        mask = None if attention_mask is None else attention_mask[:, start:end]
        if mask is not None and first:
            # Encoders keep the first step of a clip that is shorter than one; here the clip has others.
            mask = mask.clone()
            mask[:, 0] = mask[:, : config.step_frames].all(dim=1)
        windows.append((input_values[:, start:end], mask))
    return windows


def step_intervals(config: AudioEncoderConfig, num_steps: int) -> torch.Tensor:
    """Where the steps of a clip lie: (S, 2) their starts and ends in seconds, float64.

    A step stands for the time around its middle; where steps overlap that is less than what they are made of. Without
    overlap step i lies between `i * config.seconds_per_step` and `(i + 1) * config.seconds_per_step`.
    """
    overlap = (config.step_frames - config.time_stride) * config.seconds_per_frame
    starts = torch.arange(num_steps, dtype=torch.float64) * config.seconds_per_step + overlap / 2
    return torch.stack([starts, starts + config.seconds_per_step], dim=1)
