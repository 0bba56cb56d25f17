import csv
import logging

import numpy
import pytest
import soundfile

from tests.training.soundscapes.sound_folders import RATE, write_collections, write_sound
from training.settings.synthesis import SourceArguments
from training.soundscapes.soundscape import BACKGROUND, FOREGROUND
from training.soundscapes.sources import load_collection


@pytest.fixture
def events(tmp_path):
    return SourceArguments(path=write_collections(tmp_path).events.path)


def csv_of(folder, rows, **fields):
    with (folder / "sounds.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return SourceArguments(format="csv", path=str(folder / "sounds.csv"), **fields)


def test_files_classes_and_lengths(events):
    collection = load_collection(events, FOREGROUND)
    assert collection.classes == ["bell", "dog", "glass"]
    assert [source.file for source in collection.sources] == [
        "bell/0.wav",
        "dog/0.wav",
        "dog/1.wav",
        "glass/0.wav",
        "glass/1.wav",
        "glass/2.wav",
    ]
    assert [source.seconds for source in collection.sources] == pytest.approx([0.4, 0.4, 1.4, 0.4, 1.4, 2.4])
    assert [source.label for source in collection.sources] == ["bell", "dog", "dog", "glass", "glass", "glass"]
    assert collection.path_of(collection.sources[0].file) == collection.path_of("bell/0.wav")
    assert collection.path_of("bell/0.wav").is_file()


def test_weights_with_which_classes_are_equally_likely(events):
    weights = load_collection(events, FOREGROUND).balancing_weights
    assert weights == pytest.approx([3, 1.5, 1.5, 1, 1, 1])


def test_all_formats_folders_in_folders_and_links(tmp_path, caplog):
    for suffix in ("wav", "flac", "ogg", "mp3", "aiff", "WAV"):
        write_sound(tmp_path / "events" / "bell" / f"{suffix}.{suffix}", rate=16000)
    write_sound(tmp_path / "events" / "dog" / "small" / "puppies" / "0.wav")
    write_sound(tmp_path / "elsewhere" / "0.wav")
    (tmp_path / "events" / "glass").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "events" / "bell" / "again").symlink_to(tmp_path / "events")
    (tmp_path / "events" / "bell" / "licence.txt").write_text("free")
    (tmp_path / "events" / "bell" / "._wav.wav").write_bytes(b"of a file system")
    (tmp_path / "events" / ".git").mkdir()
    with caplog.at_level(logging.INFO):
        collection = load_collection(SourceArguments(path=str(tmp_path / "events")), FOREGROUND)
    assert [source.label for source in collection.sources] == ["bell"] * 6 + ["dog", "glass"]
    assert all(source.seconds == pytest.approx(1.0, abs=0.05) for source in collection.sources)
    assert not collection.skipped
    assert "1 files are no sounds (.txt)" in caplog.text


def test_unreadable_files_are_left_out_and_named(events, tmp_path, caplog):
    (tmp_path / "events" / "dog" / "damaged.wav").write_bytes(b"RIFF of nothing")
    soundfile.write(tmp_path / "events" / "dog" / "empty.wav", numpy.zeros(0), RATE)
    collection = load_collection(events, FOREGROUND)
    assert len(collection.sources) == 6
    assert set(collection.skipped) == {"dog/damaged.wav", "dog/empty.wav"}
    assert collection.skipped["dog/empty.wav"] == "it holds no samples"
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "dog/damaged.wav: " in warnings[0]


def test_classes_without_sounds_are_listed(events, tmp_path):
    for label in ("horn", "car"):
        (tmp_path / "events" / label).mkdir()
    (tmp_path / "events" / "car" / "licence.txt").write_text("free")
    with pytest.raises(ValueError, match="has folders of classes without a sound: car, horn; remove them"):
        load_collection(events, FOREGROUND)


def test_a_class_without_a_readable_sound(events, tmp_path):
    (tmp_path / "events" / "bell" / "0.wav").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="has classes without a sound that can be read: bell"):
        load_collection(events, FOREGROUND)


def test_no_readable_sound(tmp_path):
    (tmp_path / "events" / "bell").mkdir(parents=True)
    (tmp_path / "events" / "bell" / "0.wav").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="none of the 1 sounds of .*events can be read"):
        load_collection(SourceArguments(path=str(tmp_path / "events")), FOREGROUND)


@pytest.mark.parametrize("path", ["", "no/such/folder"])
def test_no_folder(path):
    with pytest.raises(ValueError, match=f"foreground sounds: '{path}' is no folder; expected one of <class>/<file>"):
        load_collection(SourceArguments(path=path), FOREGROUND)


def test_an_empty_folder(tmp_path):
    with pytest.raises(ValueError, match="has no sound: expected files <class>/<file>"):
        load_collection(SourceArguments(path=str(tmp_path)), BACKGROUND)


def test_sounds_without_a_class_are_for_backgrounds_only(tmp_path):
    for number in range(7):
        write_sound(tmp_path / f"{number}.wav")
    arguments = SourceArguments(path=str(tmp_path))
    assert load_collection(arguments, BACKGROUND).classes == ["background"]
    message = "sounds that lie in no folder of a class: 0.wav, 1.wav, 2.wav, 3.wav, 4.wav and 2 more"
    with pytest.raises(ValueError, match=message):
        load_collection(arguments, FOREGROUND)


def test_a_csv_with_filters(tmp_path):
    write_collections(tmp_path)
    rows = [
        {"file": f"{label}/0.wav", "class": label, "fold": fold}
        for fold, label in enumerate(("bell", "dog", "glass"), 1)
    ]
    names = {"class_column": "class", "file_column": "file", "audio_root": str(tmp_path / "events")}
    assert load_collection(csv_of(tmp_path, rows, **names), FOREGROUND).classes == ["bell", "dog", "glass"]
    kept = load_collection(csv_of(tmp_path, rows, **names, filters={"fold": [1, 3]}), FOREGROUND)
    assert [source.file for source in kept.sources] == ["bell/0.wav", "glass/0.wav"]
    with pytest.raises(ValueError, match=r"no row of .*sounds.csv is kept by the filters {'fold': \[9\]}"):
        load_collection(csv_of(tmp_path, rows, **names, filters={"fold": [9]}), FOREGROUND)


def test_files_of_a_csv_lie_beside_it_and_missing_ones_are_left_out(tmp_path):
    write_sound(tmp_path / "here.wav")
    rows = [{"filename": f"{name}.wav", "label": "bell"} for name in ("here", "lost")]
    collection = load_collection(csv_of(tmp_path, rows), FOREGROUND)
    assert [source.file for source in collection.sources] == ["here.wav"]
    assert set(collection.skipped) == {"lost.wav"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"filename": "a.wav", "category": "x"}],
            "must have rows with the columns filename, label; it has filename, c",
        ),
        ([{"filename": "a.wav", "label": ""}], "has rows without a class or a file: a.wav"),
        (
            [{"filename": "a.wav", "label": "x"}, {"filename": "a.wav", "label": "y"}],
            "gives several classes to one sound: a.wav",
        ),
    ],
)
def test_bad_rows(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        load_collection(csv_of(tmp_path, rows), FOREGROUND)


def test_no_csv(tmp_path):
    with pytest.raises(ValueError, match="background sounds: there is no CSV file"):
        load_collection(SourceArguments(format="csv", path=str(tmp_path / "no.csv")), BACKGROUND)
