"""Soundscapes made while a model trains: which ones, where a stream goes on, and the targets of their events."""

import functools
import itertools
import logging
import pathlib

import numpy
import pytest
import torch

from modeling_sslam import SsamConfig
from modeling_sslam.annotations.events import step_targets
from modeling_sslam.feature_extraction_waveform import WaveformFeatureExtractor
from tests.training.soundscapes.sound_folders import (
    CLASSES,
    RATE,
    cut_in_half,
    write_collections,
    write_recipe,
    write_sound,
)
from training.data.rows import load_rows
from training.data.stream import BEGINNING, ClipStream, Position
from training.data.views import ClipFeatures
from training.settings.data import SOUNDSCAPES, DataArguments, LabelledDataArguments
from training.settings.recipe import load_arguments
from training.settings.synthesis import SynthesisArguments
from training.soundscapes.generator import SoundscapeGenerator
from training.soundscapes.soundscape import Soundscape
from training.soundscapes.stream import SoundscapeBatches, SoundscapeClips, load_generator

SAMPLES = 2 * RATE


@pytest.fixture
def recipe(tmp_path):
    """Of three classes; an epoch has 5 soundscapes of 2 s."""
    arguments = write_collections(tmp_path)
    arguments.output.num_soundscapes = 5
    return write_recipe(tmp_path / "recipe.yaml", arguments)


def data_arguments(recipe: str, **fields) -> DataArguments:
    return DataArguments(format=SOUNDSCAPES, path=recipe, batch_size=2, **fields)


def batches(recipe: str, **kwargs) -> SoundscapeBatches:
    data = data_arguments(recipe)
    return SoundscapeBatches(load_generator(data), data, **kwargs)


def indices(row_batches: SoundscapeBatches, number: int) -> list[int]:
    taken = itertools.islice(row_batches, number)
    return [row["audio"]["index"] for batch in taken for row in batch.rows]


def read(recipe: str, number: int, workers: int = 0, start: Position = BEGINNING) -> list:
    extractor = WaveformFeatureExtractor(sampling_rate=RATE, target_length=SAMPLES)
    row_batches = batches(recipe, start=start)
    features = ClipFeatures(extractor, "audio", load=row_batches.load)
    return list(itertools.islice(ClipStream(row_batches, features, workers), number))


def test_the_stream_goes_on_behind_the_end_of_an_epoch(recipe):
    assert indices(batches(recipe), 4) == list(range(8))
    assert [batch.position for batch in itertools.islice(batches(recipe), 3)] == [Position(0, n) for n in (2, 4, 6)]


def test_evaluation_ends_with_the_epoch(recipe):
    found = list(batches(recipe, endless=False))
    assert [len(batch.rows) for batch in found] == [2, 2, 1]
    assert [batch.epoch_size for batch in found] == [5, 5, 5]


@pytest.mark.parametrize("endless", [True, False])
def test_processes_share_the_soundscapes(recipe, endless):
    parts = [indices(batches(recipe, rank=rank, world_size=3, endless=endless), 2) for rank in range(3)]
    assert sorted(sum(parts, [])) == list(range(12 if endless else 5))


def test_samples_are_those_of_the_generator_whoever_makes_them(recipe):
    alone, with_workers = read(recipe, 3), read(recipe, 3, workers=2)
    found = torch.cat([batch.inputs["input_values"] for batch in alone])
    assert torch.equal(found, torch.cat([batch.inputs["input_values"] for batch in with_workers]))
    generator = load_generator(data_arguments(recipe))
    for index in range(6):
        assert numpy.array_equal(found[index].numpy(), generator.render(index).samples)


def test_resume_goes_on_exactly(recipe):
    whole = read(recipe, 4)
    rest = read(recipe, 2, workers=2, start=whole[1].position)
    for found, wanted in zip(rest, whole[2:], strict=True):
        assert found.position == wanted.position
        assert torch.equal(found.inputs["input_values"], wanted.inputs["input_values"])


def test_they_are_resampled_to_what_a_model_hears(recipe):
    row = next(iter(batches(recipe))).rows[0]
    assert batches(recipe).load(row["audio"], 2 * RATE).shape == (2 * SAMPLES,)


def damage(events: pathlib.Path) -> None:
    """Puts a sound that ends early in place of each one in a folder."""
    for file in list(events.rglob("*.wav")):
        file.unlink()
        cut_in_half(write_sound(file.with_suffix(".flac"), 8.0))


def test_sources_that_cannot_be_read_are_named(recipe, tmp_path, caplog):
    damage(tmp_path / "events" / "glass")
    with caplog.at_level(logging.WARNING):
        found = read(recipe, 4)
    assert all(len(batch.inputs["input_values"]) == 2 for batch in found)
    assert any("glass" in message and "drew soundscapes again" in message for message in caplog.messages)


def test_when_nothing_can_be_read_the_soundscapes_are_named(recipe, tmp_path, caplog):
    damage(tmp_path / "events")
    arguments = load_arguments(recipe, ["mixture.event_duration=8", "mixture.duration=8"], SynthesisArguments)
    write_recipe(tmp_path / "recipe.yaml", arguments)
    stream = SoundscapeBatches(load_generator(data_arguments(recipe)), data_arguments(recipe), endless=False)
    extractor = WaveformFeatureExtractor(sampling_rate=RATE, target_length=SAMPLES)
    features = ClipFeatures(extractor, "audio", load=stream.load)
    message = (
        r"none of .* could be decoded, for example soundscape 4 of .*recipe\.yaml: soundscape 4 was drawn 20 times"
    )
    with pytest.raises(ValueError, match=message):
        list(ClipStream(stream, features, 0))


def test_labels_of_clips_are_the_classes_of_their_events(recipe):
    generator = load_generator(data_arguments(recipe))
    clips = SoundscapeClips(generator, ["dog", "cat", "bell", "glass"])
    assert len(clips) == 5
    for index in (0, 4, 70):
        samples, target = clips.clip(index, RATE)
        heard = {event.label for event in generator.draw(index).events}
        assert target.tolist() == [float(name in heard) for name in clips.classes]
        assert samples.shape == (SAMPLES,)


def test_targets_of_time_steps(recipe):
    generator, config = load_generator(data_arguments(recipe)), SsamConfig()
    targets = functools.partial(step_targets, config=config, num_steps=50)
    _, found = SoundscapeClips(generator, list(CLASSES), targets).clip(1, RATE)
    assert found.shape == (50, len(CLASSES))
    assert torch.equal(found, step_targets(generator.draw(1).events, list(CLASSES), config, 50))
    assert 0 < found.mean() < 1


def test_targets_are_those_of_the_draw_that_was_heard(recipe, tmp_path):
    """Where a soundscape was drawn again, its first events are not heard."""
    damage(tmp_path / "events" / "bell")
    generator = load_generator(data_arguments(recipe))

    def labels(soundscape: Soundscape) -> set[str]:
        return {event.label for event in soundscape.events}

    again = [made for made in map(generator.render, range(30)) if made.attempt]
    made = next(made for made in again if labels(made.soundscape) != labels(generator.draw(made.index)))
    _, target = SoundscapeClips(generator, list(CLASSES)).clip(made.index, RATE)
    assert target.tolist() == [float(name in labels(made.soundscape)) for name in CLASSES]


def test_other_classes(recipe):
    generator = load_generator(data_arguments(recipe))
    with pytest.raises(ValueError, match="labels that are not among the 2 classes: glass"):
        SoundscapeClips(generator, ["bell", "dog"])


def test_settings_that_cannot_be_used(recipe, tmp_path):
    with pytest.raises(
        ValueError, match=r"data.path is 'gone.yaml': with data.format=soundscapes it must be a recipe"
    ):
        load_generator(data_arguments("gone.yaml"))
    with pytest.raises(ValueError, match=r"filters are \{'fold': \[1\]\}, but soundscapes have no rows"):
        load_generator(data_arguments(recipe, filters={"fold": [1]}))
    with pytest.raises(ValueError, match=r"data.epoch_size is 4: .* an epoch of soundscapes has output.num_soundscap"):
        LabelledDataArguments(format=SOUNDSCAPES, path=recipe, epoch_size=4)
    with pytest.raises(ValueError, match="for anything else write a set with training.synthesize"):
        load_rows(data_arguments(recipe))


def test_a_generator_is_of_the_recipe_alone(recipe, tmp_path):
    arguments = write_collections(tmp_path / "again")
    same = SoundscapeGenerator(arguments).render(2).samples
    assert numpy.array_equal(load_generator(data_arguments(recipe)).render(2).samples, same)
