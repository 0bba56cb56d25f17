"""Sets of soundscapes: the same from any number of processes, whole after kills, one recipe and writer a folder."""

import csv
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest
import soundfile

from tests.training.soundscapes.sound_folders import RATE, cut_in_half, write_collections, write_sound
from training.settings.recipe import write_arguments
from training.soundscapes.manifest import MANIFEST_FILE
from training.soundscapes.production import LOCK_FILE, RECIPE_FILE, SUMMARY_FILE, produce

OF_THE_RUN = {MANIFEST_FILE, RECIPE_FILE, SUMMARY_FILE, LOCK_FILE}  # these name folder and speed


@pytest.fixture
def arguments(tmp_path):
    arguments = write_collections(tmp_path)
    arguments.output.folder, arguments.output.num_soundscapes = str(tmp_path / "set"), 7
    arguments.output.shard_size = 3
    return arguments


def in_folder(arguments, folder: pathlib.Path, **fields):
    return dataclasses.replace(arguments, output=dataclasses.replace(arguments.output, folder=str(folder), **fields))


def contents(folder: str | pathlib.Path) -> dict[str, str]:
    """File -> digest of its content, without what names the run."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in pathlib.Path(folder).rglob("*")
        if path.is_file() and path.name not in OF_THE_RUN
    }


@pytest.mark.parametrize(("set_format", "num_files"), [("files", 3 * 7 + 1), ("parquet", 3), ("webdataset", 3)])
def test_a_second_call_finds_everything(arguments, set_format, num_files):
    arguments.output.format = set_format
    first = produce(arguments)
    assert (first.num_soundscapes, first.seconds, first.made, first.already_there) == (7, 14.0, 7, 0)
    assert first.times_real_time > 0
    before = contents(arguments.output.folder)
    assert len(before) == num_files
    second = produce(arguments)
    assert (second.made, second.already_there, second.times_real_time) == (0, 7, None)
    assert contents(arguments.output.folder) == before


@pytest.mark.parametrize("set_format", ["files", "parquet", "webdataset"])
def test_what_is_missing_is_made_as_it_was(arguments, set_format):
    arguments.output.format = set_format
    produce(arguments)
    before = contents(arguments.output.folder)
    lost = [name for name in sorted(before) if name.endswith(("1.jams", "4.jams", "00001.parquet", "00001.tar"))]
    for name in lost:
        pathlib.Path(arguments.output.folder, name).unlink()
    assert produce(arguments).made == (2 if set_format == "files" else 3)
    assert contents(arguments.output.folder) == before


def test_the_set_does_not_depend_on_the_number_of_processes(arguments, tmp_path):
    arguments.output.num_soundscapes = 70
    produce(arguments)
    two = in_folder(arguments, tmp_path / "two")
    assert produce(two, processes=2).made == 70
    assert contents(tmp_path / "two") == contents(arguments.output.folder)


def test_a_smaller_set_is_the_beginning_of_a_larger_one(arguments, tmp_path):
    produce(arguments)
    produce(in_folder(arguments, tmp_path / "small", num_soundscapes=4))
    whole, small = contents(arguments.output.folder), contents(tmp_path / "small")
    assert all(whole[name] == digest for name, digest in small.items() if name != "clips.csv")
    lines = [(folder / "clips.csv").read_text().splitlines() for folder in (tmp_path / "small", tmp_path / "set")]
    assert lines[0] == lines[1][:5]


def check_whole(folder: pathlib.Path, number: int, seconds: float) -> None:
    """Every soundscape once, with all of its samples."""
    rows = list(csv.DictReader((folder / "clips.csv").open()))
    assert [int(row["index"]) for row in rows] == list(range(number))
    assert len({row["filename"] for row in rows}) == number
    for row in rows:
        samples, rate = soundfile.read(folder / row["filename"])
        assert len(samples) == round(seconds * rate)
    names = {path.name for path in (folder / "soundscapes").iterdir()}
    assert names == {f"{index:06d}.{suffix}" for index in range(number) for suffix in ("flac", "jams", "txt")}


def start(arguments, tmp_path, processes: int) -> subprocess.Popen:
    """The command, in a process group of its own."""
    write_arguments(arguments, tmp_path / "recipe.yaml")
    command = [sys.executable, "-m", "training.synthesize", "--config", str(tmp_path / "recipe.yaml")]
    command += ["--processes", str(processes)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)


def wait_for(process: subprocess.Popen, folder: pathlib.Path, number: int) -> None:
    """Waits until so many soundscapes are there."""
    while len(list(folder.glob("soundscapes/*.jams"))) < number:
        assert process.poll() is None, "it ended too early"
        time.sleep(0.01)


def kill(process: subprocess.Popen) -> None:
    """Kills a command, as nothing can catch it, and waits for its workers, which are to notice."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 30
    while _lives(process.pid):
        assert time.monotonic() < deadline, "workers of a killed command are still there"
        time.sleep(0.02)


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups, which Windows does not have")
def test_killed_twice(arguments, tmp_path):
    arguments.output.num_soundscapes = number = 400
    folder = pathlib.Path(arguments.output.folder)
    generator = random.Random(0)
    there = 0
    for processes in (2, 1):
        process = start(arguments, tmp_path, processes)
        wait_for(process, folder, there + generator.randint(1, 100))
        message = r"another process is writing soundscapes to .*set: wait for it, or choose another output.folder"
        with pytest.raises(ValueError, match=message):
            produce(arguments)
        kill(process)
        there = len(list(folder.glob("soundscapes/*.jams")))
        assert there < number
    report = produce(arguments)
    assert (report.made, report.already_there) == (number - there, there)
    check_whole(folder, number, arguments.mixture.duration)
    produce(in_folder(arguments, tmp_path / "undisturbed"))
    assert contents(folder) == contents(tmp_path / "undisturbed")


@pytest.mark.slow
def test_ten_thousand_soundscapes_of_five_seconds_killed_three_times(arguments, tmp_path):
    arguments.mixture.duration, arguments.mixture.sampling_rate = 5.0, 22050
    arguments.output.num_soundscapes = number = 10_000
    folder = pathlib.Path(arguments.output.folder)
    counts = []
    for moment in sorted(random.Random(0).sample(range(1, 8000), 3)):
        process = start(arguments, tmp_path, processes=2)
        wait_for(process, folder, moment)
        kill(process)
        counts.append(len(list(folder.glob("soundscapes/*.jams"))))
    report = produce(arguments, processes=2)
    logging.getLogger(__name__).warning("there after each kill: %s; %s", counts, report)
    assert (report.made, report.already_there) == (number - counts[-1], counts[-1])
    check_whole(folder, number, arguments.mixture.duration)


def test_a_folder_of_another_recipe(arguments, tmp_path):
    produce(arguments)
    before = contents(arguments.output.folder)
    write_sound(tmp_path / "events" / "bell" / "0.wav", 0.7, seed=5)
    write_sound(tmp_path / "events" / "dog" / "new.wav", 0.7, seed=6)
    (tmp_path / "events" / "glass" / "1.wav").unlink()
    arguments.mixture.snr, arguments.output.seed = 20.0, 3
    with pytest.raises(ValueError, match="has soundscapes of another recipe: choose another output.folder") as caught:
        produce(arguments)
    assert str(caught.value).splitlines()[1:] == [
        "  mixture.snr: ['uniform', 10.0, 60.0] there, 20.0 asked for",
        "  output.seed: 0 there, 3 asked for",
        "  1 sounds of events were not there: dog/new.wav",
        "  1 sounds of events are gone: glass/1.wav",
        "  1 sounds of events are others: bell/0.wav",
    ]
    assert contents(arguments.output.folder) == before


def test_sounds_that_were_moved_make_the_same_set(arguments, tmp_path):
    produce(arguments)
    (tmp_path / "events").rename(tmp_path / "moved")
    arguments.events.path = str(tmp_path / "moved")
    assert produce(arguments).already_there == 7


def test_sets_that_are_to_have_no_source_in_common(arguments, tmp_path):
    produce(arguments)
    other = in_folder(arguments, tmp_path / "test", disjoint_from=[arguments.output.folder])
    copied = tmp_path / "copies" / "barking" / "copy.wav"
    copied.parent.mkdir(parents=True)
    copied.write_bytes((tmp_path / "events" / "dog" / "1.wav").read_bytes())
    write_sound(tmp_path / "copies" / "barking" / "own.wav", 1.0, seed=77)
    other.events = dataclasses.replace(other.events, path=str(tmp_path / "copies"))
    with pytest.raises(ValueError, match=r"1 of 2 foreground sounds are those of the set .*barking/copy.wav \(there"):
        produce(other)
    copied.unlink()
    assert produce(other).made == 7


def test_apart_from_what_is_no_set(arguments, tmp_path):
    arguments.output.disjoint_from = [str(tmp_path)]
    with pytest.raises(ValueError, match="is no set of soundscapes: it has no manifest.json"):
        produce(arguments)


def test_sources_that_cannot_be_read_are_named(arguments, tmp_path):
    (tmp_path / "events" / "dog" / "noise.wav").write_bytes(b"no sound")
    damaged = tmp_path / "events" / "dog" / "late.flac"
    write_sound(damaged, 30.0)
    cut_in_half(damaged)
    arguments.output.num_soundscapes = 40
    report = produce(arguments)
    assert (report.made, set(report.skipped)) == (40, {str(damaged), str(damaged.with_name("noise.wav"))})
    assert report.drawn_again > 0
    manifest = json.loads(pathlib.Path(arguments.output.folder, MANIFEST_FILE).read_text())
    assert list(manifest["skipped"]["events"]) == ["dog/noise.wav"]
    check_whole(pathlib.Path(arguments.output.folder), 40, 2.0)


def test_a_class_with_the_character_that_joins_labels(arguments, tmp_path):
    write_sound(tmp_path / "events" / "cat;kitten" / "0.wav")
    with pytest.raises(ValueError, match="classes with ';' in their name.*: cat;kitten; rename them"):
        produce(arguments)
    arguments.output.format = "parquet"
    assert produce(arguments).made == 7


def test_a_full_disk(arguments):
    """The third soundscape is written to a device that has no room."""
    folder = pathlib.Path(arguments.output.folder, "soundscapes")
    folder.mkdir(parents=True)
    (folder / ".unfinished-000002.flac").symlink_to("/dev/full")
    message = "no space is left for .*set: what is written there is whole and stays; make room and run the same"
    with pytest.raises(ValueError, match=message):
        produce(arguments)
    assert {path.name for path in folder.glob("*.jams")} == {"000000.jams", "000001.jams"}
    assert produce(arguments).already_there == 2
    check_whole(folder.parent, 7, 2.0)


def test_no_process(arguments):
    with pytest.raises(ValueError, match="processes is 0: there must be at least 1"):
        produce(arguments, processes=0)


def test_what_it_was_made_of_makes_it_again(arguments, tmp_path):
    produce(arguments)
    manifest = json.loads(pathlib.Path(arguments.output.folder, MANIFEST_FILE).read_text())
    assert manifest["classes"] == ["bell", "dog", "glass"]
    assert [source["file"] for source in manifest["sources"]["events"]][:2] == ["bell/0.wav", "dog/0.wav"]
    assert manifest["recipe"]["mixture"]["sampling_rate"] == RATE
    assert {"modeling_sslam", "libsndfile"} <= set(manifest["made_with"])
