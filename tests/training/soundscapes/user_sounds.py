"""A user's folders of sounds for the soundscapes of `random_soundscapes`."""

import pathlib

import numpy
import soundfile

RATE = 8000


def write_user_sounds(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """(folder of events, folder of backgrounds): tones of 3 s for every class, and 10 s of noise."""
    times = numpy.arange(3 * RATE) / RATE
    for index, label in enumerate(("Dog", "Glass", "Hi-hat")):
        for number in range(3):
            tone = 0.3 * numpy.sin(2 * numpy.pi * (300 + 200 * index + 50 * number) * times)
            _write(folder / "events" / label / f"{number}.wav", tone)
    noise = numpy.random.default_rng(0).normal(0, 0.1, 20 * RATE)
    _write(folder / "background" / "noise" / "0.wav", noise)
    return folder / "events", folder / "background"


def _write(path: pathlib.Path, samples: numpy.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE)
