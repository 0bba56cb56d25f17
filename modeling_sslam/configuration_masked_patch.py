# Copyright 2026 The modeling_sslam authors. MIT licence.
"""Fields that SSAM, AxLSTM and their transformer baseline share: all that is not inside their blocks."""

from __future__ import annotations

from typing import ClassVar

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig

from .remote_code import RemoteCodeMixin

MASKINGS = ("random", "timestep")
TOKEN_GROUPINGS = ("reference", "time")


@strict
class MaskedPatchConfig(RemoteCodeMixin, PreTrainedConfig):
    r"""
    Tokens, masking and features of the encoders of Yadav and Tan ("Audio Mamba", Interspeech 2024; "AxLSTMs",
    Interspeech 2025). A default is what the official code does, also where that is odd.

    Args:
        hidden_size, num_hidden_layers: width and number of blocks.
        layer_norm_eps: of the norms in the encoder.
        patch_size: (frames, mel bins) of a patch; a single number is a square.
        num_mel_bins: mel bins of a spectrogram.
        window_frames: frames of a pretraining crop and of the windows that long clips are cut into for features.
            The model itself takes any length.
        use_class_token: put a learned token in front of the patches. It enters no output and no loss, but the blocks
            see it. In SSAM, which reads in one direction, it sees nothing itself.
        mask_ratio: share of masked patches in pretraining.
        masking: "random" draws single patches, "timestep" all patches of a time step at once (no published model).
        mask_token_has_position: whether a masked token knows where it is. False is official: the mask token replaces
            patch AND position, so that a transformer predicts the same for every masked patch of a clip.
        token_grouping: which tokens make a step of the features for downstream tasks. "reference" is official: the
            time-major tokens are grouped as if they were frequency-major, so that a step mixes distant times.
            "time" groups the frequency patches of one time step.
        initializer_range: standard deviation of class token and mask token.
        classifier_norm_eps: of the norm before the classifier.

    Raises:
        ValueError: sizes that do not divide, a ratio outside (0, 1), or an unknown masking or grouping.
    """

    # Width, depth and whatever else the published sizes differ in, by name. Each family has its own.
    published_sizes: ClassVar[dict[str, dict[str, int]]] = {}

    hidden_size: int = 768
    num_hidden_layers: int = 12
    layer_norm_eps: float = 1e-6
    patch_size: int | list[int] | tuple[int, ...] = (4, 16)
    num_mel_bins: int = 80
    window_frames: int = 200
    use_class_token: bool = True
    mask_ratio: float = 0.5
    masking: str = "random"
    mask_token_has_position: bool = False
    token_grouping: str = "reference"
    initializer_range: float = 0.02
    classifier_norm_eps: float = 1e-6

    def __post_init__(self, **kwargs):
        sizes = (self.patch_size, self.patch_size) if isinstance(self.patch_size, int) else tuple(self.patch_size)
        if len(sizes) != 2 or min(sizes) < 1:
            raise ValueError(f"patch_size is {self.patch_size!r}: expected (frames, mel bins) of a patch")
        self.patch_size = sizes
        if self.num_mel_bins % sizes[1]:
            raise ValueError(f"num_mel_bins {self.num_mel_bins} is not a multiple of the {sizes[1]} bins of a patch")
        if self.window_frames % sizes[0]:
            raise ValueError(f"window_frames {self.window_frames} is not a multiple of the {sizes[0]} of a patch")
        if self.hidden_size % 4:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of 4, which the positions need")
        if not 0 < self.mask_ratio < 1:
            raise ValueError(f"mask_ratio is {self.mask_ratio}: expected a share between 0 and 1")
        if self.masking not in MASKINGS:
            raise ValueError(f"masking is {self.masking!r}: choose one of {', '.join(MASKINGS)}")
        if self.token_grouping not in TOKEN_GROUPINGS:
            raise ValueError(f"token_grouping is {self.token_grouping!r}: choose one of {', '.join(TOKEN_GROUPINGS)}")
        super().__post_init__(**kwargs)

    @property
    def num_frequency_patches(self) -> int:
        """Patches along frequency."""
        return self.num_mel_bins // self.patch_size[1]

    @property
    def num_special_tokens(self) -> int:
        """Tokens before the patches in a model's output: none, the class token is left out."""
        return 0

    @property
    def time_stride(self) -> int:
        """Frames from one time step of patches to the next."""
        return self.patch_size[0]

    @classmethod
    def tiny(cls, **overrides) -> MaskedPatchConfig:
        """The published tiny model."""
        return cls(**(cls.published_sizes["tiny"] | overrides))

    @classmethod
    def small(cls, **overrides) -> MaskedPatchConfig:
        """The published small model."""
        return cls(**(cls.published_sizes["small"] | overrides))

    @classmethod
    def base(cls, **overrides) -> MaskedPatchConfig:
        """The published base model, which is also what the defaults build."""
        return cls(**overrides)


__all__ = ["MaskedPatchConfig"]
