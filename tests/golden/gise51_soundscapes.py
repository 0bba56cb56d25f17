"""Cases of GISE-51's soundscapes: how they are drawn, and how they are mixed."""

from __future__ import annotations

import pathlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import soundfile
import torch
from scipy.stats import chisquare, ks_2samp

from modeling_sslam.annotations.events import SoundEvent, clip_targets, max_polyphony
from training.settings.synthesis import MixtureArguments
from training.soundscapes.drawing import SoundscapeDrawer, place_event
from training.soundscapes.polyphony import polyphony_gini
from training.soundscapes.rendering import render_soundscape
from training.soundscapes.soundscape import BACKGROUND, PlacedSound, Soundscape, in_time_order
from training.soundscapes.sources import SoundCollection, Source

from .registry import Check, Tensors, case, check_options, close, exact

SECONDS, SAMPLES, DECIBELS, LEAST_P = 1e-5, 1e-6, 1e-3, 1e-3
SEED = 0


@case("gise51/mix")
def mix(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    soundscape, rate = mixed_soundscape(config, tensors), config["sample_rate"]
    with tempfile.TemporaryDirectory() as folder:
        for name in (name for name in tensors if "_source" in name):
            soundfile.write(pathlib.Path(folder, name), tensors[name].numpy(), rate, "FLOAT", format="WAV")
        rendered = render_soundscape(
            soundscape, rate, lambda sound: pathlib.Path(folder, sound.source_file), with_stems=True
        )
    yield close("mixture", torch.from_numpy(rendered.samples), tensors["mixture"], atol=SAMPLES)
    for index, stem in enumerate(rendered.stems):
        yield close(f"event {index}", torch.from_numpy(stem), tensors[f"event.{index}"], atol=SAMPLES)
    yield close("loudness", torch.tensor(rendered.loudness), tensors["lufs"], atol=DECIBELS)
    yield close("scale factor", torch.tensor([rendered.scale_factor]), tensors["scale_factor"], atol=SAMPLES)
    events = [sound.event for sound in soundscape.sounds]
    times = torch.tensor([[event.onset, event.offset] for event in events])
    yield close("annotation", times, tensors["annot"], atol=SECONDS)


def mixed_soundscape(config: dict, tensors: Tensors) -> Soundscape:
    """The soundscape of a case, whose files are named as its tensors."""
    duration = config["duration"]
    sounds = [PlacedSound("background", "bg_source", 0.0, 0.0, duration, 0.0, BACKGROUND)]
    for index, event in enumerate(config["events"]):
        name = f"fg_source.{index}"
        source = Source(name, "foreground", len(tensors[name]) / config["sample_rate"])
        drawn = event["event_duration_requested"], None, event["source_time"], event["event_time"], event["snr"]
        sounds.append(place_event(source, *drawn, duration))
    fade = config["fade_s"]
    return Soundscape(duration, config["ref_db"], in_time_order(sounds), fade, fade, config["fix_clipping"])


@case("gise51/sampling")
def sampling(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    check_options(config, pitch_shift=None)
    yield from _rules(config, tensors)
    yield from _annotations(config, tensors)
    yield from _statistics(config, tensors)


def _rules(config: dict, tensors: Tensors) -> Iterator[Check]:
    """The recorded draws, made to fit."""
    names = ("source_duration", "event_duration", "time_stretch", "source_time", "event_time", "snr")
    columns = [tensors["ev_source_duration"], *(tensors[f"draw_{name}"] for name in names[1:])]
    placed = []
    for seconds, *drawn in zip(*(column.double().tolist() for column in columns), strict=True):
        if config["time_stretch"] is None:
            drawn[1] = None
        placed.append(place_event(Source("", "", seconds), *drawn, config["duration"]))
    for name in ("event_duration", "event_time", "source_time"):
        got = torch.tensor([getattr(sound, name) for sound in placed])
        yield close(name, got, tensors[f"ev_{name}"], atol=SECONDS)
    times = torch.tensor([[sound.event.onset, sound.event.offset] for sound in placed])
    yield close("onset", times[:, 0], tensors["ev_onset"], atol=SECONDS)
    yield close("offset", times[:, 1], tensors["ev_offset"], atol=SECONDS)


def _annotations(config: dict, tensors: Tensors) -> Iterator[Check]:
    """What follows from the recorded events of each soundscape."""
    events: list[list[SoundEvent]] = [[] for _ in range(config["num_soundscapes"])]
    columns = [tensors[f"ev_{name}"].tolist() for name in ("soundscape", "onset", "offset", "class")]
    for soundscape, onset, offset, label in zip(*columns, strict=True):
        events[soundscape].append(SoundEvent(onset, offset, config["class_names"][label]))
    yield exact("events", torch.tensor([len(of_one) for of_one in events]), tensors["n_events"])
    yield exact("polyphony", torch.tensor([max_polyphony(of_one) for of_one in events]), tensors["polyphony_max"])
    gini = torch.tensor([polyphony_gini(of_one, config["duration"]) for of_one in events])
    yield close("Gini of the polyphony", gini, tensors["polyphony_gini"], atol=SECONDS)
    targets = torch.stack([clip_targets(of_one, config["class_names"]) for of_one in events])
    yield exact("targets", targets.bool(), tensors["multi_hot"])


def _statistics(config: dict, tensors: Tensors) -> Iterator[Check]:
    """As many soundscapes of our own."""
    names, seconds = config["class_names"], tensors["file_duration"].tolist()
    labels = [names[index] for index in tensors["file_class"].tolist()]
    sources = [Source(str(file), *of_file) for file, of_file in enumerate(zip(labels, seconds, strict=True))]
    collection = SoundCollection(pathlib.Path(), tuple(sources))
    yield close("weights", torch.from_numpy(collection.balancing_weights), tensors["file_weight"], rtol=1e-6)

    ranges = ("event_duration", "event_time", "source_time", "snr", "time_stretch")
    sizes = ("duration", "ref_db", "min_events", "max_events")
    drawer = SoundscapeDrawer(MixtureArguments(**{name: config[name] for name in ranges + sizes}), collection, None)
    random = np.random.default_rng(SEED)
    drawn = [drawer.draw(random).foreground for _ in range(config["num_soundscapes"])]
    sounds = [sound for of_one in drawn for sound in of_one]

    yield _same_distribution("onsets", [sound.event.onset for sound in sounds], tensors["ev_onset"])
    recorded = tensors["ev_offset"] - tensors["ev_onset"]
    yield _same_distribution("durations", [sound.duration for sound in sounds], recorded)
    yield _same_distribution("SNR", [sound.snr for sound in sounds], tensors["ev_snr"])
    if config["time_stretch"] is not None:
        stretches = [sound.time_stretch for sound in sounds]
        yield _same_distribution("time stretches", stretches, tensors["ev_time_stretch"])
    counts = range(config["min_events"], config["max_events"] + 1)
    yield _as_expected("numbers of events", [len(of_one) for of_one in drawn], dict.fromkeys(counts, 1.0))
    weights: Counter[str] = Counter()
    for label, weight in zip(labels, tensors["file_weight"].tolist(), strict=True):
        weights[label] += weight
    yield _as_expected("classes", [sound.label for sound in sounds], weights)


def _same_distribution(name: str, ours: Sequence[float], theirs: torch.Tensor) -> Check:
    """Two-sample Kolmogorov-Smirnov test."""
    # The recorded values are float32: only so do the many events that end with the soundscape tie.
    return _likely(name, ks_2samp(np.float32(ours), theirs.numpy()).pvalue)


def _as_expected(name: str, values: Sequence, weights: dict) -> Check:
    """Chi-square test of how often each value occurs."""
    count = Counter(values)
    if unexpected := set(count) - set(weights):
        raise ValueError(f"{name}: drew {sorted(unexpected)}")
    share = len(values) / sum(weights.values())
    observed = [count[value] for value in weights]
    return _likely(name, chisquare(observed, [weight * share for weight in weights.values()]).pvalue)


def _likely(name: str, p: float) -> Check:
    return Check(f"{name}: p = {p:.2g}", 1 - p, 1 - LEAST_P)
