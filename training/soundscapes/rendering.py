"""Makes the audio of a soundscape: each sound at its loudness, faded and put in its place, and their sum.

The arithmetic is Scaper's (Salamon et al., WASPAA 2017; version 1.6.5), which the golden cases `gise51/mix` recorded.
Differs from Scaper: durations and pitches are changed by `stretching`, not by sox, and files at another rate are
resampled by `modeling_sslam.audio_resampling`; there annotations agree, samples do not.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable

import numpy
import soundfile
import torch

from modeling_sslam.audio_io import AudioDecodingError
from modeling_sslam.audio_resampling import resample
from training.soundscapes.loudness import integrated_loudness
from training.soundscapes.soundscape import BACKGROUND, PlacedSound, Soundscape
from training.soundscapes.stretching import shift_pitch, stretch

Reader = Callable[[pathlib.Path, float, float, int], numpy.ndarray]

CLIPPING_MARGIN = 1e-10  # of Scaper: keeps a corrected peak from exceeding 1 by rounding


class UnreadableSourceError(AudioDecodingError):
    """A source that cannot be read, wholly or in the place that was asked for; the message names both."""

    def __init__(self, path: pathlib.Path, reason: str):
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"cannot read {self.path}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class RenderedSoundscape:
    """
    Attributes:
        samples: (N,) float32.
        loudness: of each sound before its gain, in LUFS, in the order of the soundscape.
        scale_factor: what the sum was multiplied by against clipping; 1 where it did not clip.
        stems: (E, N) float64, whose sum the samples are; None where they were not asked for.
    """

    samples: numpy.ndarray
    loudness: tuple[float, ...]
    scale_factor: float
    stems: numpy.ndarray | None = None


def read_source(path: pathlib.Path, start_seconds: float, seconds: float, sampling_rate: int) -> numpy.ndarray:
    """A stretch of a file, its channels averaged; no more of the file is read.

    A file that ends before the stretch does gives what it has.

    Args:
        start_seconds, seconds: where it starts and how long it is; from sample `int(start * rate)` to sample
            `int((start + seconds) * rate)` of the file, and at least one.
        sampling_rate: of the result in Hz.
    Returns:
        (N,) float64.
    Raises:
        UnreadableSourceError: a file that is missing, damaged, ends before the stretch starts, or has samples that are
            no finite numbers.
    """
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            start, stop = int(start_seconds * rate), int((start_seconds + seconds) * rate)
            count = min(max(stop, start + 1), file.frames) - start
            if count <= 0:
                raise UnreadableSourceError(
                    path, f"it lasts {file.frames / rate} s, and is to start at {start_seconds} s"
                )
            file.seek(start)
            samples = file.read(count, dtype="float64", always_2d=True).mean(axis=1)
    except (soundfile.SoundFileError, OSError) as error:
        raise UnreadableSourceError(path, str(error)) from error
    if len(samples) < count:
        raise UnreadableSourceError(path, f"it is damaged: {len(samples)} of {count} samples at {start} are there")
    if not numpy.isfinite(samples).all():
        raise UnreadableSourceError(path, "it has samples that are no finite numbers")
    if rate == sampling_rate:
        return samples
    return resample(torch.from_numpy(samples), rate, sampling_rate).double().numpy()


def render_soundscape(
    soundscape: Soundscape,
    sampling_rate: int,
    path_of: Callable[[PlacedSound], pathlib.Path],
    read: Reader = read_source,
    with_stems: bool = False,
) -> RenderedSoundscape:
    """The audio of a soundscape, computed in float64.

    A sound gets the loudness `ref_db + snr`. Where it is below -70 LUFS, silence included, it counts as -70 LUFS, so
    that it stays as much too quiet (Scaper).

    Args:
        sampling_rate: of the result in Hz.
        path_of: where the file of a sound lies.
        read: reads it; see `read_source`.
        with_stems: whether the sounds are kept one by one.
    Raises:
        UnreadableSourceError: a source that `read` refuses.
    """
    num_samples = int(soundscape.duration * sampling_rate)
    mixture = numpy.zeros(num_samples)
    stems = numpy.zeros((len(soundscape.sounds), num_samples)) if with_stems else None
    loudness = []
    for index, sound in enumerate(soundscape.sounds):
        samples = read(path_of(sound), sound.source_time, sound.event_duration, sampling_rate)
        samples, level = _levelled(samples, sound, soundscape, sampling_rate)
        loudness.append(level)
        start = int(sound.event_time * sampling_rate)
        samples = samples[: max(0, num_samples - start)]
        mixture[start : start + len(samples)] += samples
        if stems is not None:
            stems[index, start : start + len(samples)] = samples
    peak = float(numpy.abs(mixture).max(initial=0.0))
    scale_factor = 1 / (peak + CLIPPING_MARGIN) if soundscape.fix_clipping and peak > 1 else 1.0
    return RenderedSoundscape(
        samples=(mixture * scale_factor).astype(numpy.float32),
        loudness=tuple(loudness),
        scale_factor=scale_factor,
        stems=None if stems is None else stems * scale_factor,
    )


def fade(samples: numpy.ndarray, fade_in: int, fade_out: int) -> numpy.ndarray:
    """(N,) whose first and last samples rise and fall along a quarter of a sine, whose end points are 0 and 1.

    Args:
        fade_in, fade_out: numbers of samples; a shorter sound has fades as long as it.
    """
    faded = samples.copy()
    for edge, count in ((faded, fade_in), (faded[::-1], fade_out)):
        count = min(count, len(samples))
        edge[:count] *= numpy.sin(numpy.linspace(0, math.pi / 2, count))
    return faded


def _levelled(
    samples: numpy.ndarray, sound: PlacedSound, soundscape: Soundscape, sampling_rate: int
) -> tuple[numpy.ndarray, float]:
    """(the sound as long and as loud as it is in the soundscape, its loudness before)."""
    if sound.role == BACKGROUND:
        samples = numpy.resize(samples, int(soundscape.duration * sampling_rate))  # repeats what is too short
    if sound.time_stretch is not None:
        samples = stretch(samples, sound.time_stretch, sampling_rate)
    if sound.pitch_shift is not None:
        samples = shift_pitch(samples, sound.pitch_shift, sampling_rate)
    level = integrated_loudness(samples, sampling_rate)
    samples = samples * 10 ** ((soundscape.ref_db + sound.snr - level) / 20)
    if sound.role == BACKGROUND:
        return samples, level
    return fade(samples, int(soundscape.fade_in * sampling_rate), int(soundscape.fade_out * sampling_rate)), level
