import csv

import numpy
import pytest
import soundfile

from training.sound_bank import EVENTS, LONGEST_EVENT, PEAK, BankConfig, render_clip, render_event, write_bank

RATE = 16_000


def bank(folder, **settings):
    path = write_bank(folder, BankConfig(**({"num_events": 10, "num_soundscapes": 8, "seconds": 1.5} | settings)))
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_bank(tmp_path):
    rows = bank(tmp_path)
    assert [row["labels"] for row in rows if row["kind"] == "event"] == list(EVENTS)
    for row in rows:
        clip, rate = soundfile.read(tmp_path / row["filename"], dtype="float32")
        assert (clip.shape, rate) == ((24_000,), RATE)
        assert 0.01 < abs(clip).max() <= PEAK + 1e-4
    soundscapes = [row["labels"].split(";") for row in rows if row["kind"] == "soundscape"]
    assert {len(labels) for labels in soundscapes} <= {2, 3, 4}
    assert all(len(set(labels)) == len(labels) for labels in soundscapes)
    assert [row["split"] for row in rows if row["kind"] == "soundscape"] == ["train"] * 6 + ["test"] * 2


def test_a_clip_depends_on_its_seed_and_index_alone(tmp_path):
    few, many = bank(tmp_path / "few", num_events=3), bank(tmp_path / "many")
    other = bank(tmp_path / "other", seed=1)

    def read(folder, row):
        return soundfile.read(tmp_path / folder / row["filename"], dtype="int16")[0]

    assert few[2]["filename"] == many[2]["filename"] == other[2]["filename"]
    assert numpy.array_equal(read("few", few[2]), read("many", many[2]))
    assert not numpy.array_equal(read("many", many[2]), read("other", other[2]))


@pytest.mark.parametrize("name", EVENTS)
def test_event(name):
    first, second = (render_event(name, numpy.random.default_rng(seed), RATE) for seed in (0, 1))
    assert numpy.isfinite(first).all()
    assert 0.4 * RATE <= len(first) <= LONGEST_EVENT * RATE
    assert numpy.sqrt(numpy.mean(first**2)) == pytest.approx(1, abs=0.2)  # less what the fades take
    assert len(first) != len(second)  # instances differ


def test_events_are_added_to_the_background():
    config = BankConfig(seconds=1.5)
    quiet, loud = (render_clip(names, numpy.random.default_rng(0), config) for names in ([], ["siren"]))
    assert quiet.dtype == numpy.float32
    assert numpy.abs(numpy.diff(loud)).sum() != numpy.abs(numpy.diff(quiet)).sum()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"seconds": 1.0}, "cannot hold an event"), ({"max_events": 11}, "a soundscape has 2 to 10 classes")],
)
def test_settings_that_cannot_be_met(settings, message):
    with pytest.raises(ValueError, match=message):
        BankConfig(**settings)
