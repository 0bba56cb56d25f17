import numpy
import pytest

from training.soundscapes.raw_events import THRESHOLD, prepare_event, silence_window, without_silence

RATE = 22050


def parts(*seconds: tuple[float, float]) -> numpy.ndarray:
    """Tones of these amplitudes, one after the other; 0 is silence."""
    pieces = [
        amplitude * numpy.sqrt(2) * numpy.sin(2 * numpy.pi * 1000 * numpy.arange(round(length * RATE)) / RATE)
        for amplitude, length in seconds
    ]
    return numpy.concatenate(pieces)


def seconds_left(window: float, *seconds: tuple[float, float]) -> float:
    return len(without_silence(parts(*seconds), RATE, window)) / RATE


@pytest.mark.parametrize("window", [0.025, 0.05, 0.1])
def test_silence_before_between_and_after_sounds(window):
    left = seconds_left(window, (0, 0.5), (0.2, 0.4), (0, 0.7), (0.1, 0.3), (0, 0.6))
    assert left == pytest.approx(0.7, abs=0.05)  # the level falls within 20 ms of the end of a sound


def test_short_pauses_stay():
    assert seconds_left(0.1, (0.2, 0.4), (0, 0.08), (0.2, 0.4)) == pytest.approx(0.88, abs=0.01)
    assert seconds_left(0.025, (0.2, 0.4), (0, 0.08), (0.2, 0.4)) == pytest.approx(0.82, abs=0.03)


def test_a_pause_at_the_end_that_is_not_silence_yet_stays():
    assert seconds_left(0.1, (0.2, 0.4), (0, 0.05)) == pytest.approx(0.45, abs=0.01)


def test_a_noise_between_two_silences_is_no_sound():
    assert seconds_left(0.1, (0, 0.3), (0.2, 0.03), (0, 0.3), (0.2, 0.5)) == pytest.approx(0.5, abs=0.03)


def test_the_threshold():
    assert seconds_left(0.1, (0.9 * THRESHOLD, 1.0)) == 0.0
    assert seconds_left(0.1, (1.1 * THRESHOLD, 1.0)) == pytest.approx(1.0, abs=0.03)


def test_what_stays_is_as_it_was():
    samples = parts((0, 0.2), (0.2, 0.5))
    left = without_silence(samples, RATE, 0.1)
    assert numpy.array_equal(left, samples[len(samples) - len(left) :])


def test_short_events_are_repeated():
    recording = parts((0.2, 0.5))
    event = without_silence(recording, RATE, 0.1)
    prepared = prepare_event(recording, RATE, 0.1)
    assert len(prepared) == 27562  # int(1.25 s)
    assert numpy.array_equal(prepared[: len(event)], event)
    assert numpy.array_equal(prepared[len(event) : 2 * len(event)], event)
    assert len(prepare_event(parts((0.2, 2.0)), RATE, 0.1)) == pytest.approx(2 * RATE, abs=0.02 * RATE)


@pytest.mark.parametrize("recording", [numpy.zeros(RATE), numpy.zeros(0), numpy.full(219, 0.5)])
def test_nothing_is_left(recording):
    assert prepare_event(recording, RATE, 0.001) is None


def test_windows_of_the_classes():
    labels = ("Dog", "Whispering", "Glass", "Zipper_(clothing)", "Rattle_(instrument)")
    assert [silence_window(label) for label in labels] == [0.1, 0.025, 0.05, 0.05, 0.05]
    assert [silence_window(label, published_names=False) for label in labels] == [0.1, 0.025, 0.05, 0.1, 0.1]
    assert silence_window("Zipper", published_names=False) == 0.05
