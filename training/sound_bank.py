"""A bank of procedural sound events and soundscapes: `python -m training.sound_bank FOLDER`.

Every clip is a function of (seed, index) alone. The classes share pitch ranges, durations and levels, so that what
tells them apart is how they move in time and frequency, not their average spectrum.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import pathlib
from collections.abc import Callable

import numpy
import soundfile
from scipy.signal import butter, lfilter, sosfilt

LOWEST_PITCH, HIGHEST_PITCH = 200.0, 1600.0  # Hz, of every pitched class
SHORTEST_EVENT, LONGEST_EVENT = 0.4, 1.2  # seconds
PEAK = 0.95

Random = numpy.random.Generator


@dataclasses.dataclass(frozen=True)
class BankConfig:
    """What to generate.

    Attributes:
        num_events: clips with one event each, the classes in turn.
        num_soundscapes: clips with several events of different classes at once.
        seconds: length of every clip.
        test_share: the last share of each kind is the test split.
    """

    num_events: int = 600
    num_soundscapes: int = 600
    seconds: float = 3.0
    test_share: float = 0.25
    max_events: int = 4
    sampling_rate: int = 16_000
    seed: int = 0

    def __post_init__(self):
        if self.seconds < LONGEST_EVENT:
            raise ValueError(f"clips of {self.seconds} s cannot hold an event, which may last {LONGEST_EVENT} s")
        if not 2 <= self.max_events <= len(EVENTS):
            raise ValueError(f"max_events is {self.max_events}: a soundscape has 2 to {len(EVENTS)} classes")


def _pitch(random: Random, lowest: float = LOWEST_PITCH, highest: float = HIGHEST_PITCH) -> float:
    """A frequency in Hz, uniform in octaves."""
    return float(lowest * (highest / lowest) ** random.random())


def _phase(frequency: numpy.ndarray, rate: int) -> numpy.ndarray:
    """Phase in radians of a momentary frequency in Hz."""
    return 2 * numpy.pi * numpy.cumsum(frequency) / rate


def _harmonics(phase: numpy.ndarray, random: Random) -> numpy.ndarray:
    """A tone of four harmonics with random strengths that fall with their number."""
    number = numpy.arange(1, 5)
    strength = (0.5 + random.random(4)) / number
    return (strength[:, None] * numpy.sin(number[:, None] * phase)).sum(axis=0)


def chirp(random: Random, time: numpy.ndarray, rate: int) -> numpy.ndarray:
    """A tone that glides one to two octaves, up or down, once."""
    octaves = random.choice([-1, 1]) * random.uniform(1.0, 2.0)
    return numpy.sin(_phase(_pitch(random) * 2 ** (octaves * time / time[-1]), rate))


def siren(random: Random, time: numpy.ndarray, rate: int) -> numpy.ndarray:
    """A tone whose pitch goes up and down by more than half an octave, two to four times a second."""
    swing = numpy.sin(2 * numpy.pi * (random.uniform(2.0, 4.0) * time + random.random()))
    return numpy.sin(_phase(_pitch(random) * 2 ** (random.uniform(0.6, 1.0) * swing), rate))


def vibrato_tone(random: Random, time: numpy.ndarray, rate: int) -> numpy.ndarray:
    """A harmonic tone whose pitch wavers by about a semitone, five to eight times a second."""
    waver = numpy.sin(2 * numpy.pi * (random.uniform(5.0, 8.0) * time + random.random()))
    return _harmonics(_phase(_pitch(random) * 2 ** (random.uniform(0.06, 0.12) * waver), rate), random)


def tremolo_tone(random: Random, time: numpy.ndarray, rate: int) -> numpy.ndarray:
    """A harmonic tone of constant pitch whose level beats five to eight times a second."""
    beat = 0.55 + 0.45 * numpy.sin(2 * numpy.pi * (random.uniform(5.0, 8.0) * time + random.random()))
    return beat * _harmonics(_phase(numpy.full_like(time, _pitch(random)), rate), random)


def bell(random: Random, time: numpy.ndarray, rate: int) -> numpy.ndarray:
    """Frequency modulation at an inharmonic ratio; brightness and level decay."""
    pitch, ratio = _pitch(random), random.uniform(1.3, 1.9)
    decay = numpy.exp(-time / random.uniform(0.15, 0.4))
    modulator = random.uniform(2.0, 5.0) * decay * numpy.sin(2 * numpy.pi * ratio * pitch * time)
    return decay * numpy.sin(2 * numpy.pi * pitch * time + modulator)


def plucked_string(random: Random, time: numpy.ndarray, rate: int) -> numpy.ndarray:
    """Karplus-Strong: a burst of noise that circulates in a delay line with an averaging filter."""
    delay = round(rate / _pitch(random, highest=HIGHEST_PITCH / 2))
    burst = numpy.zeros_like(time)
    burst[:delay] = random.uniform(-1, 1, delay)
    damping = random.uniform(0.98, 0.998)
    return lfilter([1.0], [1.0, *numpy.zeros(delay - 1), -damping / 2, -damping / 2], burst)


def drum_hit(random: Random, time: numpy.ndarray, rate: int) -> numpy.ndarray:
    """A falling low tone with a burst of noise at its beginning, struck once or twice."""
    fall = numpy.exp(-time / 0.05)
    tone = numpy.sin(_phase(random.uniform(60.0, 150.0) * (1 + 2 * fall), rate))
    hit = tone * numpy.exp(-time / random.uniform(0.08, 0.2)) + 0.4 * fall * random.standard_normal(len(time))
    return hit + random.integers(0, 2) * 0.8 * numpy.roll(hit, len(time) // 2)


def noise_burst(random: Random, time: numpy.ndarray, rate: int) -> numpy.ndarray:
    """Wide-band noise that decays, once."""
    return random.standard_normal(len(time)) * numpy.exp(-time / random.uniform(0.1, 0.3))


def band_noise(random: Random, time: numpy.ndarray, rate: int) -> numpy.ndarray:
    """Steady noise in a band of about an octave."""
    low = _pitch(random)
    band = butter(2, [low, low * random.uniform(1.6, 2.4)], "bandpass", fs=rate, output="sos")
    return sosfilt(band, random.standard_normal(len(time)))


def click_train(random: Random, time: numpy.ndarray, rate: int) -> numpy.ndarray:
    """Eight to twenty clicks a second, each ringing for a moment."""
    clicks = numpy.zeros_like(time)
    clicks[:: round(rate / random.uniform(8.0, 20.0))] = 1.0
    angle, radius = 2 * numpy.pi * _pitch(random) * 2 / rate, 0.97
    return lfilter([1.0], [1.0, -2 * radius * numpy.cos(angle), radius**2], clicks)


EVENTS: dict[str, Callable[[Random, numpy.ndarray, int], numpy.ndarray]] = {
    event.__name__: event
    for event in (
        band_noise,
        bell,
        chirp,
        click_train,
        drum_hit,
        noise_burst,
        plucked_string,
        siren,
        tremolo_tone,
        vibrato_tone,
    )
}


def render_event(name: str, random: Random, rate: int) -> numpy.ndarray:
    """One event of class `name`, (N,) float64 with root mean square 1 and ends faded over 10 ms."""
    time = numpy.arange(round(random.uniform(SHORTEST_EVENT, LONGEST_EVENT) * rate)) / rate
    sound = EVENTS[name](random, time, rate)
    fade = numpy.minimum(1.0, numpy.minimum(time, time[::-1]) / 0.01)
    return sound * fade / numpy.sqrt(numpy.mean(sound**2))


def render_clip(names: list[str], random: Random, config: BankConfig) -> numpy.ndarray:
    """Events of the given classes at random times and levels over a background of brown-to-white noise.

    Returns:
        (N,) float32, peak at most 0.95.
    """
    num_samples = round(config.seconds * config.sampling_rate)
    background = lfilter([1.0], [1.0, -random.uniform(0.0, 0.95)], random.standard_normal(num_samples))
    clip = background * 10 ** (random.uniform(-40.0, -20.0) / 20) / background.std()
    for name in names:
        event = render_event(name, random, config.sampling_rate)
        start = random.integers(num_samples - len(event) + 1)
        clip[start : start + len(event)] += event * 10 ** (random.uniform(-9.0, 0.0) / 20)
    loudness = 0.1 * 10 ** (random.uniform(-6.0, 6.0) / 20)
    clip *= min(loudness, PEAK / numpy.abs(clip).max())
    return clip.astype(numpy.float32)


def draw_classes(kind: str, index: int, random: Random, config: BankConfig) -> list[str]:
    """Class of an event (they take turns), or the distinct classes of a soundscape."""
    if kind == "event":
        return [list(EVENTS)[index % len(EVENTS)]]
    number = random.integers(2, config.max_events + 1)
    return sorted(random.choice(list(EVENTS), size=number, replace=False).tolist())


def write_bank(folder: pathlib.Path, config: BankConfig) -> pathlib.Path:
    """Writes `audio/*.flac` and `clips.csv` with the columns filename, kind, split and labels (joined by ";").

    Returns:
        path of the CSV; `filename` is relative to its folder.
    """
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    rows = []
    for kind_index, (kind, number) in enumerate(
        {"event": config.num_events, "soundscape": config.num_soundscapes}.items()
    ):
        for index in range(number):
            random = numpy.random.default_rng([config.seed, kind_index, index])
            names = draw_classes(kind, index, random, config)
            filename = f"audio/{kind}_{index:05d}.flac"
            soundfile.write(folder / filename, render_clip(names, random, config), config.sampling_rate)
            split = "train" if index < (1 - config.test_share) * number else "test"
            rows.append({"filename": filename, "kind": kind, "split": split, "labels": ";".join(names)})
    path = folder / "clips.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["filename", "kind", "split", "labels"])
        writer.writeheader()
        writer.writerows(rows)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    for field in dataclasses.fields(BankConfig):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    arguments = vars(parser.parse_args())
    print(write_bank(arguments.pop("folder"), BankConfig(**arguments)))


if __name__ == "__main__":
    main()
