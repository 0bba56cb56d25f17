import dataclasses
import pathlib
from collections import Counter

import numpy
import pytest

from training.settings.synthesis import MixtureArguments
from training.soundscapes.drawing import SoundscapeDrawer, draw_event, place_event
from training.soundscapes.soundscape import BACKGROUND, FOREGROUND
from training.soundscapes.sources import SoundCollection, Source


def collection(*classes: tuple[str, int], seconds: float = 3.0) -> SoundCollection:
    """So many files of each class."""
    sources = [Source(f"{label}/{number}.wav", label, seconds) for label, count in classes for number in range(count)]
    return SoundCollection(pathlib.Path("/nowhere"), tuple(sources))


EVENTS = collection(("bell", 1), ("dog", 2), ("glass", 6))
BACKGROUNDS = collection(("hum", 3), ("wind", 1), seconds=60.0)


def placed(seconds=4.0, duration=2.0, stretch=None, source_time=1.0, event_time=0.5, limit=5.0):
    """What `place_event` makes of draws that all fit, but for those that are given."""
    source = Source("dog/0.wav", "dog", seconds)
    return place_event(source, duration, stretch, source_time, event_time, 20.0, limit)


def test_draws_that_fit_stay_as_they_are():
    sound = placed()
    assert (sound.label, sound.source_file, sound.role, sound.snr) == ("dog", "dog/0.wav", FOREGROUND, 20.0)
    assert (sound.event_duration, sound.source_time, sound.event_time, sound.time_stretch) == (2.0, 1.0, 0.5, None)


def test_a_short_source_is_taken_whole():
    sound = placed(seconds=1.5)
    assert (sound.event_duration, sound.source_time) == (1.5, 0.0)


def test_a_source_that_is_longer_than_the_soundscape_is_cut():
    sound = placed(seconds=60.0, duration=20.0)
    assert (sound.event_duration, sound.event_time, sound.duration) == (5.0, 0.0, 5.0)
    sound = placed(seconds=60.0, duration=5.0, stretch=1.05)
    assert sound.event_duration == pytest.approx(5.0 / 1.05)
    assert sound.duration == pytest.approx(5.0)
    assert sound.event_time == pytest.approx(0.0)


def test_a_late_event_is_moved_and_not_cut():
    sound = placed(event_time=4.9)
    assert (sound.event_time, sound.event_duration, sound.event.offset) == (3.0, 2.0, 5.0)
    assert placed(event_time=4.9, stretch=1.5).event_time == pytest.approx(2.0)


def test_a_late_start_in_the_source_is_moved():
    assert placed(source_time=3.5).source_time == 2.0


def test_fields_that_are_constant_take_nothing_from_the_generator():
    """A source that is taken whole has one start: duration, start in the soundscape and SNR are left to be drawn."""
    random, reference = numpy.random.default_rng(0), numpy.random.default_rng(0)
    draw_event(MixtureArguments(), Source("a", "b", 1.0), random)
    for _ in range(3):
        reference.random()
    assert random.random() == reference.random()


def test_order_of_the_draws():
    random = numpy.random.default_rng(0)
    sound = draw_event(MixtureArguments(time_stretch=["uniform", 0.95, 1.05]), Source("a", "b", 60.0), random)
    duration, stretch, source_time, event_time, snr = numpy.random.default_rng(0).random(5)
    taken = min(1.5 + 3.5 * duration, 5 / (0.95 + 0.1 * stretch))
    assert sound.event_duration == pytest.approx(taken)
    assert sound.time_stretch == pytest.approx(0.95 + 0.1 * stretch)
    assert sound.source_time == pytest.approx((60 - taken) * source_time)
    assert sound.event_time == pytest.approx(min(5 * event_time, 5 - sound.duration))
    assert sound.snr == pytest.approx(10 + 50 * snr)


@pytest.mark.parametrize("stretch", [None, ["uniform", 0.8, 1.3], ["choose", 0.9, 1.1]])
def test_every_soundscape_keeps_the_limits(stretch):
    arguments = MixtureArguments(max_events=5, time_stretch=stretch)
    events = collection(*[(label, 2) for label in "abcdef"], seconds=2.5)
    drawer, random = SoundscapeDrawer(arguments, events, BACKGROUNDS), numpy.random.default_rng(0)
    for _ in range(200):
        soundscape = drawer.draw(random)
        background, *foreground = soundscape.sounds
        assert (background.role, background.event_time, background.duration) == (BACKGROUND, 0.0, 5.0)
        assert 0 <= background.source_time <= 55.0
        assert 1 <= len(foreground) <= 5
        assert [sound.event_time for sound in foreground] == sorted(sound.event_time for sound in foreground)
        for sound in foreground:
            assert sound.role == FOREGROUND
            assert sound.event.offset <= 5.0 + 1e-9
            assert 0 <= sound.source_time <= 2.5 - sound.event_duration + 1e-9
            assert 10 <= sound.snr <= 60


def test_settings_reach_the_soundscape():
    arguments = MixtureArguments(duration=7.0, ref_db=-50.0, fade=0.02, fix_clipping=False)
    soundscape = SoundscapeDrawer(arguments, EVENTS, None).draw(numpy.random.default_rng(0))
    assert (soundscape.duration, soundscape.ref_db) == (7.0, -50.0)
    assert (soundscape.fade_in, soundscape.fade_out, soundscape.fix_clipping) == (0.02, 0.02, False)
    assert soundscape.sounds == soundscape.foreground


def test_the_same_generator_gives_the_same_soundscape():
    drawer = SoundscapeDrawer(MixtureArguments(), EVENTS, BACKGROUNDS)
    draw = [drawer.draw(numpy.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert draw[0] == draw[1] != draw[2]


@pytest.mark.parametrize(("balanced", "shares"), [(True, [1 / 3] * 3), (False, [1 / 9, 2 / 9, 6 / 9])])
def test_classes_or_files_are_equally_likely(balanced, shares):
    arguments = MixtureArguments(min_events=3, balance_classes=balanced)
    drawer, random = SoundscapeDrawer(arguments, EVENTS, BACKGROUNDS), numpy.random.default_rng(0)
    drawn = [drawer.draw(random) for _ in range(1500)]
    count = Counter(sound.label for soundscape in drawn for sound in soundscape.foreground)
    assert [count[label] / 4500 for label in EVENTS.classes] == pytest.approx(shares, abs=0.03)
    backgrounds = Counter(soundscape.sounds[0].label for soundscape in drawn)
    assert backgrounds["hum"] / 1500 == pytest.approx(0.5, abs=0.04)


def test_what_may_not_be_repeated_is_not():
    random = numpy.random.default_rng(0)
    arguments = MixtureArguments(min_events=3, repeat_labels=False)
    drawer = SoundscapeDrawer(arguments, EVENTS, None)
    for _ in range(100):
        assert {sound.label for sound in drawer.draw(random).sounds} == {"bell", "dog", "glass"}
    arguments = MixtureArguments(min_events=9, max_events=9, repeat_sources=False)
    drawer = SoundscapeDrawer(arguments, EVENTS, None)
    for _ in range(20):
        assert len({sound.source_file for sound in drawer.draw(random).sounds}) == 9


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("repeat_sources", "mixture.max_events is 10, but there are 9 sounds and mixture.repeat_sources is false"),
        ("repeat_labels", "mixture.max_events is 10, but there are 3 classes and mixture.repeat_labels is false"),
    ],
)
def test_too_few_to_choose_from(field, message):
    arguments = MixtureArguments(max_events=10, **{field: False})
    with pytest.raises(ValueError, match=message):
        SoundscapeDrawer(arguments, EVENTS, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"snr": ["uniform", 1]}, r"mixture.snr is \['uniform', 1\]: give a number"),
        ({"event_duration": ["uniform", 0.0, 5.0]}, "mixture.event_duration is .*: all values must be above 0"),
        ({"time_stretch": ["normal", 1.0, 0.1]}, "mixture.time_stretch is .*: all values must be above 0; truncnorm"),
        ({"event_time": ["normal", 2.5, 1.0]}, "mixture.event_time is .*: no value may be below 0; truncnorm"),
        ({"source_time": -1.0}, "mixture.source_time is -1.0: no value may be below 0"),
        ({"background_source_time": None}, "mixture.background_source_time is None: give a number"),
    ],
)
def test_impossible_distributions(changes, message):
    arguments = dataclasses.replace(MixtureArguments(), **changes)
    with pytest.raises(ValueError, match=message):
        SoundscapeDrawer(arguments, EVENTS, None)
