import numpy
import pytest
from scipy.signal import freqz_sos

from training.soundscapes.loudness import LOWEST, integrated_loudness, k_weighting

# ITU-R BS.1770-4, tables 1 and 2, at 48 kHz
RECOMMENDATION = [
    [1.53512485958697, -2.69169618940638, 1.19839281085285, 1, -1.69065929318241, 0.73248077421585],
    [1, -2, 1, 1, -1.99004745483398, 0.99007225036621],
]


def sine(seconds: float, rate: int, amplitude: float = 1.0, frequency: float = 997.0) -> numpy.ndarray:
    return amplitude * numpy.sin(2 * numpy.pi * frequency * numpy.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize(("rate", "tolerance"), [(48000, 0.05), (44100, 0.05), (22050, 0.06), (16000, 0.1)])
def test_a_full_scale_sine_of_997_hz(rate, tolerance):
    assert integrated_loudness(sine(3, rate), rate) == pytest.approx(-3.01, abs=tolerance)


def test_gains_are_those_of_the_recommendation():
    frequencies = numpy.geomspace(20, 20000, 100)
    want = numpy.abs(freqz_sos(RECOMMENDATION, frequencies, fs=48000)[1])
    got = numpy.abs(freqz_sos(k_weighting(48000), frequencies, fs=48000)[1])
    assert numpy.abs(20 * numpy.log10(got / want)).max() < 0.05


def test_a_gain_in_decibels_is_one_in_lufs():
    noise = numpy.random.default_rng(0).normal(0, 0.1, 48000)
    louder = integrated_loudness(10 ** (7 / 20) * noise, 16000)
    assert louder == pytest.approx(integrated_loudness(noise, 16000) + 7)


def test_pauses_do_not_count():
    """Blocks 10 LU below the mean are left out: half of silence would else cost 3 LU."""
    tone = sine(4, 16000)
    with_pause = numpy.concatenate([tone, numpy.zeros_like(tone)])
    assert integrated_loudness(with_pause, 16000) == pytest.approx(integrated_loudness(tone, 16000), abs=0.3)
    with_whisper = numpy.concatenate([tone, 10 ** (-30 / 20) * tone])
    assert integrated_loudness(with_whisper, 16000) == pytest.approx(integrated_loudness(tone, 16000), abs=0.3)


def test_short_signals_are_repeated():
    short = sine(0.2, 16000, frequency=500)
    assert integrated_loudness(short, 16000) == pytest.approx(integrated_loudness(numpy.tile(short, 3), 16000))
    assert integrated_loudness(numpy.array([0.5]), 16000) > LOWEST


def test_silence_has_the_lower_bound():
    assert integrated_loudness(numpy.zeros(16000), 16000) == LOWEST
    assert integrated_loudness(sine(2, 16000, amplitude=1e-5), 16000) == LOWEST


def test_no_samples():
    with pytest.raises(ValueError, match="a signal without samples has no loudness"):
        integrated_loudness(numpy.zeros(0), 16000)


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_as_pyloudnorm(rate):
    """Scaper's meter."""
    pyloudnorm = pytest.importorskip("pyloudnorm")
    random = numpy.random.default_rng(rate)
    for seconds in (0.5, 0.73, 1.234, 5.0):
        decay = numpy.exp(-numpy.linspace(0, random.uniform(0, 9), round(seconds * rate)))
        noise = random.normal(0, 0.2, len(decay)) * decay
        want = pyloudnorm.Meter(rate).integrated_loudness(noise)
        assert integrated_loudness(noise, rate) == pytest.approx(want, abs=1e-9)
