"""Rows of `training.benchmark` about soundscapes: how much faster than they sound they are made and written."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
from collections.abc import Callable

import numpy
import soundfile

from training.benchmarks.measure import Row, fastest
from training.settings.synthesis import MixtureArguments, OutputArguments, SourceArguments, SynthesisArguments
from training.soundscapes.generator import SoundscapeGenerator
from training.soundscapes.set_files import SoundscapeFiles

PUBLISHED_STRETCH = ["uniform", 0.95, 1.05]
STRETCHES: dict[str, list | None] = {"without": None, "with": PUBLISHED_STRETCH}
GOALS = {"without": 40.0, "with": None}
NUM_CLASSES, SOUNDS_A_CLASS, SOUND_SECONDS = 5, 4, 6.0


def write_noises(folder: pathlib.Path, sampling_rate: int) -> None:
    """Sounds of a few classes, `<class>/<file>`; noise is the slowest that FLAC can be given."""
    generator = numpy.random.default_rng(0)
    for label in range(NUM_CLASSES):
        (folder / str(label)).mkdir(parents=True)
        for number in range(SOUNDS_A_CLASS):
            samples = generator.normal(0, 0.1, round(SOUND_SECONDS * sampling_rate))
            soundfile.write(folder / str(label) / f"{number}.wav", samples, sampling_rate)


def synthesis_rows(soundscapes: int = 40, repetitions: int = 3) -> list[Row]:
    """Drawing, mixing and writing soundscapes of 5 s at 22.05 kHz with 1 to 3 events and a background, on one thread.

    Values are seconds of audio a second.
    """
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_noises(folder / "events", MixtureArguments.sampling_rate)
        write_noises(folder / "background", MixtureArguments.sampling_rate)
        for stretching, factors in STRETCHES.items():
            arguments = SynthesisArguments(
                events=SourceArguments(path=str(folder / "events")),
                background=SourceArguments(path=str(folder / "background")),
                mixture=dataclasses.replace(MixtureArguments(), time_stretch=factors),
                output=OutputArguments(folder=str(folder / stretching), num_soundscapes=soundscapes),
            )
            seconds = fastest(writing(arguments), repetitions)
            speed = soundscapes * arguments.mixture.duration / seconds
            name = f"{soundscapes} soundscapes {stretching} stretching"
            rows.append(Row(name, seconds, f"{speed:.0f}x real time", speed, GOALS[stretching]))
    return rows


def writing(arguments: SynthesisArguments) -> Callable[[], None]:
    """Makes and writes all files of a set."""
    generator = SoundscapeGenerator(arguments)
    files = SoundscapeFiles(arguments, generator.classes)

    def work() -> None:
        for part in files.parts():
            files.write(part, map(generator.render, part))

    return work


SYNTHESIS_BENCHMARKS: dict[str, Callable[[], list[Row]]] = {"synthesis": synthesis_rows}
