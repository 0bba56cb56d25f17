import dataclasses
import pathlib
import pickle

import numpy
import pytest
import soundfile
import torch

from modeling_sslam.audio_resampling import resample
from tests.training.soundscapes.sound_folders import RATE, write_sound
from training.soundscapes.loudness import LOWEST, integrated_loudness
from training.soundscapes.rendering import UnreadableSourceError, fade, read_source, render_soundscape
from training.soundscapes.soundscape import BACKGROUND, PlacedSound, Soundscape

SOUND = PlacedSound("dog", "dog.wav", 0.25, 0.5, 0.8, 20.0)
HUM = PlacedSound("hum", "hum.wav", 0.0, 0.0, 2.0, 0.0, BACKGROUND)


@pytest.fixture
def folder(tmp_path):
    write_sound(tmp_path / "dog.wav", 3.0)
    write_sound(tmp_path / "hum.wav", 0.7, seed=1)
    soundfile.write(tmp_path / "silence.wav", numpy.zeros(2 * RATE), RATE)
    return tmp_path


def render(folder, *sounds, rate=RATE, ref_db=-50.0, fix_clipping=True):
    soundscape = Soundscape(2.0, ref_db, sounds, fix_clipping=fix_clipping)
    return render_soundscape(soundscape, rate, lambda sound: folder / sound.source_file, with_stems=True)


def test_a_sound_is_where_and_as_loud_as_it_was_asked_to_be(folder):
    rendered = render(folder, SOUND)
    assert (rendered.samples.shape, rendered.samples.dtype) == ((2 * RATE,), numpy.float32)
    heard = numpy.flatnonzero(rendered.samples)
    assert heard[0] == int(0.5 * RATE) + 1  # the fade begins with 0
    assert heard[-1] == int(1.3 * RATE) - 2
    middle = rendered.samples[int(0.55 * RATE) : int(1.25 * RATE)]
    assert integrated_loudness(middle, RATE) == pytest.approx(-30.0, abs=0.3)
    assert rendered.scale_factor == 1.0


def test_the_stretch_of_the_source_that_was_asked_for(folder):
    samples, _ = soundfile.read(folder / "dog.wav")
    taken = samples[int(0.25 * RATE) : int(1.05 * RATE)]
    rendered = render(folder, SOUND)
    assert rendered.loudness == pytest.approx([integrated_loudness(taken, RATE)])
    fade_samples = int(0.01 * RATE)
    inner = slice(int(0.5 * RATE) + fade_samples, int(1.3 * RATE) - fade_samples)
    gain = 10 ** ((-30.0 - rendered.loudness[0]) / 20)
    assert rendered.samples[inner] == pytest.approx(gain * taken[fade_samples:-fade_samples], abs=1e-6)


def test_a_short_background_is_repeated_and_not_faded(folder):
    samples, _ = soundfile.read(folder / "hum.wav")
    rendered = render(folder, HUM)
    whole = numpy.resize(samples, 2 * RATE)
    gain = 10 ** ((-50.0 - integrated_loudness(whole, RATE)) / 20)
    assert rendered.samples == pytest.approx(gain * whole, abs=1e-6)


def test_the_mixture_is_the_sum_of_its_stems(folder):
    rendered = render(folder, HUM, SOUND, dataclasses.replace(SOUND, event_time=1.9))
    assert rendered.stems.shape == (3, 2 * RATE)
    assert rendered.samples == pytest.approx(rendered.stems.sum(axis=0), abs=1e-7)
    assert len(rendered.loudness) == 3
    assert not rendered.stems[2, : int(1.9 * RATE)].any()
    assert rendered.stems[2, -1] != 0


def test_stems_are_kept_on_request_only(folder):
    soundscape = Soundscape(2.0, -50.0, (SOUND,))
    assert render_soundscape(soundscape, RATE, lambda sound: folder / sound.source_file).stems is None


def test_clipping_is_corrected_on_request(folder):
    loud = dataclasses.replace(SOUND, snr=60.0)
    free = render(folder, HUM, loud, fix_clipping=False)
    peak = numpy.abs(free.samples).max()
    assert (peak > 1, free.scale_factor) == (True, 1.0)
    fixed = render(folder, HUM, loud)
    assert fixed.scale_factor == pytest.approx(1 / peak)
    assert fixed.samples == pytest.approx(free.samples / peak, abs=1e-6)
    assert numpy.abs(fixed.samples).max() <= 1
    assert fixed.stems.sum(axis=0) == pytest.approx(fixed.samples, abs=1e-6)


def test_silence_stays_silent(folder):
    rendered = render(folder, dataclasses.replace(SOUND, source_file="silence.wav"))
    assert rendered.loudness == (LOWEST,)
    assert not rendered.samples.any()


def test_nothing_at_all(folder):
    rendered = render(folder)
    assert (rendered.samples.shape, rendered.scale_factor) == ((2 * RATE,), 1.0)
    assert not rendered.samples.any()


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_a_stretched_sound_lasts_as_long_as_its_annotation(folder, factor):
    sound = dataclasses.replace(SOUND, time_stretch=factor)
    heard = numpy.flatnonzero(render(folder, sound).samples) / RATE
    assert heard[[0, -1]] == pytest.approx([sound.event.onset, sound.event.offset], abs=0.002)


def test_a_shifted_pitch(tmp_path):
    soundfile.write(tmp_path / "dog.wav", 0.1 * numpy.sin(2 * numpy.pi * 500 * numpy.arange(2 * RATE) / RATE), RATE)
    samples = render(tmp_path, dataclasses.replace(SOUND, pitch_shift=12.0)).samples
    assert numpy.abs(numpy.fft.rfft(samples)).argmax() / 2.0 == pytest.approx(1000, abs=2)


def test_fades_are_a_quarter_of_a_sine():
    faded = fade(numpy.ones(10), 3, 2)
    assert faded == pytest.approx([0, numpy.sqrt(0.5), 1, 1, 1, 1, 1, 1, 1, 0])
    assert fade(numpy.ones(2), 5, 0) == pytest.approx([0, 1])
    assert fade(numpy.ones(3), 0, 0) == pytest.approx([1, 1, 1])


def test_only_the_stretch_is_read(tmp_path):
    path = write_sound(tmp_path / "long.flac", 20.0)
    samples, _ = soundfile.read(path)
    assert numpy.array_equal(read_source(path, 12.5, 1.0, RATE), samples[int(12.5 * RATE) : int(13.5 * RATE)])
    assert len(read_source(path, 19.5, 1.0, RATE)) == RATE // 2
    assert len(read_source(path, 1.0, 1e-9, RATE)) == 1


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_formats(tmp_path, suffix):
    path = write_sound(tmp_path / f"sound.{suffix}", 3.0, rate=16000)
    seconds = soundfile.info(path).duration
    assert len(read_source(path, seconds - 0.5, 0.5, 16000)) == pytest.approx(8000, abs=1)


def test_channels_are_averaged_and_rates_made_equal(tmp_path):
    stereo = numpy.random.default_rng(0).normal(0, 0.1, (RATE, 2))
    soundfile.write(tmp_path / "stereo.wav", stereo, RATE, subtype="DOUBLE")
    mono = read_source(tmp_path / "stereo.wav", 0.0, 1.0, RATE)
    assert mono == pytest.approx(stereo.mean(axis=1))
    want = resample(torch.from_numpy(mono), RATE, 22050)
    assert read_source(tmp_path / "stereo.wav", 0.0, 1.0, 22050) == pytest.approx(want.numpy(), abs=1e-6)


def damaged_flac(folder: pathlib.Path) -> pathlib.Path:
    """A file whose header is whole, and whose second half is not there."""
    path = write_sound(folder / "damaged.flac", 4.0)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "lost.wav", r"cannot read .*lost.wav: .*(No such file|opening)"),
        (damaged_flac, r"cannot read .*damaged.flac: "),
        (lambda folder: write_sound(folder / "short.wav", 1.0), "it lasts 1.0 s, and is to start at 3.0 s"),
    ],
)
def test_what_cannot_be_read(tmp_path, make, message):
    with pytest.raises(UnreadableSourceError, match=message) as raised:
        read_source(make(tmp_path), 3.0, 0.5, RATE)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_samples_that_are_no_numbers(tmp_path):
    samples = numpy.full(RATE, numpy.nan)
    soundfile.write(tmp_path / "sound.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match="it has samples that are no finite numbers"):
        read_source(tmp_path / "sound.wav", 0.0, 1.0, RATE)
