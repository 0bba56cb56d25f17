"""Sources of undecoded rows."""

import io
import tarfile

import datasets
import pytest

from tests.training.data.clips import NUM_CLIPS, clip_bytes, names, write_clips
from training.data.rows import load_rows
from training.settings.data import DataArguments


@pytest.fixture
def folder(tmp_path):
    return write_clips(tmp_path)


def test_folder_csv_and_filter(folder):
    assert names(load_rows(DataArguments(format="folder", path=str(folder)))) == list(range(NUM_CLIPS))
    listed = DataArguments(format="csv", path=str(folder / "list.csv"), filters={"fold": [1, 3]})
    assert names(load_rows(listed)) == [1, 3, 6, 8]


@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
def test_files_that_hold_the_audio(tmp_path, kind):
    if kind == "parquet":
        rows = [{"audio": {"bytes": clip_bytes(index), "path": f"{index}.flac"}} for index in range(3)]
        datasets.Dataset.from_list(rows).to_parquet(tmp_path / "a.parquet")
        arguments = DataArguments(format=kind, path=str(tmp_path / "*.parquet"))
    else:
        with tarfile.open(tmp_path / "a.tar", "w") as tar:
            for index in range(3):
                entry = tarfile.TarInfo(f"{index}.flac")
                entry.size = len(clip_bytes(index))
                tar.addfile(entry, io.BytesIO(clip_bytes(index)))
        arguments = DataArguments(format=kind, path=str(tmp_path / "*.tar"), audio_column="flac")
    rows = list(load_rows(arguments))
    assert [row[arguments.audio_column]["bytes"] for row in rows] == [clip_bytes(index) for index in range(3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "folder", "path": "."}, "no audio file"),
        ({"format": "mp3"}, "data.format is 'mp3': choose hub, parquet"),
        ({"format": "csv", "path": "list.csv", "file_column": "name"}, "no column 'name'; it has filename, fold"),
        ({"format": "csv", "path": "list.csv", "filters": {"split": ["a"]}}, "has no column split; it has"),
    ],
)
def test_sources_that_cannot_be_read(folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    for file in folder.glob("*.flac"):
        file.unlink()
    with pytest.raises(ValueError, match=message):
        load_rows(DataArguments(**arguments))
