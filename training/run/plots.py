"""Pictures of a run: a clip with its mask, a mixture with its windows, training curves, probe results, heads."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("Agg")  # before pyplot: pictures are written to files, no display is needed

import matplotlib.pyplot as plt
import numpy
import torch
from matplotlib.axes import Axes

from modeling_sslam.audio_spectrogram import hertz_to_mel
from training.probes.head_analysis import HeadStatistics

FRAMES_PER_SECOND = 100
LOWEST_FREQUENCY, HIGHEST_FREQUENCY = 20.0, 8000.0  # Hz, edges of the mel filters
FREQUENCY_TICKS = (250, 500, 1000, 2000, 4000)  # Hz
COLOURS = ("#9aa0a6", "#1a73e8", "#d93025", "#188038")


def plot_masked_spectrogram(
    path: pathlib.Path, input_values: torch.Tensor, bool_masked_pos: torch.Tensor, patch_size: tuple[int, int]
) -> None:
    """A clip as the teacher sees it, and what one masked clone leaves the student.

    Args:
        input_values: (T, F) normalised log-mel spectrogram.
        bool_masked_pos: (L,) True = masked, time-major.
        patch_size: of a patch, in frames and mel bins.
    """
    num_frames, num_bins = patch_size
    mask = bool_masked_pos.cpu().reshape(-1, input_values.shape[1] // num_bins)
    mask = mask.repeat_interleave(num_frames, 0).repeat_interleave(num_bins, 1)
    clip = input_values.cpu()[: len(mask)]
    figure, axes = plt.subplots(2, 1, figsize=(8, 5.5), sharex=True, layout="constrained")
    limits = _limits(clip)
    image = _spectrogram(axes[0], clip, limits)
    axes[0].set_title("Clip: the teacher sees all of it")
    _spectrogram(axes[1], clip.masked_fill(mask, torch.nan), limits)
    share = bool_masked_pos.float().mean().item()
    axes[1].set_title(f"One masked clone: the student sees {1 - share:.0%}, and predicts the rest")
    axes[1].set_facecolor("#e8eaed")
    axes[1].set_xlabel("time (s)")
    figure.colorbar(image, ax=axes, label="normalised log energy")
    _save(figure, path)


def plot_mixture(
    path: pathlib.Path,
    clip: torch.Tensor,
    foreign: torch.Tensor,
    mixture: torch.Tensor,
    windows: Sequence[int],
    window: int,
) -> None:
    """A clip, the clip that is mixed into it, and their mixture with the two windows that stay unmixed.

    Args:
        clip, foreign, mixture: (T, F) normalised log-mel spectrograms.
        windows: starts of the unmixed windows in frames.
        window: their length in frames.
    """
    titles = ("Clip", "Foreign clip", "Mixture: the louder of the two, except in the windows")
    figure, axes = plt.subplots(3, 1, figsize=(8, 7.5), sharex=True, layout="constrained")
    limits = _limits(mixture)
    for axis, spectrogram, title in zip(axes, (clip, foreign, mixture), titles, strict=True):
        image = _spectrogram(axis, spectrogram.cpu(), limits)
        axis.set_title(title)
    for number, start in enumerate(windows):
        begin, end = int(start) / FRAMES_PER_SECOND, (int(start) + window) / FRAMES_PER_SECOND
        label = "unmixed window" if number == 0 else None
        axes[2].axvspan(begin, end, facecolor="none", edgecolor="white", linewidth=2, linestyle="--", label=label)
    axes[2].legend(loc="upper right", facecolor="black", labelcolor="white", framealpha=0.6)
    axes[2].set_xlabel("time (s)")
    figure.colorbar(image, ax=axes, label="normalised log energy")
    _save(figure, path)


def plot_training(path: pathlib.Path, runs: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """Loss terms above, spread of predictions and targets below; the runs one after the other.

    Args:
        runs: name -> lines of that run's `metrics.jsonl`, in order.
    """
    labels = {
        "loss_patch": "masked patches",
        "loss_class": "class token",
        "loss_retention": "source retention",
        "prediction_variance": "student's prediction",
        "target_variance": "teacher's target",
    }
    figure, axes = plt.subplots(
        2, len(runs), figsize=(4.5 * len(runs), 6), sharex="col", sharey="row", layout="constrained", squeeze=False
    )
    for column, (name, lines) in enumerate(runs.items()):
        steps = [line["step"] for line in lines]
        for number, (key, label) in enumerate(labels.items()):
            axis = axes[0 if key.startswith("loss") else 1, column]
            if key in lines[0]:
                axis.plot(
                    steps, [line[key] for line in lines], label=label, color=COLOURS[(number + 1) % len(COLOURS)]
                )
        axes[0, column].set_title(name)
        axes[1, column].set_xlabel("update")
        for axis in axes[:, column]:
            axis.grid(alpha=0.3)
            axis.legend(fontsize="small")
    axes[0, 0].set_ylabel("loss terms")
    axes[1, 0].set_ylabel("spread over tokens\n(near 0 = collapse)")
    for axis in axes[:, 0]:
        axis.set_ylim(bottom=0)
    _save(figure, path)


def plot_probes(path: pathlib.Path, results: Mapping[str, Mapping[str, float]]) -> None:
    """Grouped bars of frozen-feature probes.

    Args:
        results: task -> encoder -> score in [0, 1]; the same encoders for every task.
    """
    encoders = list(next(iter(results.values())))
    width = 0.8 / len(encoders)
    figure, axis = plt.subplots(figsize=(2.2 + 2.2 * len(results), 4.5), layout="constrained")
    for number, encoder in enumerate(encoders):
        position = numpy.arange(len(results)) + (number - (len(encoders) - 1) / 2) * width
        scores = [scores[encoder] for scores in results.values()]
        bars = axis.bar(position, scores, 0.92 * width, label=encoder, color=COLOURS[number % len(COLOURS)])
        axis.bar_label(bars, fmt="%.3f", padding=2, fontsize="small")
    axis.set_xticks(range(len(results)), list(results))
    axis.set_ylim(0, 1)
    axis.set_ylabel("score")
    axis.set_title("Probe of the frozen encoder")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=len(encoders), frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def plot_heads(
    path: pathlib.Path,
    stacks: Mapping[str, HeadStatistics],
    compared: str,
    correlation: torch.Tensor,
    num_layers: int,
    windows: Mapping[str, Sequence[int]],
) -> None:
    """Entropy and mean distance of attention, head by head, and how alike layers are.

    Args:
        stacks: name -> statistics (layers, heads).
        compared: what the correlations are between.
        correlation: (R, R) between 0 and 1, layer by layer.
        num_layers: layers among the R.
        windows: name of a stack whose heads see windows -> their tokens, 0 for all.
    """
    figure = plt.figure(figsize=(12.5, 1 + 3.2 * len(stacks)), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.6, 1))
    axes = left.subplots(len(stacks), 2, squeeze=False)
    for row, (name, statistics) in zip(axes, stacks.items(), strict=True):
        _head_map(row[0], statistics.entropy, f"{name}: entropy (nats)", windows.get(name))
        _head_map(row[1], statistics.distance, f"{name}: distance (patches)", windows.get(name))
    axis = right.subplots()
    image = axis.imshow(correlation.numpy(), cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    axis.set_title(f"PWCCA between {compared}")
    size = len(correlation) // num_layers
    middles = [(layer + 0.5) * size - 0.5 for layer in range(num_layers)]
    axis.set_xticks(middles, range(1, num_layers + 1))
    axis.set_yticks(middles, range(1, num_layers + 1))
    for layer in range(1, num_layers):
        axis.axhline(layer * size - 0.5, color="white", linewidth=0.8)
        axis.axvline(layer * size - 0.5, color="white", linewidth=0.8)
    axis.set_xlabel("layer")
    axis.set_ylabel("layer")
    right.colorbar(image, ax=axis, location="bottom", shrink=0.7)
    _save(figure, path)


def _head_map(axis: Axes, values: torch.Tensor, title: str, windows: Sequence[int] | None) -> None:
    """Draws values (layers, heads); heads are named by their window where they have one."""
    names = range(1, values.shape[1] + 1) if windows is None else [window or "all" for window in windows]
    image = axis.imshow(values.numpy(), cmap="magma", aspect="auto", interpolation="nearest", vmin=0)
    axis.set_title(title)
    axis.set_xticks(range(values.shape[1]), names)
    axis.set_yticks(range(values.shape[0]), range(1, values.shape[0] + 1))
    axis.set_xlabel("head" if windows is None else "window of the head (tokens)")
    axis.set_ylabel("layer")
    axis.figure.colorbar(image, ax=axis)


def _limits(spectrogram: torch.Tensor) -> tuple[float, float]:
    """Range of the colours; the few lowest cells, which hold no sound, would darken all the others."""
    return spectrogram.float().quantile(0.02).item(), spectrogram.max().item()


def _spectrogram(axis: Axes, spectrogram: torch.Tensor, limits: tuple[float, float]):
    """Draws a (T, F) spectrogram with seconds and Hz on its axes; NaN cells stay empty."""
    num_frames, num_bins = spectrogram.shape
    image = axis.imshow(
        spectrogram.T.numpy(),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap="magma",
        vmin=limits[0],
        vmax=limits[1],
        extent=(0, num_frames / FRAMES_PER_SECOND, 0, num_bins),
    )
    low, high = hertz_to_mel(torch.tensor([LOWEST_FREQUENCY, HIGHEST_FREQUENCY])).tolist()
    ticks = (hertz_to_mel(torch.tensor(FREQUENCY_TICKS)) - low) / (high - low) * num_bins
    axis.set_yticks(ticks.tolist(), [str(frequency) for frequency in FREQUENCY_TICKS])
    axis.set_ylabel("frequency (Hz)")
    return image


def _save(figure: plt.Figure, path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
