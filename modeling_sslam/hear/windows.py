"""Recordings as the windows that an encoder sees, for HEAR: where they start, what fills the last one, what counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import torch

from ..configuration_audio_encoder import AudioEncoderConfig
from ..feature_extraction_base import AudioFeatureExtractor

DEFAULT_SECONDS = 10.0  # of a window, where neither the family nor its extractor has a length


def pad_zeros(features: torch.Tensor, num_frames: int) -> torch.Tensor:
    """(T, ...) -> (num_frames, ...), zeros behind."""
    return torch.cat([features, features.new_zeros(num_frames - len(features), *features.shape[1:])])


def pad_reflected(features: torch.Tensor, num_frames: int) -> torch.Tensor:
    """(T, ...) -> (num_frames, ...), mirrored at the last frame, then at the first, and so on; no edge is repeated."""
    last = len(features) - 1
    place = torch.arange(num_frames, device=features.device) % max(2 * last, 1)
    return features[torch.minimum(place, 2 * last - place)]


# By `config.window_padding`. Of masked padding, only what fills up the last step is heard.
PADDING: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "zeros": pad_zeros,
    "reflected": pad_reflected,
    "masked": pad_reflected,
}


@dataclasses.dataclass(frozen=True)
class Window:
    """Part of a recording.

    Attributes:
        clip: number of the recording in its batch.
        frames: (T, ...) frames for the encoder.
        num_steps: time steps that belong to the recording; those behind come from padding.
    """

    clip: int
    frames: torch.Tensor
    num_steps: int


class Windows:
    """How recordings are cut for an encoder: into windows that lie end to end.

    Attributes:
        hop: frames from one window to the next.
        frames: frames of a window; more than `hop` where steps overlap.
        steps: time steps of a window.
        masks_padding: whether the encoder is told what is padding.
    """

    def __init__(self, config: AudioEncoderConfig, feature_extractor: AudioFeatureExtractor):
        self.config = config
        self.pad = PADDING[config.window_padding]
        self.masks_padding = config.window_padding == "masked"
        size = config.window_frames or feature_extractor.target_length
        size = size or config.longest_clip or feature_extractor.frames_for(DEFAULT_SECONDS)
        self.steps = config.num_steps(size)
        self.hop = self.steps * config.time_stride if self.masks_padding else size
        self.frames = config.frames_of(self.steps) if self.masks_padding else size

    def num_steps(self, num_frames: int) -> int:
        """Time steps of a recording: those of its windows, less the share of them that is padding, rounded down."""
        num_windows = -(-num_frames // self.hop)
        padding = num_windows * self.hop - num_frames
        return num_windows * self.steps - self.steps * padding // self.hop

    def cut(self, clip: int, features: torch.Tensor) -> Iterator[Window]:
        """The windows of a recording (T, ...), as views of a padded copy."""
        num_steps = self.num_steps(len(features))
        num_windows = -(-len(features) // self.hop)
        padded = self.pad(features, (num_windows - 1) * self.hop + self.frames)
        for number in range(num_windows):
            frames = padded[number * self.hop :][: self.frames]
            yield Window(clip, frames, min(self.steps, num_steps - number * self.steps))

    def stack(self, windows: list[Window]) -> dict[str, torch.Tensor]:
        """The encoder's arguments for windows: `input_values` (W, T, ...), and a mask where padding is not heard.

        Frames that are masked in all of them are left out where that changes nothing.
        """
        frames = torch.stack([window.frames for window in windows])
        num_steps = torch.tensor([window.num_steps for window in windows], device=frames.device)
        if not self.masks_padding or (num_steps == self.steps).all():
            return {"input_values": frames}
        real = self.config.frames_of(num_steps)
        if not self.config.positions_depend_on_length:
            frames = frames[:, : int(real.max())]
        places = torch.arange(frames.shape[1], device=frames.device)
        return {"input_values": frames, "attention_mask": (places < real[:, None]).int()}
