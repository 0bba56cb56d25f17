import json

import numpy
import pytest
import torch
from safetensors.numpy import load_file

from modeling_sslam.annotations.events import SoundEvent, clip_targets, max_polyphony
from tests.training.soundscapes.official import SAMPLING_CASE
from training.soundscapes.polyphony import polyphony_gini, seconds_by_polyphony


def test_what_scaper_has_counted():
    """1500 soundscapes of Scaper 1.6.5: largest polyphony, its Gini coefficient, and the classes of a clip."""
    recorded = load_file(SAMPLING_CASE / "io.safetensors")
    config = json.loads((SAMPLING_CASE / "config.json").read_text())
    events: list[list[SoundEvent]] = [[] for _ in recorded["n_events"]]
    columns = ("ev_soundscape", "ev_onset", "ev_offset", "ev_class")
    for soundscape, onset, offset, number in zip(*(recorded[name].tolist() for name in columns), strict=True):
        events[soundscape].append(SoundEvent(onset, offset, config["class_names"][number]))
    assert [max_polyphony(of_soundscape) for of_soundscape in events] == recorded["polyphony_max"].tolist()
    ginis = numpy.array([polyphony_gini(of_soundscape, config["duration"]) for of_soundscape in events])
    # events are recorded as float32: where one lies at a point at which Scaper counts, the count is another
    assert numpy.abs(ginis - recorded["polyphony_gini"]).max() < 2.5e-3
    assert (numpy.abs(ginis - recorded["polyphony_gini"]) < 1e-6).mean() > 0.99
    targets = torch.stack([clip_targets(of_soundscape, config["class_names"]) for of_soundscape in events])
    assert numpy.array_equal(targets.bool().numpy(), recorded["multi_hot"])


@pytest.mark.parametrize(
    ("events", "gini"),
    [
        ([], 0.0),
        ([SoundEvent(0.0, 4.0, "a")], 1.0),
        ([SoundEvent(0.0, 4.0, "a"), SoundEvent(0.0, 4.0, "b")], 1.0),
        ([SoundEvent(1.0, 2.0, "a")], 0.25),
        ([SoundEvent(1.0, 2.0, "a"), SoundEvent(1.0, 2.0, "b")], 0.25),
    ],
)
def test_gini(events, gini):
    """Of a number that is constant or 0, one minus the coefficient is the share of time in which it is not 0."""
    assert polyphony_gini(events, 4.0) == pytest.approx(gini, abs=1e-5)


def test_seconds_by_polyphony():
    events = [SoundEvent(1.0, 3.0, "a"), SoundEvent(2.0, 4.0, "b"), SoundEvent(4.0, 4.5, "c")]
    assert seconds_by_polyphony(events, 5.0) == pytest.approx({0: 1.5, 1: 2.5, 2: 1.0})
    assert seconds_by_polyphony(events, 2.5) == pytest.approx({0: 1.0, 1: 1.0, 2: 0.5})
    assert seconds_by_polyphony([], 5.0) == {0: 5.0}


def test_seconds_by_polyphony_add_up():
    random = numpy.random.default_rng(0)
    for _ in range(20):
        onsets = random.uniform(0, 9, size=8)
        events = [SoundEvent(onset, onset + random.uniform(0.1, 3), "a") for onset in onsets]
        seconds = seconds_by_polyphony(events, 10.0)
        assert sum(seconds.values()) == pytest.approx(10.0)
        inside = sum(min(event.offset, 10.0) - event.onset for event in events)
        assert sum(number * share for number, share in seconds.items()) == pytest.approx(inside)
