"""Pictures of a recording with its events below it, and of the statistics of a set."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import matplotlib
import numpy
import scipy.signal
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modeling_sslam.annotations.events import SoundEvent
from training.soundscapes.statistics import SetStatistics

VIEWS = ("spectrogram", "waveform")
WINDOW_SECONDS, HOP_SECONDS = 0.046, 0.0115  # of the spectrogram
DYNAMIC_RANGE = 80.0  # dB below the loudest bin that are shown
COLUMNS = 2000  # of a waveform, of each the smallest and the largest sample is drawn
MOST_DISTINCT = 20  # colours of matplotlib's largest map of distinct ones
LONGEST_LABEL = 30  # letters of a class name
BAR, GRID, SILENT_TEXT = "#1a73e8", "#dadce0", "#5f6368"
WIDTH, SIGNAL_HEIGHT, LANE_HEIGHT = 10.0, 3.2, 0.32  # inches
SET_HEIGHT, CLASS_HEIGHT = 8.0, 0.21  # inches
DOTS_PER_INCH = 130


def plot_recording(
    path: str | os.PathLike,
    samples: torch.Tensor,
    sampling_rate: int,
    events: Sequence[SoundEvent],
    view: str = "spectrogram",
    title: str = "",
) -> None:
    """Writes a picture of a recording, with a bar for each event on a lane of its class.

    Args:
        samples: (N,) waveform in [-1, 1].
        sampling_rate: in Hz.
        view: "spectrogram" or "waveform".
    Raises:
        ValueError: another view, or no samples.
    """
    if view not in VIEWS:
        raise ValueError(f"view is {view!r}: choose {' or '.join(VIEWS)}")
    if not len(samples):
        raise ValueError(f"{title or 'the recording'} has no samples to draw")
    lanes = event_lanes(events)
    height = LANE_HEIGHT * max(len(lanes), 1) + 0.5
    figure = Figure(figsize=(WIDTH, SIGNAL_HEIGHT + height + 0.6), layout="constrained")
    signal, bars = figure.subplots(2, 1, sharex=True, height_ratios=[SIGNAL_HEIGHT, height])
    seconds = len(samples) / sampling_rate
    draw = {"spectrogram": _draw_spectrogram, "waveform": _draw_waveform}[view]
    draw(signal, numpy.asarray(samples, dtype=numpy.float64), sampling_rate)
    signal.set_title(title)
    _draw_lanes(bars, lanes)
    bars.set_xlim(0.0, seconds)
    bars.set_xlabel("time (s)")
    _save(figure, path)


def plot_statistics(path: str | os.PathLike, statistics: SetStatistics, title: str = "") -> None:
    """Writes a picture with four panels: polyphony, durations and SNR of the events, and events of each class."""
    height = max(SET_HEIGHT, CLASS_HEIGHT * len(statistics.classes) + 1.5)
    figure = Figure(figsize=(WIDTH + 2.0, height), layout="constrained")
    panels = figure.add_gridspec(3, 2)
    _draw_polyphony(figure.add_subplot(panels[0, 0]), statistics)
    _draw_histogram(figure.add_subplot(panels[1, 0]), statistics.durations, "Duration of events", "seconds")
    _draw_histogram(figure.add_subplot(panels[2, 0]), statistics.snr, "SNR of events", "dB over the background")
    _draw_classes(figure.add_subplot(panels[:, 1]), statistics.classes)
    figure.suptitle(
        f"{title}: {statistics.num_recordings:,} recordings, {_time(statistics.seconds)}, "
        f"{len(statistics.durations):,} events".removeprefix(": ")
    )
    _save(figure, path)


def class_colours(labels: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """A colour for each class; they are distinct up to 20 classes, and neighbours in a rainbow beyond."""
    labels = sorted(set(labels))
    if len(labels) <= MOST_DISTINCT:
        distinct = matplotlib.colormaps["tab10" if len(labels) <= MOST_DISTINCT // 2 else "tab20"]
        return {label: distinct(index) for index, label in enumerate(labels)}
    return {label: matplotlib.colormaps["turbo"]((index + 0.5) / len(labels)) for index, label in enumerate(labels)}


def event_lanes(events: Iterable[SoundEvent]) -> list[list[SoundEvent]]:
    """The events on lanes without overlap, the lanes of a class together, classes in order of their first event."""
    by_label: dict[str, list[list[SoundEvent]]] = {}
    for event in sorted(events, key=lambda event: (event.onset, event.offset)):
        lanes = by_label.setdefault(event.label, [])
        free = next((lane for lane in lanes if lane[-1].offset <= event.onset), None)
        if free is None:
            lanes.append([event])
        else:
            free.append(event)
    return [lane for lanes in by_label.values() for lane in lanes]


def _draw_spectrogram(axes: Axes, samples: numpy.ndarray, sampling_rate: int) -> None:
    window = max(2, min(round(WINDOW_SECONDS * sampling_rate), len(samples)))
    hop = max(1, min(round(HOP_SECONDS * sampling_rate), window // 2))
    transform = scipy.signal.ShortTimeFFT(scipy.signal.windows.hann(window, sym=False), hop, sampling_rate)
    power = transform.spectrogram(samples)
    level = 10 * numpy.log10(numpy.maximum(power, numpy.finfo(numpy.float64).tiny))
    left, right, bottom, top = transform.extent(len(samples))
    axes.imshow(
        level,
        origin="lower",
        aspect="auto",
        extent=(left, right, bottom / 1000, top / 1000),
        cmap="magma",
        vmin=level.max() - DYNAMIC_RANGE,
        vmax=level.max(),
        interpolation="nearest",
    )
    axes.set_ylabel("frequency (kHz)")


def _draw_waveform(axes: Axes, samples: numpy.ndarray, sampling_rate: int) -> None:
    width = max(1, len(samples) // COLUMNS)
    starts = numpy.arange(0, len(samples), width)
    times = starts / sampling_rate
    low, high = numpy.minimum.reduceat(samples, starts), numpy.maximum.reduceat(samples, starts)
    axes.fill_between(times, low, high, color=BAR, linewidth=0.6)
    peak = max(abs(samples).max(), numpy.finfo(numpy.float32).eps)
    axes.set_ylim(-1.05 * peak, 1.05 * peak)
    axes.set_ylabel("amplitude")
    axes.grid(color=GRID, linewidth=0.5)
    axes.set_axisbelow(True)


def _draw_lanes(axes: Axes, lanes: Sequence[Sequence[SoundEvent]]) -> None:
    colours = class_colours(event.label for lane in lanes for event in lane)
    for row, lane in enumerate(lanes):
        for event in lane:
            colour = matplotlib.colors.to_rgba(colours[event.label], _opacity(event))
            bar = [(event.onset, event.offset - event.onset)]
            axes.broken_barh(bar, (row - 0.38, 0.76), facecolor=colour, edgecolor=colours[event.label])
    first = {label: row for row, label in reversed([(row, lane[0].label) for row, lane in enumerate(lanes)])}
    axes.set_yticks(list(first.values()), [_short(label) for label in first])
    axes.set_ylim(max(len(lanes), 1) - 0.5, -0.5)
    axes.grid(axis="x", color=GRID, linewidth=0.5)
    axes.set_axisbelow(True)
    if not lanes:
        _say(axes, "no events")


def _opacity(event: SoundEvent) -> float:
    """What a detector is less sure of is paler."""
    return 0.9 if event.confidence is None else 0.15 + 0.75 * min(max(event.confidence, 0.0), 1.0)


def _draw_polyphony(axes: Axes, statistics: SetStatistics) -> None:
    numbers = range(max([*statistics.seconds_by_polyphony, *statistics.max_polyphony]) + 1)
    series: dict[str, Mapping[int, float]] = {
        "of the time": statistics.share_by_polyphony,
        "of the recordings, at most": {
            number: count / statistics.num_recordings for number, count in statistics.max_polyphony.items()
        },
    }
    for index, ((name, shares), colour) in enumerate(zip(series.items(), (BAR, "#f29900"), strict=True)):
        places = numpy.arange(len(numbers)) + (index - 0.5) * 0.4
        axes.bar(places, [100 * shares.get(number, 0.0) for number in numbers], 0.38, label=name, color=colour)
    axes.set_xticks(list(numbers))
    axes.set(title="Polyphony", xlabel="events at once", ylabel="share (%)")
    axes.legend(frameon=False)
    _light_grid(axes, "y")


def _draw_histogram(axes: Axes, values: Sequence[float], title: str, unit: str) -> None:
    axes.set(title=title, xlabel=unit, ylabel="events")
    if not values:
        _say(axes, "not annotated")
        return
    axes.hist(values, bins=min(40, max(5, round(len(values) ** 0.5))), color=BAR, edgecolor="white", linewidth=0.5)
    _light_grid(axes, "y")


def _draw_classes(axes: Axes, classes: Mapping[str, int]) -> None:
    labels = sorted(classes, key=lambda label: (-classes[label], label))
    colours = class_colours(labels)
    bars = axes.barh(
        range(len(labels)), [classes[label] for label in labels], color=[colours[name] for name in labels]
    )
    axes.bar_label(bars, padding=2, fontsize=8, color=SILENT_TEXT)
    axes.set_yticks(range(len(labels)), [_short(label) for label in labels], fontsize=9)
    axes.set_ylim(max(len(labels), 1) - 0.4, -0.6)
    axes.margins(x=0.1)
    axes.set(title=f"Classes ({len(labels)})", xlabel="events")
    _light_grid(axes, "x")
    if not labels:
        _say(axes, "no events")


def _light_grid(axes: Axes, axis: str) -> None:
    axes.grid(axis=axis, color=GRID, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _say(axes: Axes, text: str) -> None:
    axes.set_yticks([])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=SILENT_TEXT)


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def _time(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _save(figure: Figure, path: str | os.PathLike) -> None:
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DOTS_PER_INCH)
