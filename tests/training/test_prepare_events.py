import json

import numpy
import pytest
import soundfile

from tests.training.soundscapes.sound_folders import write_sound
from training.prepare_events import Preparation, main, prepare_events

RATE = 16000
PREPARATION = Preparation(format="flac", sampling_rate=RATE)


@pytest.fixture
def raw(tmp_path):
    for split in ("train", "val"):
        write_sound(tmp_path / "raw" / split / "Dog" / "long.wav", 2.0, rate=RATE)
        write_sound(tmp_path / "raw" / split / "Glass" / "short.ogg", 0.5, rate=2 * RATE)
    return tmp_path / "raw"


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_command(raw, tmp_path, capsys):
    (raw / "train" / "Dog" / "damaged.wav").write_bytes(b"RIFF of nothing")
    soundfile.write(raw / "val" / "Dog" / "silence.wav", numpy.zeros(RATE), RATE)
    main([str(raw), str(tmp_path / "out"), "--sampling-rate", str(RATE)])
    report = json.loads(capsys.readouterr().out)
    assert (report["made"], report["already_there"], report["dropped"]) == (4, 0, ["val/Dog/silence.wav"])
    assert list(report["unreadable"]) == ["train/Dog/damaged.wav"]
    events = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.wav")}
    assert set(events) == {f"{split}/{file}.wav" for split in ("train", "val") for file in ("Dog/long", "Glass/short")}
    header = soundfile.info(events["train/Glass/short.wav"])
    assert (header.samplerate, header.subtype, header.channels, header.frames) == (RATE, "PCM_16", 1, 1.25 * RATE)


def test_classes_without_splits(tmp_path):
    write_sound(tmp_path / "raw" / "Dog" / "0.wav", 2.0)
    assert prepare_events(tmp_path / "raw", tmp_path / "out", PREPARATION).made == 1
    assert (tmp_path / "out" / "Dog" / "0.flac").is_file()


def test_a_second_call_completes_what_is_there(raw, tmp_path):
    prepare_events(raw, tmp_path / "whole", PREPARATION)
    prepare_events(raw, tmp_path / "killed", PREPARATION)
    (tmp_path / "killed" / "val" / "Dog" / "long.flac").unlink()
    (tmp_path / "killed" / "val" / "Dog" / ".unfinished-long.flac").write_bytes(b"half of a file")
    report = prepare_events(raw, tmp_path / "killed", PREPARATION)
    assert (report.made, report.already_there) == (1, 3)
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_one_folder_is_prepared_in_one_way(raw, tmp_path):
    prepare_events(raw, tmp_path / "out", PREPARATION)
    with pytest.raises(
        ValueError, match="has events that were prepared with .*'sampling_rate': 16000.*choose another"
    ):
        prepare_events(raw, tmp_path / "out", Preparation(format="flac", sampling_rate=8000))


def test_two_recordings_for_one_event(raw, tmp_path):
    write_sound(raw / "val" / "Dog" / "long.flac", 2.0)
    with pytest.raises(ValueError, match="has several recordings for one event: .*val/Dog/long.flac; rename them"):
        prepare_events(raw, tmp_path / "out", PREPARATION)


def test_folders_that_hold_no_classes(tmp_path):
    with pytest.raises(ValueError, match="there is no folder .*raw of raw recordings"):
        prepare_events(tmp_path / "raw", tmp_path / "out", PREPARATION)
    (tmp_path / "raw").mkdir()
    with pytest.raises(ValueError, match="raw has no recordings: expected <class>/<file>"):
        prepare_events(tmp_path / "raw", tmp_path / "out", PREPARATION)
    write_sound(tmp_path / "raw" / "0.wav")
    with pytest.raises(ValueError, match="recordings that lie in no folder of a class: 0.wav"):
        prepare_events(tmp_path / "raw", tmp_path / "out", PREPARATION)
