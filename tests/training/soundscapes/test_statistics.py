import json

import pytest

from modeling_sslam.annotations.events import SoundEvent
from modeling_sslam.annotations.files import write_events
from modeling_sslam.annotations.jams import save_jams
from modeling_sslam.annotations.tables import write_csv_of_files
from tests.training.soundscapes.random_soundscapes import random_soundscape
from training.soundscapes.jams import to_jams
from training.soundscapes.statistics import AnnotatedRecording, describe, read_recordings

ONE = [SoundEvent(0.0, 1.0, "dog"), SoundEvent(0.5, 2.0, "siren")]
TWO = [SoundEvent(1.0, 3.0, "dog")]


def test_numbers_of_two_recordings():
    statistics = describe([AnnotatedRecording("one", 2.0, ONE, [6.0, 12.0]), AnnotatedRecording("two", 4.0, TWO)])
    assert (statistics.num_recordings, statistics.seconds) == (2, 6.0)
    assert statistics.seconds_by_polyphony == pytest.approx({0: 2.0, 1: 3.5, 2: 0.5})
    assert statistics.share_by_polyphony == pytest.approx({0: 1 / 3, 1: 3.5 / 6, 2: 0.5 / 6})
    assert statistics.max_polyphony == {1: 1, 2: 1}
    assert statistics.durations == [1.0, 1.5, 2.0]
    assert statistics.classes == {"dog": 2, "siren": 1}
    summary = json.loads(json.dumps(statistics.summary()))
    assert summary["num_events"] == 3
    assert summary["event_seconds"] == {
        "mean": 1.5,
        "min": 1.0,
        "quarter": 1.25,
        "median": 1.5,
        "three_quarters": 1.75,
        "max": 2.0,
    }
    assert summary["snr_db"]["mean"] == 9.0


def test_a_set_without_snr_has_none():
    assert describe([AnnotatedRecording("two", 4.0, TWO)]).summary()["snr_db"] is None


@pytest.mark.parametrize("recordings", [[], [AnnotatedRecording("silence", 0.0, [])]])
def test_nothing_to_describe(recordings):
    with pytest.raises(ValueError, match=f"{len(recordings)} recordings last 0 s in all"):
        describe(recordings)


def test_jams_know_snr_and_duration(tmp_path):
    soundscapes = [random_soundscape(seed) for seed in range(3)]
    for index, soundscape in enumerate(soundscapes):
        save_jams(tmp_path / "train" / f"{index}.jams", to_jams(soundscape, 22050))
    recordings = read_recordings(tmp_path)
    assert [recording.duration for recording in recordings] == [5.0, 5.0, 5.0]
    assert [list(recording.snr) for recording in recordings] == [
        [sound.snr for sound in soundscape.foreground] for soundscape in soundscapes
    ]
    assert [len(recording.events) for recording in recordings] == [len(scape.events) for scape in soundscapes]


def test_text_csv_and_globs_hold_the_same(tmp_path):
    write_events(tmp_path / "texts" / "one.txt", ONE, "text")
    write_events(tmp_path / "texts" / "two.txt", TWO, "text")
    write_events(tmp_path / "jams" / "one.jams", ONE, "jams")
    write_csv_of_files(tmp_path / "set.csv", {"one.wav": ONE, "two.wav": TWO})
    of_text, of_csv, of_glob = (
        read_recordings(source) for source in (tmp_path / "texts", tmp_path / "set.csv", f"{tmp_path}/*/two.txt")
    )
    assert [recording.events for recording in of_text] == [recording.events for recording in of_csv] == [ONE, TWO]
    assert [recording.events for recording in of_glob] == [TWO]
    assert [recording.duration for recording in of_text] == [2.0, 3.0]
    assert [recording.duration for recording in read_recordings(tmp_path / "texts", duration=5.0)] == [5.0, 5.0]
    (of_detector,) = read_recordings(tmp_path / "jams")
    assert (of_detector.events, of_detector.snr) == (ONE, [])


def test_bad_sets(tmp_path):
    write_events(tmp_path / "one.txt", ONE, "text")
    with pytest.raises(ValueError, match=r"one lasts 1.0 s, but 1 of its events end later: siren \(0.5 s to 2.0 s\)"):
        read_recordings(tmp_path, duration=1.0)
    with pytest.raises(ValueError, match="there is nothing at .*nowhere: expected a folder, a table or a glob"):
        read_recordings(tmp_path / "nowhere")
