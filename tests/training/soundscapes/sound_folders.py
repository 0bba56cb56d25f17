"""Small folders of sounds for tests."""

import pathlib

import numpy
import soundfile

from training.settings.recipe import write_arguments
from training.settings.synthesis import SourceArguments, SynthesisArguments

RATE = 8000
CLASSES = ("bell", "dog", "glass")


def write_sound(path: pathlib.Path, seconds: float = 1.0, seed: int = 0, rate: int = RATE, **kwargs) -> pathlib.Path:
    """Noise at -20 dB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, numpy.random.default_rng(seed).normal(0, 0.1, round(seconds * rate)), rate, **kwargs)
    return path


def cut_in_half(path: pathlib.Path) -> None:
    """Its header still says how long it was."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def write_collections(folder: pathlib.Path) -> SynthesisArguments:
    """Events of three classes, which have 1, 2 and 3 files, a background, and a recipe for them."""
    for index, label in enumerate(CLASSES):
        for number in range(index + 1):
            write_sound(folder / "events" / label / f"{number}.wav", 0.4 + number, seed=10 * index + number)
    write_sound(folder / "background" / "hum" / "0.wav", 4.0, seed=99)
    arguments = SynthesisArguments(
        events=SourceArguments(path=str(folder / "events")),
        background=SourceArguments(path=str(folder / "background")),
    )
    arguments.mixture.duration, arguments.mixture.sampling_rate = 2.0, RATE
    return arguments


def write_recipe(path: pathlib.Path, arguments: SynthesisArguments) -> str:
    """The recipe as a file, for `data.path`."""
    write_arguments(arguments, path)
    return str(path)
