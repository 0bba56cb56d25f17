"""Augmentations of fine-tuning: waveform roll and gain, feature noise and roll, three kinds of mixup, SpecAugment.

Each augmentation has two halves: a deterministic function of the drawn values, which can be held against recorded
numbers, and a `draw_*` or `random_*` function that draws those values from a `torch.Generator`.
Sources: SSLAM, EAT, SSAST and GISE-51 fine-tuning; mixup (Zhang et al. 2018), SpecAugment (Park et al. 2019).
"""

from __future__ import annotations

import numpy
import torch

GAIN_CONCENTRATION = 10.0  # the gain is Beta(10, 10) + 0.5: between 0.5 and 1.5, mean 1
MAX_NOISE_AMPLITUDE = 0.1
MAX_FRAME_ROLL = 10
WAVEFORM_MIXUP_CONCENTRATION = 10.0  # the mixing weight is Beta(10, 10): near one half


def roll_and_scale(waveform: torch.Tensor, shift: int, magnitude: float) -> torch.Tensor:
    """Circular shift of a waveform (..., N) by `shift` samples, then a gain."""
    return torch.roll(waveform, int(shift), dims=-1) * float(magnitude)


def random_roll_and_scale(waveform: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """`roll_and_scale` with a uniform shift in [0, N) and a Beta(10, 10) + 0.5 gain."""
    shift = torch.randint(waveform.shape[-1], (), generator=generator)
    return roll_and_scale(waveform, int(shift), draw_beta(GAIN_CONCENTRATION, generator) + 0.5)


def mix_waveforms(first: torch.Tensor, second: torch.Tensor, mixing_weight: float) -> torch.Tensor:
    """`w * first + (1 - w) * second` of two clips without their means, (N,) and (M,) -> (N,) without its mean.

    The second is cut or, with zeros, padded to the length of the first.
    """
    first, second = first - first.mean(), second - second.mean()
    second = torch.nn.functional.pad(second, (0, len(first) - len(second)))  # a negative amount cuts
    mixed = mixing_weight * first + (1 - mixing_weight) * second
    return mixed - mixed.mean()


def add_noise_and_roll(
    features: torch.Tensor, noise_uniform: torch.Tensor, amplitude: float, shift: int
) -> torch.Tensor:
    """Adds `noise_uniform * amplitude` to normalised features (..., T, F), then shifts them along time, circularly.

    Args:
        noise_uniform: (T, F) or (..., T, F), uniform in [0, 1).
        shift: in frames, positive is later.
    """
    noisy = features + noise_uniform.to(features.dtype) * float(amplitude)
    return torch.roll(noisy, int(shift), dims=-2)


def random_noise_and_roll(features: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """`add_noise_and_roll` with an amplitude uniform in [0, 0.1) and a shift uniform in [-10, 10) frames."""
    check_spectrogram(features, "augment.noise", 2)
    noise = torch.rand(features.shape, generator=generator)
    amplitude = MAX_NOISE_AMPLITUDE * torch.rand((), generator=generator).item()
    shift = torch.randint(-MAX_FRAME_ROLL, MAX_FRAME_ROLL, (), generator=generator)
    return add_noise_and_roll(features, noise, amplitude, int(shift))


def draw_beta(concentration: float, generator: torch.Generator) -> float:
    """One draw of the symmetric Beta(concentration, concentration).

    torch has no Beta sampler that takes a generator, so the generator seeds NumPy's.
    """
    seed = torch.randint(2**63 - 1, (), generator=generator).item()
    return float(numpy.random.default_rng(seed).beta(concentration, concentration))


def mixup(features: torch.Tensor, targets: torch.Tensor, mixing_weight: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Mixes every clip with its mirror in the batch: x <- w x + (1 - w) flip(x), targets likewise.

    Args:
        features: (B, T, F).
        targets: (B, num_labels) float.
        mixing_weight: one weight w in [0, 1] for the whole batch.
    Raises:
        ValueError: B is odd, so that the middle clip would be mixed with itself.
    """
    batch_size = features.shape[0]
    if batch_size % 2:
        raise ValueError(f"mixup pairs the clips of a batch, which has {batch_size}; use an even batch size")
    mixed_features = torch.lerp(features.flip(0), features, mixing_weight)
    mixed_targets = torch.lerp(targets.flip(0), targets, mixing_weight)
    return mixed_features, mixed_targets


def random_mixup(
    features: torch.Tensor, targets: torch.Tensor, alpha: float, probability: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """With `probability`, `mixup` with a weight drawn from Beta(alpha, alpha); otherwise the batch as it is."""
    if torch.rand((), generator=generator).item() >= probability:
        return features, targets
    return mixup(features, targets, draw_beta(alpha, generator))


def mix_clips(clips: torch.Tensor, weights: torch.Tensor, partners: torch.Tensor) -> torch.Tensor:
    """`w * x + (1 - w) * x[partner]`, every clip with a partner and a weight of its own (GISE-51).

    Mixed one-hot targets give the cross-entropy `w * CE(label) + (1 - w) * CE(label of the partner)`.

    Args:
        clips: (B, ...) features or targets.
        weights: (B,) in [0, 1].
        partners: (B,) indices within the batch.
    """
    weights = weights.view(-1, *[1] * (clips.ndim - 1)).to(clips.dtype)
    return weights * clips + (1 - weights) * clips[partners]


def seeded_mixing_weights(alpha: float, seed: int, batch_size: int) -> torch.Tensor:
    """(B,) float32 from Beta(alpha, alpha), the same for the same seed: those of GISE-51's reference.

    There NumPy's legacy generator is seeded anew for every batch, so that all batches have the same weights.
    """
    return torch.from_numpy(numpy.random.RandomState(seed).beta(alpha, alpha, batch_size).astype(numpy.float32))


def random_permutation_mixup(
    features: torch.Tensor,
    targets: torch.Tensor,
    alpha: float,
    probability: float,
    seed: int | None,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """With `probability`, `mix_clips` of features (B, ...) and targets (B, C) in random pairs; otherwise as they are.

    Args:
        alpha: of the weights, from Beta(alpha, alpha).
        seed: of the weights, see `seeded_mixing_weights`; None for new ones from the generator.
    """
    if torch.rand((), generator=generator).item() >= probability:
        return features, targets
    batch_size = len(features)
    partners = torch.randperm(batch_size, generator=generator)
    if seed is None:
        weights = torch.tensor([draw_beta(alpha, generator) for _ in range(batch_size)])
    else:
        weights = seeded_mixing_weights(alpha, seed, batch_size)
    return mix_clips(features, weights, partners), mix_clips(targets, weights, partners)


def band_mask(width_uniform: torch.Tensor, start_uniform: torch.Tensor, size: int, max_width: float) -> torch.Tensor:
    """One band per clip along an axis: width int(u1 * max_width), start int(u2 * (size - u1 * max_width)).

    Args:
        width_uniform, start_uniform: (B,) in [0, 1), u1 and u2.
        size: length of the axis.
        max_width: widest band, not necessarily a whole number.
    Returns:
        (B, size) bool, True inside the band.
    """
    width = width_uniform * max_width
    start = (start_uniform * (size - width)).long()
    end = start + width.long()
    position = torch.arange(size, device=start.device)
    return (position >= start[:, None]) & (position < end[:, None])


def hide_bands(
    features: torch.Tensor, max_bins: float, max_frames: float, fill: float, generator: torch.Generator
) -> torch.Tensor:
    """Fills one frequency band and one time band of every clip.

    The draws are u1 and u2 of the frequency band, then of the time band, each for the whole batch at once.

    Args:
        features: (B, T, F).
        max_bins, max_frames: widest bands, not necessarily whole numbers; 0 hides nothing on that axis.
    Raises:
        ValueError: a band may be wider than its axis, or the features have no bands.
    """
    check_spectrogram(features, "SpecAugment (augment.frequency_mask, .time_mask, .mask_ratio)", 3)
    batch_size, num_frames, num_bins = features.shape
    if max_bins > num_bins or max_frames > num_frames:
        raise ValueError(
            f"SpecAugment is to hide up to {max_bins:g} mel bins and {max_frames:g} frames, but the spectrogram has "
            f"{num_bins} and {num_frames}"
        )
    draws = [torch.rand(batch_size, generator=generator).to(features.device) for _ in range(4)]
    hidden_bins = band_mask(draws[0], draws[1], num_bins, max_bins)
    hidden_frames = band_mask(draws[2], draws[3], num_frames, max_frames)
    return features.masked_fill(hidden_frames[:, :, None] | hidden_bins[:, None, :], fill)


def spec_augment(features: torch.Tensor, mask_ratio: float, generator: torch.Generator) -> torch.Tensor:
    """`hide_bands` of normalised features (B, T, F) with 0, the data set's mean; bands as shares of their axes."""
    num_frames, num_bins = features.shape[-2:]
    return hide_bands(features, mask_ratio * num_bins, mask_ratio * num_frames, 0.0, generator)


def check_spectrogram(features: torch.Tensor, name: str, num_axes: int) -> None:
    """Raises ValueError for waveforms, which have no bands."""
    if features.ndim != num_axes:
        raise ValueError(f"{name} is made for spectrograms, but this model hears waveforms: leave it out")
