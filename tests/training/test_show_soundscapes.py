import json

import numpy
import pytest
import soundfile

from modeling_sslam.annotations.events import SoundEvent
from modeling_sslam.annotations.files import write_events
from modeling_sslam.annotations.tables import write_csv_of_files
from training.show_soundscapes import main, recorded_events

RATE = 8000
EVENTS = [SoundEvent(0.1, 0.5, "dog"), SoundEvent(0.2, 0.9, "siren")]


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "audio" / "one.flac"
    path.parent.mkdir()
    soundfile.write(path, numpy.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    return path


def test_a_recording(clip, tmp_path, capsys):
    for format, name in (("text", "one.txt"), ("jams", "one.jams"), ("csv", "one.csv")):
        write_events(tmp_path / name, EVENTS, format)
        main([str(clip), "--annotations", str(tmp_path / name), "--output", str(tmp_path / f"{name}.png")])
        assert (tmp_path / f"{name}.png").stat().st_size > 1000
    assert capsys.readouterr().out == ""


def test_the_rows_of_a_recording(clip, tmp_path):
    write_csv_of_files(tmp_path / "set.csv", {"audio/one.flac": EVENTS, "audio/two.flac": EVENTS[:1]})
    assert recorded_events(clip, tmp_path / "set.csv") == EVENTS
    write_csv_of_files(tmp_path / "set.csv", {"audio/two.flac": EVENTS[:1]})
    with pytest.raises(ValueError, match="set.csv has 0 recordings with the name one.flac, expected one of its 1"):
        recorded_events(clip, tmp_path / "set.csv")


def test_events_outside_of_the_recording(clip, tmp_path):
    write_events(tmp_path / "one.txt", [*EVENTS, SoundEvent(0.5, 1.5, "late")], "text")
    with pytest.raises(
        ValueError, match=r"one.flac lasts 1.0 s, but 1 of its events end later: late \(0.5 s to 1.5 s"
    ):
        main([str(clip), "--annotations", str(tmp_path / "one.txt"), "--output", str(tmp_path / "one.png")])
    assert not (tmp_path / "one.png").exists()


def test_a_set(tmp_path, capsys):
    write_csv_of_files(tmp_path / "set.csv", {"one.flac": EVENTS, "two.flac": EVENTS[:1], "silence.flac": []})
    main([str(tmp_path / "set.csv"), "--output", str(tmp_path / "set.png"), "--duration", "1"])
    summary = json.loads(capsys.readouterr().out)
    assert (summary["num_recordings"], summary["seconds"], summary["num_events"]) == (3, 3.0, 3)
    assert summary["events_by_class"] == {"dog": 2, "siren": 1}
    assert summary["recordings_by_max_polyphony"] == {"0": 1, "1": 1, "2": 1}
    assert (tmp_path / "set.png").stat().st_size > 1000
