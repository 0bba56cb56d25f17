import numpy
import pytest

from training.soundscapes.stretching import shift_pitch, stretch

RATE = 16000
FACTORS = (0.5, 0.8, 0.95, 1.05, 1.3, 2.0)


def tone(frequency: float, seconds: float = 1.0) -> numpy.ndarray:
    return 0.5 * numpy.sin(2 * numpy.pi * frequency * numpy.arange(round(seconds * RATE)) / RATE)


def pitch(samples: numpy.ndarray) -> float:
    """The strongest frequency in Hz."""
    spectrum = numpy.abs(numpy.fft.rfft(samples * numpy.hanning(len(samples))))
    return numpy.fft.rfftfreq(len(samples), 1 / RATE)[spectrum.argmax()]


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("frequency", [150.0, 440.0, 3000.0])
def test_a_tone_keeps_pitch_and_level(factor, frequency):
    stretched = stretch(tone(frequency), factor, RATE)
    assert pitch(stretched) == pytest.approx(frequency, abs=1 / factor)
    assert stretched.std() == pytest.approx(tone(frequency).std(), rel=0.01)
    assert numpy.abs(stretched).max() < 0.51


@pytest.mark.parametrize("factor", FACTORS)
def test_lengths(factor):
    for length in (1, 2, 50, 333, 4001):
        assert stretch(numpy.ones(length), factor, RATE).shape == (round(length * factor),)


def test_noise_keeps_its_level():
    noise = numpy.random.default_rng(0).normal(0, 0.1, RATE)
    assert stretch(noise, 1.05, RATE).std() == pytest.approx(0.1, rel=0.03)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_events_move_with_the_factor(factor):
    clicks = numpy.zeros(2 * RATE)
    clicks[RATE // 4 :: RATE // 2] = 1.0
    places = numpy.flatnonzero(stretch(clicks, factor, RATE) > 0.4) / RATE
    assert places == pytest.approx(factor * numpy.array([0.25, 0.75, 1.25, 1.75]), abs=0.03)


def test_a_factor_of_1_changes_nothing():
    samples = tone(440)
    assert numpy.array_equal(stretch(samples, 1.0, RATE), samples)
    assert numpy.array_equal(shift_pitch(samples, 0.0, RATE), samples)


def test_silence_stays_silent():
    assert not stretch(numpy.zeros(RATE), 1.05, RATE).any()


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_impossible_factors(factor):
    with pytest.raises(ValueError, match="a time stretch of .* is not possible: the factor must be above 0"):
        stretch(tone(440), factor, RATE)


@pytest.mark.parametrize("semitones", [-3.0, 2.5, 12.0])
def test_pitch_without_duration(semitones):
    shifted = shift_pitch(tone(440), semitones, RATE)
    assert len(shifted) == RATE
    assert pitch(shifted) == pytest.approx(440 * 2 ** (semitones / 12), abs=1.0)
