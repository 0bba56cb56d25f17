import dataclasses
import pathlib

import numpy
import pytest
import soundfile

from modeling_sslam.annotations.files import read_events
from modeling_sslam.annotations.jams import load_jams, save_jams
from tests.training.soundscapes.official import URBAN_SED, needs_urban_sed
from tests.training.soundscapes.random_soundscapes import random_soundscape
from tests.training.soundscapes.user_sounds import RATE, write_user_sounds
from training.soundscapes.jams import from_jams, scaper_annotation, scaper_fields, to_jams
from training.soundscapes.replay import read_recorded, replay
from training.soundscapes.soundscape import Soundscape

AUTHOR = "/home/author/soundbanks"


def at_the_authors(soundscape: Soundscape) -> Soundscape:
    """With absolute paths of somebody else's machine."""
    sounds = tuple(
        dataclasses.replace(sound, source_file=f"{AUTHOR}/{sound.role}/{sound.source_file}")
        for sound in soundscape.sounds
    )
    return dataclasses.replace(soundscape, sounds=sounds)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return write_user_sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture
def jams(tmp_path):
    """A folder of three official soundscapes without stretching, one of them in a folder of its own."""
    for seed, name in enumerate(("a", "b", "train/c")):
        soundscape = at_the_authors(random_soundscape(seed, stretched=False, duration=2.0))
        specification = {"fg_spec": [["const", seed]], "fg_path": AUTHOR, "reverb": None}
        save_jams(tmp_path / "jams" / f"{name}.jams", to_jams(soundscape, 44100, 1.0, specification))
    return tmp_path / "jams"


def files(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_audio_text_and_jams_of_each(jams, sounds, tmp_path):
    events, background = sounds
    report = replay(read_recorded(jams), tmp_path / "out", events, background, RATE)
    assert (report.made, report.already_there, report.left_out) == (3, 0, {})
    names = {f"{name}.{ending}" for name in ("a", "b", "train/c") for ending in ("flac", "txt", "jams")}
    assert set(files(tmp_path / "out")) == names
    for name in ("a", "b", "train/c"):
        official = from_jams(load_jams(jams / f"{name}.jams"))
        made = load_jams(tmp_path / "out" / f"{name}.jams")
        samples, rate = soundfile.read(tmp_path / "out" / f"{name}.flac")
        assert (len(samples), rate) == (2 * RATE, RATE)
        assert from_jams(made) == official
        fields = scaper_fields(scaper_annotation(made, name), name)
        assert (
            fields["fg_spec"] == scaper_fields(scaper_annotation(load_jams(jams / f"{name}.jams"), ""), "")["fg_spec"]
        )
        assert (fields["fg_path"], fields["sr"]) == ("", RATE)
        assert read_events(tmp_path / "out" / f"{name}.txt") == sorted(official.events)
        quiet = numpy.ones(len(samples), dtype=bool)
        for event in official.events:
            quiet[int(event.onset * RATE) : int(event.offset * RATE) + 2] = False
        if quiet.any():  # the background alone, at -50 LUFS
            assert 0 < samples[quiet].std() < 0.02


def test_a_second_call_completes_what_is_there(jams, sounds, tmp_path):
    events, background = sounds
    replay(read_recorded(jams), tmp_path / "whole", events, background, RATE)
    replay(read_recorded(jams)[:1], tmp_path / "killed", events, background, RATE)
    (tmp_path / "killed" / ".unfinished-b.flac").write_bytes(b"half of a file")
    (tmp_path / "killed" / "b.flac").write_bytes(b"a file whose annotations were not written yet")
    report = replay(read_recorded(jams), tmp_path / "killed", events, background, RATE)
    assert (report.made, report.already_there) == (2, 1)
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_all_missing_sources_are_listed(jams, sounds, tmp_path):
    events, background = sounds
    recorded = read_recorded(jams)
    lost = sorted({sound.source_file for item in recorded for sound in item.soundscape.foreground})[:2]
    for source in lost:
        label, name = source.split("/")[-2:]
        (tmp_path / "moved" / label).mkdir(parents=True, exist_ok=True)
    message = (
        rf"(?s)\d+ of \d+ sources are missing:.*{lost[0]}: no file has this name.*{lost[1]}: no file has this name"
    )
    with pytest.raises(ValueError, match=message):
        replay(recorded, tmp_path / "out", tmp_path / "moved", background, RATE)
    assert not (tmp_path / "out").exists()


def test_soundscapes_that_lack_a_source_are_left_out_on_request(jams, sounds, tmp_path):
    events, background = sounds
    recorded = read_recorded(jams)
    sources = {item.name: {sound.source_file for sound in item.soundscape.foreground} for item in recorded}
    lost = next(iter(sources["a"]))
    lacking = {name: [lost] for name, files_of in sources.items() if lost in files_of}
    here = tmp_path / "events"
    for path in events.rglob("*.wav"):
        if not lost.endswith("/".join(path.parts[-2:])):
            (here / path.parent.name).mkdir(parents=True, exist_ok=True)
            (here / path.parent.name / path.name).symlink_to(path)
    report = replay(recorded, tmp_path / "out", here, background, RATE, skip_missing=True)
    assert report.left_out == lacking
    assert report.made == 3 - len(lacking)
    assert not (tmp_path / "out" / "a.jams").exists()


def test_without_a_folder_of_backgrounds(jams, sounds, tmp_path, caplog):
    replay(read_recorded(jams), tmp_path / "out", sounds[0], None, RATE)
    assert "the soundscapes have no background" in caplog.text
    for path in (tmp_path / "out").rglob("*.jams"):
        soundscape = from_jams(load_jams(path))
        assert soundscape.sounds == soundscape.foreground


def test_what_is_not_as_it_was_is_said_once(sounds, tmp_path, caplog):
    for seed in range(2):
        soundscape = at_the_authors(random_soundscape(seed, duration=2.0))
        save_jams(tmp_path / "jams" / f"{seed}.jams", to_jams(soundscape, 44100, 1.0, {"reverb": 0.1}))
    report = replay(read_recorded(tmp_path / "jams"), tmp_path / "out", *sounds, RATE)
    assert report.made == 2
    messages = [record.getMessage() for record in caplog.records]
    assert sum("2 of 2 soundscapes had reverberation, which is not applied" in message for message in messages) == 1
    assert sum("sounds are stretched: only their annotations" in message for message in messages) == 1
    assert sum("sounds are shifted in pitch" in message for message in messages) == 1
    for path in (tmp_path / "jams").glob("*.jams"):
        made = load_jams(tmp_path / "out" / path.name)
        assert from_jams(made) == from_jams(load_jams(path))
        assert scaper_fields(scaper_annotation(made, ""), "")["reverb"] is None


def test_one_folder_holds_one_rate(jams, sounds, tmp_path):
    replay(read_recorded(jams)[:1], tmp_path / "out", *sounds, RATE)
    with pytest.raises(ValueError, match=r"a.jams was rendered at 8000 Hz, not at 4000 Hz: choose another folder"):
        replay(read_recorded(jams), tmp_path / "out", *sounds, 4000)


def test_a_folder_without_jams(tmp_path):
    with pytest.raises(ValueError, match="has no .jams files to replay"):
        read_recorded(tmp_path)


@needs_urban_sed
def test_official_urban_sed_from_a_folder_of_folds(tmp_path, caplog):
    """Three official soundscapes, with sounds in the layout of UrbanSound8K and none of the author's paths."""
    recorded = read_recorded(URBAN_SED / "test")[:3]
    random = numpy.random.default_rng(0)
    for item in recorded:
        for sound in item.soundscape.foreground:
            path = tmp_path / "UrbanSound8K" / "audio" / "fold10" / pathlib.PurePosixPath(sound.source_file).name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, random.normal(0, 0.1, 4 * RATE), RATE)
    report = replay(recorded, tmp_path / "out", tmp_path / "UrbanSound8K", None, RATE)
    assert report.made == 3
    assert "3 of 3 soundscapes had reverberation" in caplog.text
    for item in recorded:
        official = read_events(URBAN_SED / "test" / f"{item.name}.txt")
        events = read_events(tmp_path / "out" / f"{item.name}.txt")
        assert [event.label for event in events] == [event.label for event in official]
        assert [event.onset for event in events] == pytest.approx([event.onset for event in official], abs=2e-6)
        assert soundfile.info(tmp_path / "out" / f"{item.name}.flac").frames == 10 * RATE
