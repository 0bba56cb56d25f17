import dataclasses
import pickle

import numpy
import pytest

from tests.training.soundscapes.sound_folders import RATE, cut_in_half, write_collections, write_sound
from training.soundscapes.generator import MAX_ATTEMPTS, SoundscapeGenerator
from training.soundscapes.soundscape import BACKGROUND


@pytest.fixture
def arguments(tmp_path):
    return write_collections(tmp_path)


def same(first, second) -> bool:
    return first.soundscape == second.soundscape and numpy.array_equal(first.samples, second.samples)


def test_a_soundscape_and_its_audio(arguments):
    generator = SoundscapeGenerator(arguments)
    made = generator.render(3)
    assert (generator.classes, made.index, made.attempt) == (["bell", "dog", "glass"], 3, 0)
    assert made.soundscape == generator.draw(3)
    assert (made.samples.shape, made.samples.dtype) == ((2 * RATE,), numpy.float32)
    assert numpy.isfinite(made.samples).all()
    assert made.samples.any()
    assert 0 < made.scale_factor <= 1


def test_each_is_a_function_of_seed_and_index(arguments):
    first, second = SoundscapeGenerator(arguments), SoundscapeGenerator(arguments)
    in_order = [first.render(index) for index in range(4)]
    assert all(same(second.render(index), in_order[index]) for index in (2, 0, 3, 1))
    assert len({made.soundscape for made in in_order}) == 4
    reseeded = dataclasses.replace(arguments, output=dataclasses.replace(arguments.output, seed=1))
    assert SoundscapeGenerator(reseeded).draw(0) != in_order[0].soundscape


def test_as_workers_get_it(arguments):
    generator = SoundscapeGenerator(arguments)
    assert same(pickle.loads(pickle.dumps(generator)).render(5), generator.render(5))


def test_without_a_background(arguments):
    arguments.background.path = ""
    generator = SoundscapeGenerator(arguments)
    assert generator.background is None
    sounds = generator.render(0).soundscape.sounds
    assert sounds
    assert all(sound.role != BACKGROUND for sound in sounds)


def test_silence_is_a_soundscape_too(arguments):
    arguments.background.path, arguments.mixture.min_events = "", 0
    generator = SoundscapeGenerator(arguments)
    index = next(index for index in range(100) if not generator.draw(index).sounds)
    assert not generator.render(index).samples.any()


def test_sounds_that_are_longer_than_the_soundscape_are_cut(arguments, tmp_path):
    write_sound(tmp_path / "events" / "bell" / "0.wav", 9.0)
    arguments.mixture.event_duration = 8.0
    generator = SoundscapeGenerator(arguments)
    found = [sound for index in range(20) for sound in generator.draw(index).foreground if sound.label == "bell"]
    assert found
    assert all((sound.event_time, sound.event_duration) == (0.0, 2.0) for sound in found)


def test_a_source_that_turns_out_to_be_damaged(arguments, tmp_path, caplog):
    damaged = tmp_path / "events" / "dog" / "late.flac"
    write_sound(damaged, 30.0)
    cut_in_half(damaged)
    generator = SoundscapeGenerator(arguments)
    made = [generator.render(index) for index in range(30)]
    again = [item for item in made if item.attempt]
    assert again
    assert all(item.soundscape == generator.draw(item.index, item.attempt) for item in made)
    assert list(generator.unreadable) == [str(damaged)]
    assert sum("late.flac" in record.getMessage() for record in caplog.records) == 1
    # What it is does not depend on what was met before, also where the damaged file is read in its sound half.
    assert all(same(SoundscapeGenerator(arguments).render(item.index), item) for item in made)


def test_nothing_but_damaged_sources(arguments, tmp_path):
    for path in (tmp_path / "events").rglob("*.wav"):
        write_sound(path.with_suffix(".flac"), 2.0)
        cut_in_half(path.with_suffix(".flac"))
        path.unlink()
    arguments.mixture.event_duration = 2.0
    message = (
        rf"soundscape 0 was drawn {MAX_ATTEMPTS} times, each time with a sound that cannot be read; known are .*flac"
    )
    with pytest.raises(ValueError, match=message):
        SoundscapeGenerator(arguments).render(0)


def test_a_recipe_without_events(arguments):
    arguments.events.path = ""
    with pytest.raises(ValueError, match="foreground sounds: '' is no folder"):
        SoundscapeGenerator(arguments)
