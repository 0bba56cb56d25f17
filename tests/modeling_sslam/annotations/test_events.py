"""Events and the targets that are made of them."""

import pytest
import torch

from modeling_sslam.annotations.events import (
    SoundEvent,
    clip_targets,
    frame_targets,
    max_polyphony,
    polyphony,
    step_targets,
)
from modeling_sslam.encoder import step_intervals
from tests.families import FAMILIES

EVENTS = [SoundEvent(0.25, 0.5, "dog"), SoundEvent(0.5, 0.75, "dog"), SoundEvent(0.3, 0.31, "siren")]
CLASSES = ["cat", "dog", "siren"]
TENTHS = torch.arange(11, dtype=torch.float64).div(10).unfold(0, 2, 1)  # as `step_intervals`, in double precision


def test_a_step_has_the_classes_that_sound_in_any_part_of_it():
    """A step [0.2, 0.3) does not meet an event that starts at 0.3, nor [0.8, 0.9) one that ends at 0.75."""
    targets = frame_targets(EVENTS, CLASSES, TENTHS)
    assert targets.shape == (10, 3)
    assert targets[:, 0].count_nonzero() == 0
    assert targets[:, 1].nonzero().flatten().tolist() == [2, 3, 4, 5, 6, 7]
    assert targets[:, 2].nonzero().flatten().tolist() == [3]


def test_repeated_labels_of_a_clip_collapse():
    assert clip_targets(EVENTS, CLASSES).tolist() == [0.0, 1.0, 1.0]
    assert clip_targets([], CLASSES).tolist() == [0.0, 0.0, 0.0]


def test_targets_of_an_encoder_are_those_of_its_steps():
    config = FAMILIES["sslam"].config
    targets = step_targets(EVENTS, CLASSES, config, 5)
    assert torch.equal(targets, frame_targets(EVENTS, CLASSES, step_intervals(config, 5)))
    assert targets[1:5, 1].tolist() == [1.0, 1.0, 1.0, 1.0]  # 160 ms each: from 0.16 s on


def test_an_event_that_ends_where_another_starts_does_not_overlap_it():
    assert polyphony(EVENTS) == [(0.25, 1), (0.3, 2), (0.31, 1), (0.75, 0)]
    assert max_polyphony(EVENTS) == 2
    assert max_polyphony(EVENTS[:2]) == 1
    assert max_polyphony([]) == 0


def test_what_is_no_event_or_no_class():
    with pytest.raises(ValueError, match="an event 'dog' lasts from 1.0 s to 1.0 s"):
        SoundEvent(1.0, 1.0, "dog")
    with pytest.raises(ValueError, match="an event 'dog' lasts from -0.5 s to 1.0 s: it must start at 0 or later"):
        SoundEvent(-0.5, 1.0, "dog")
    with pytest.raises(ValueError, match="labels that are not among the 1 classes: dog, siren"):
        frame_targets(EVENTS, ["cat"], TENTHS)
