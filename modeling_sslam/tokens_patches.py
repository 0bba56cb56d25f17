"""Spectrogram to patch tokens, and what padding means for them."""

from __future__ import annotations

import torch
from torch import nn

from .configuration_patches import PatchConfig
from .tokens_masks import check_attention_mask


class PatchEmbedding(nn.Module):
    """Linear projection of time-frequency patches, as a convolution over the (time, frequency) image.

    Frames and mel bins at the end that do not fill a patch are left out.

    Args:
        hidden_size: channels D of a token.
        patch_size: (frames, mel bins) of a patch.
        stride: (frames, mel bins) from one patch to the next; the patch size when not given.
        num_mel_bins: of the spectrograms; any when not given.
    """

    def __init__(
        self,
        hidden_size: int,
        patch_size: tuple[int, int],
        stride: tuple[int, int] | None = None,
        num_mel_bins: int | None = None,
    ):
        super().__init__()
        self.num_mel_bins = num_mel_bins
        self.projection = nn.Conv2d(1, hidden_size, kernel_size=patch_size, stride=stride or patch_size)

    def forward(self, input_values: torch.Tensor) -> torch.Tensor:
        """(B, T, F) spectrogram -> (B, L, D) tokens, time-major: all patches of the first time step come first.

        Raises:
            ValueError: the input is not (B, T, F), has other mel bins than expected, or is smaller than one patch.
        """
        check_spectrogram(input_values, self.projection.kernel_size, self.num_mel_bins)
        return self.projection(input_values[:, None]).flatten(2).transpose(1, 2)


def patchify(input_values: torch.Tensor, patch_size: tuple[int, int]) -> torch.Tensor:
    """The cells of each patch, the target of masked reconstruction: (B, T, F) -> (B, L, frames * mel bins of a patch).

    Patches are time-major, and so are the cells within a patch. What does not fill a patch is left out.

    Raises:
        ValueError: the input is not (B, T, F), or shorter or narrower than one patch.
    """
    check_spectrogram(input_values, patch_size)
    frames, bins = patch_size
    num_time, num_frequency = input_values.shape[1] // frames, input_values.shape[2] // bins
    whole = input_values[:, : num_time * frames, : num_frequency * bins]
    grid = whole.unflatten(2, (num_frequency, bins)).unflatten(1, (num_time, frames))
    return grid.transpose(2, 3).flatten(3).flatten(1, 2)


def check_spectrogram(
    input_values: torch.Tensor, patch_size: tuple[int, int], num_mel_bins: int | None = None
) -> None:
    """Raises ValueError unless `input_values` is (B, T, F), F the mel bins if given, and holds at least one patch."""
    if input_values.ndim != 3:
        raise ValueError(
            f"input_values must be (batch, frames, mel bins), but has shape {tuple(input_values.shape)}; "
            "a (batch, 1, frames, mel bins) image of the original code needs `.squeeze(1)`"
        )
    frames, bins = input_values.shape[1:]
    if num_mel_bins not in (None, bins):
        raise ValueError(f"input_values has {bins} mel bins, but the model expects {num_mel_bins}")
    if frames < patch_size[0] or bins < patch_size[1]:
        raise ValueError(
            f"input_values has {frames} frames x {bins} mel bins, less than one patch of "
            f"{patch_size[0]} x {patch_size[1]}: pad the clip (the feature extractor pads to `target_length`)"
        )


def patch_attention_mask(
    attention_mask: torch.Tensor | None, input_values: torch.Tensor, config: PatchConfig
) -> torch.Tensor | None:
    """Which patch tokens are real, given which frames are: a patch counts when all its frames do.

    So a padded clip keeps exactly the patches that it has when it is alone. A clip shorter than a patch, which cannot
    be alone, keeps its first patch, lest nothing be left of it.

    Args:
        attention_mask: (B, T), nonzero = real frame; None when nothing is padded.
        input_values: (B, T, F), which it belongs to.
        config: of the model.
    Returns:
        (B, L) bool, time-major; None for None.
    Raises:
        ValueError: a mask of other clips or frames than `input_values`.
    """
    if attention_mask is None:
        return None
    check_attention_mask(attention_mask, input_values)
    real = attention_mask.bool()
    whole = real.unfold(1, config.step_frames, config.time_stride).all(dim=2)
    whole[:, 0] |= real[:, 0]
    return whole.repeat_interleave(config.num_frequency_patches, dim=1)


def with_special_tokens(token_mask: torch.Tensor | None, num_special: int) -> torch.Tensor | None:
    """(B, L) bool -> (B, S + L): the special tokens before the patches are always real, so no query lacks a key."""
    return None if token_mask is None else nn.functional.pad(token_mask, (num_special, 0), value=True)
