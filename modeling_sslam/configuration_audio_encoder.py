# Copyright 2026 The modeling_sslam authors. MIT licence.
"""What the configuration of every encoder says: where its steps lie in time, and how it hears audio."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from torch import Tensor
from transformers.configuration_utils import PreTrainedConfig

from .remote_code import RemoteCodeMixin

Count = TypeVar("Count", int, Tensor)
POOLINGS = ("mean", "attentive", "linear_softmax")
# How patches are masked is decided by whoever trains a model; configurations saved before say it too.
FORMER_FIELDS = ("mask_ratio", "masking")


def check_divides(config: PreTrainedConfig, **divisors: str) -> None:
    """Raises ValueError unless each field (the keyword) is a multiple of the field that its value names."""
    for field, divisor in divisors.items():
        if getattr(config, field) % getattr(config, divisor):
            raise ValueError(
                f"{field} {getattr(config, field)} is not a multiple of {divisor} {getattr(config, divisor)}"
            )


def check_choice(config: PreTrainedConfig, name: str, choices: tuple[str, ...]) -> None:
    """Raises ValueError unless the field has one of the values."""
    if getattr(config, name) not in choices:
        raise ValueError(f"{name} is {getattr(config, name)!r}: choose one of {', '.join(choices)}")


class AudioEncoderConfig(RemoteCodeMixin, PreTrainedConfig):
    """Base of all configurations, for `@strict class XConfig(AudioEncoderConfig)`.


    A *frame* is one entry along time of what the encoder is given: a column of a spectrogram, or a sample. A *step* is
    one embedding along time of what it gives.

    Class attributes, which say how a family hears audio (`modeling_sslam/hear/`):
        published_preset: of the extractor of published folders that have none; None where folders have one.
        window_frames: frames of the windows that recordings are cut into; None for the clips that the extractor makes.
        window_padding: what fills the last window of a recording: "masked" frames that are not heard, or "zeros" or
            the "reflected" recording, which are.
        token_grouping: which tokens make one step of features, see `group_tokens` in `modeling_sslam/hear/`.

    Args:
        hidden_size: channels of an embedding.
        num_hidden_layers: blocks, each with a hidden state behind it.
        pooling: what the classifier of clips sees: the tokens pooled by "mean", "attentive" or "linear_softmax", or
            where there are special tokens that have heard the clip, their mean ("cls").
        classifier_norm_eps: of the norm before a classifier.
    """

    published_preset: ClassVar[str | None] = None
    window_padding: ClassVar[str] = "masked"
    window_frames: ClassVar[int | None] = None
    token_grouping: ClassVar[str] = "time"

    hidden_size: int = 768
    num_hidden_layers: int = 12
    pooling: str = "mean"
    classifier_norm_eps: float = 1e-6

    def __post_init__(self, **kwargs):
        for name in FORMER_FIELDS:
            kwargs.pop(name, None)
        check_choice(self, "pooling", ("cls", *POOLINGS) if self.has_class_token else POOLINGS)
        super().__post_init__(**kwargs)

    @property
    def positions_depend_on_length(self) -> bool:
        """Whether the positions of a clip depend on how far it is padded."""
        return False

    @property
    def time_stride(self) -> int:
        """Frames from one step to the next."""
        raise NotImplementedError

    @property
    def step_frames(self) -> int:
        """Frames that a step is made of; more than `time_stride` where steps overlap."""
        return self.time_stride

    @property
    def num_frequency_patches(self) -> int:
        """Embeddings of a step, one a frequency band; 1 where a step has no bands."""
        return 1

    @property
    def num_special_tokens(self) -> int:
        """Tokens before the others in `last_hidden_state`."""
        return 0

    @property
    def has_class_token(self) -> bool:
        """Whether there is a special token that has heard the clip."""
        return self.num_special_tokens > 0

    @property
    def longest_clip(self) -> int | None:
        """Frames of the longest clip that is encoded at once; `steps` cuts longer ones into windows. None = any."""
        return None

    @property
    def seconds_per_step(self) -> float:
        """Seconds from one step to the next."""
        return self.time_stride * self.seconds_per_frame

    @property
    def seconds_per_frame(self) -> float:
        """Seconds from one frame to the next."""
        raise NotImplementedError

    def num_steps(self, num_frames: int) -> int:
        """Steps of a clip of so many frames; what is left at the end and fills no step is left out."""
        return max(0, (num_frames - self.step_frames) // self.time_stride + 1)

    def frames_of(self, num_steps: Count) -> Count:
        """Frames that so many steps are made of; one number, or a tensor of them."""
        return (num_steps - 1) * self.time_stride + self.step_frames

    def extractor_fields(self) -> dict[str, int | float]:
        """Fields that the feature extractor must have in common with the model."""
        raise NotImplementedError
