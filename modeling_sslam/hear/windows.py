"""Recordings as the windows that an encoder sees, for HEAR: where they start, what fills the last one, what counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import torch
from torch import nn
from transformers import PreTrainedConfig, SequenceFeatureExtractor


def pad_zeros(spectrogram: torch.Tensor, num_frames: int) -> torch.Tensor:
    """(T, F) -> (num_frames, F), zeros behind."""
    return nn.functional.pad(spectrogram, (0, 0, 0, num_frames - len(spectrogram)))


def pad_reflected(spectrogram: torch.Tensor, num_frames: int) -> torch.Tensor:
    """(T, F) -> (num_frames, F), mirrored at the last frame, then at the first, and so on; no edge is repeated."""
    last = len(spectrogram) - 1
    place = torch.arange(num_frames, device=spectrogram.device) % max(2 * last, 1)
    return spectrogram[torch.minimum(place, 2 * last - place)]


# By family; the others are reflected.
PADDING: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "ssam": pad_zeros,
    "axlstm": pad_zeros,
    "ssast_mae": pad_zeros,
}


@dataclasses.dataclass(frozen=True)
class Window:
    """Part of a recording.

    Attributes:
        clip: number of the recording in its batch.
        frames: (T, F) frames for the encoder.
        num_steps: time steps that belong to the recording; those behind come from padding.
    """

    clip: int
    frames: torch.Tensor
    num_steps: int


class Windows:
    """How recordings are cut for an encoder: into windows that lie end to end.

    Attributes:
        hop: frames from one window to the next.
        frames: frames of a window; more than `hop` where patches overlap.
        steps: time steps of a window.
        masks_padding: whether the encoder is told what is padding.
        keeps_size: whether a window stays as long as it is although its end is masked: SSAST's positions depend on it.
    """

    def __init__(self, config: PreTrainedConfig, feature_extractor: SequenceFeatureExtractor):
        self.pad = PADDING.get(config.model_type, pad_reflected)
        self.stride, self.patch_frames = config.time_stride, patch_frames(config)
        self.masks_padding = not hasattr(config, "window_frames")
        self.keeps_size = getattr(config, "position_fit", "start") == "centre"
        size = feature_extractor.target_length if self.masks_padding else config.window_frames
        self.steps = (size - self.patch_frames) // self.stride + 1
        self.hop = self.steps * self.stride if self.masks_padding else size
        self.frames = self.frames_of(self.steps) if self.masks_padding else size

    def frames_of(self, num_steps: int) -> int:
        """Frames that the patches of `num_steps` time steps cover."""
        return (num_steps - 1) * self.stride + self.patch_frames

    def num_steps(self, num_frames: int) -> int:
        """Time steps of a recording: those of its windows, less the share of them that is padding, rounded down."""
        num_windows = -(-num_frames // self.hop)
        padding = num_windows * self.hop - num_frames
        return num_windows * self.steps - self.steps * padding // self.hop

    def cut(self, clip: int, spectrogram: torch.Tensor) -> Iterator[Window]:
        """The windows of a recording (T, F), as views of a padded copy."""
        num_steps = self.num_steps(len(spectrogram))
        num_windows = -(-len(spectrogram) // self.hop)
        padded = self.pad(spectrogram, (num_windows - 1) * self.hop + self.frames)
        for number in range(num_windows):
            frames = padded[number * self.hop :][: self.frames]
            yield Window(clip, frames, min(self.steps, num_steps - number * self.steps))

    def stack(self, windows: list[Window]) -> dict[str, torch.Tensor]:
        """The encoder's arguments for windows: `input_values` (W, T, F), and a mask where padding is not to be heard.

        Frames that are masked in all of them are left out where that changes nothing.
        """
        frames = torch.stack([window.frames for window in windows])
        num_steps = torch.tensor([window.num_steps for window in windows], device=frames.device)
        if not self.masks_padding or (num_steps == self.steps).all():
            return {"input_values": frames}
        real = self.frames_of(num_steps)
        if not self.keeps_size:
            frames = frames[:, : int(real.max())]
        places = torch.arange(frames.shape[1], device=frames.device)
        return {"input_values": frames, "attention_mask": (places < real[:, None]).int()}


def patch_frames(config: PreTrainedConfig) -> int:
    """Frames of a patch."""
    return config.patch_size if isinstance(config.patch_size, int) else config.patch_size[0]
