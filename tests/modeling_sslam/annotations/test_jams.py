"""JAMS without the package `jams`; those of Scaper are in `tests/training/soundscapes/test_jams.py`."""

import json

import pytest

from modeling_sslam.annotations.events import SoundEvent
from modeling_sslam.annotations.jams import jams_document, jams_recording, load_jams, read_jams, save_jams, write_jams
from tests.modeling_sslam.annotations.random_events import random_events


def document(namespace: str, data, **metadata) -> dict:
    return {"file_metadata": metadata, "annotations": [{"namespace": namespace, "data": data}], "sandbox": {}}


def observation(time, duration, value, confidence=1.0) -> dict:
    return {"time": time, "duration": duration, "value": value, "confidence": confidence}


@pytest.mark.parametrize("seed", range(8))
def test_round_trip(seed, tmp_path):
    events = random_events(seed, confidence=seed % 2 == 1)
    write_jams(tmp_path / "events.jams", events, duration=13.5)
    recording = read_jams(tmp_path / "events.jams")
    assert recording.duration == 13.5
    assert [(event.label, event.onset, event.confidence) for event in recording.events] == [
        (event.label, event.onset, event.confidence) for event in events
    ]  # an offset is stored as a duration: it may differ in the last bit
    assert [event.offset for event in recording.events] == pytest.approx([event.offset for event in events], rel=1e-12)


def test_what_the_schema_asks_for():
    """Required members of the JAMS 0.3 schema, with their types."""
    jams = json.loads(json.dumps(jams_document(2.0, "segment_open", [observation(0.5, 1.0, "dog", None)])))
    assert set(jams) == {"annotations", "file_metadata", "sandbox"}
    assert jams["file_metadata"]["duration"] == 2.0
    assert jams["file_metadata"]["jams_version"].startswith("0.3.")
    (annotation,) = jams["annotations"]
    assert {"annotation_metadata", "namespace", "data", "sandbox", "time", "duration"} == set(annotation)
    assert set(annotation["annotation_metadata"]) >= {"curator", "annotator", "annotation_tools", "data_source"}
    assert set(annotation["annotation_metadata"]["curator"]) == {"name", "email"}
    assert annotation["data"] == [{"time": 0.5, "duration": 1.0, "value": "dog", "confidence": None}]


def test_the_background_of_a_soundscape_is_no_event():
    data = [
        observation(0.0, 10.0, {"label": "noise", "role": "background"}),
        observation(1.0, 0.5, {"label": "dog", "role": "foreground"}),
    ]
    for namespace in ("sound_event", "scaper"):
        recording = jams_recording(document(namespace, data, duration=10.0), "a.jams")
        assert recording.events == [SoundEvent(1.0, 1.5, "dog")]
        assert recording.duration == 10.0


def test_observations_that_are_stored_as_columns():
    data = {"time": [1.0, 0.0], "duration": [1.0, 0.5], "value": ["b", "a"], "confidence": [0.5, None]}
    recording = jams_recording(document("tag_open", data), "a.jams")
    assert recording.events == [SoundEvent(0.0, 0.5, "a"), SoundEvent(1.0, 2.0, "b", 0.5)]
    assert recording.duration is None


def test_soundscapes_come_before_other_annotations():
    jams = document("segment_open", [observation(0.0, 1.0, "other")])
    jams["annotations"].append({"namespace": "scaper", "data": [observation(1.0, 1.0, {"label": "dog"})]})
    assert jams_recording(jams, "a.jams").events == [SoundEvent(1.0, 2.0, "dog")]


@pytest.mark.parametrize(
    ("jams", "message"),
    [
        (document("beat", []), "a.jams has no annotation of sound events: found beat, expected scaper or sound_event"),
        (
            {"annotations": []},
            "a.jams has no annotation of sound events: found nothing, expected",
        ),
        (document("scaper", [{"time": 0.0}]), "a.jams, observation 0: it has no duration and no value"),
        (
            document("scaper", [observation(0.0, 1.0, "x"), observation("0", 1.0, "x")]),
            "a.jams, observation 1: time and duration are .*expected seconds",
        ),
        (document("scaper", [observation(0.0, 1.0, {"role": "foreground"})]), "observation 0: its value .*no label"),
        (document("tag_open", [observation(-1.0, 1.5, "dog")]), "observation 0: 'dog' lasts from -1.0 s to 0.5 s"),
    ],
)
def test_jams_that_are_refused(jams, message):
    with pytest.raises(ValueError, match=message):
        jams_recording(jams, "a.jams")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{'a': 1}", "a.jams is not JSON: .*line 1"),
        ("[]", "a.jams is not JAMS: expected an object with a list of annotations"),
        ('{"annotations": 1}', "a.jams is not JAMS: expected an object with a list of annotations"),
    ],
)
def test_files_that_are_refused(content, message, tmp_path):
    (tmp_path / "a.jams").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_jams(tmp_path / "a.jams")


def test_numbers_that_json_does_not_have(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_jams(tmp_path / "a.jams", {"annotations": [float("nan")]})
    assert list(tmp_path.iterdir()) == []
