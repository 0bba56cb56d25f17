# Copyright 2026 The modeling_sslam authors. MIT licence.
"""What the configurations of all encoders of spectrogram patches share: the grid of patches."""

from __future__ import annotations

from .configuration_audio_encoder import AudioEncoderConfig

PatchSize = int | list[int] | tuple[int, ...]


def pair(name: str, value: PatchSize) -> tuple[int, int]:
    """(time, frequency) from two numbers, or from the side of a square.

    Raises:
        ValueError: anything but one or two positive numbers.
    """
    sizes = (value, value) if isinstance(value, int) else tuple(value)
    if len(sizes) != 2 or min(sizes) < 1:
        raise ValueError(f"{name} is {value!r}: expected two positive numbers, time before frequency")
    return sizes


class PatchConfig(AudioEncoderConfig):
    """Base for `@strict class XConfig(PatchConfig)` of encoders whose tokens are patches of a spectrogram.

    Args:
        patch_size: (frames, mel bins) of a patch; a single number is a square.
        num_mel_bins: mel bins of a spectrogram.
        frame_shift_ms: milliseconds from one frame of a spectrogram to the next.

    Raises:
        ValueError: a patch that is no pair of sizes, or has more bins than there are.
    """

    patch_size: PatchSize = (16, 16)
    num_mel_bins: int = 128
    frame_shift_ms: float | int = 10.0

    def __post_init__(self, **kwargs):
        self.patch_size = pair("patch_size", self.patch_size)
        if self.patch_size[1] > self.num_mel_bins:
            raise ValueError(f"patch_size {self.patch_size} has more mel bins than num_mel_bins {self.num_mel_bins}")
        super().__post_init__(**kwargs)

    @property
    def patch_stride(self) -> tuple[int, int]:
        """(frames, mel bins) from one patch to the next."""
        return pair("patch_size", self.patch_size)

    @property
    def time_stride(self) -> int:
        return self.patch_stride[0]

    @property
    def step_frames(self) -> int:
        return pair("patch_size", self.patch_size)[0]

    @property
    def num_frequency_patches(self) -> int:
        return (self.num_mel_bins - pair("patch_size", self.patch_size)[1]) // self.patch_stride[1] + 1

    @property
    def seconds_per_frame(self) -> float:
        return self.frame_shift_ms / 1000

    def num_patches(self, num_frames: int) -> int:
        """Patches of a clip of so many frames."""
        return self.num_steps(num_frames) * self.num_frequency_patches

    def extractor_fields(self) -> dict[str, int | float]:
        return {"num_mel_bins": self.num_mel_bins, "frame_shift_ms": self.frame_shift_ms}


def check_whole_patches(config: PatchConfig, frames_field: str, bins_field: str) -> None:
    """Raises ValueError unless the two fields are multiples of the frames and of the mel bins of a patch."""
    for field, size in zip((frames_field, bins_field), pair("patch_size", config.patch_size), strict=True):
        if getattr(config, field) % size:
            raise ValueError(f"{field} {getattr(config, field)} is not a multiple of the {size} of a patch")
