"""The clip stream: sources, order, positions, and files that cannot be decoded."""

import io
import itertools
import logging
import tarfile

import datasets
import pytest
import soundfile
import torch

from modeling_sslam import SslamFeatureExtractor
from modeling_sslam.audio_io import load_audio
from training.data.rows import ClipFeatures, ClipStream, Position, RandomCrop, RowBatches, load_rows
from training.settings.recipe import DataArguments

RATE = 16000
NUM_CLIPS = 10


def clip_bytes(index: int) -> bytes:
    """A flac of noise, a little longer for each index."""
    noise = torch.randn(1600 + 160 * index, generator=torch.Generator().manual_seed(index))
    file = io.BytesIO()
    soundfile.write(file, 0.1 * noise.numpy(), RATE, format="flac")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Ten flac files and a CSV that lists them with a fold."""
    clips = tmp_path / "clips"
    clips.mkdir()
    for index in range(NUM_CLIPS):
        (clips / f"{index}.flac").write_bytes(clip_bytes(index))
    lines = [f"{index}.flac,{index % 5}" for index in range(NUM_CLIPS)]
    (clips / "list.csv").write_text("\n".join(["filename,fold", *lines]))
    return clips


def names(rows) -> list[int]:
    return [int(row["audio"]["path"].rsplit("/")[-1].removesuffix(".flac")) for row in rows]


def read(folder, num_batches, start=Position(), workers=0, buffer=4, **kwargs):  # noqa: B008
    rows = load_rows(DataArguments(format="folder", path=str(folder)))
    row_batches = RowBatches(rows, 4, buffer, seed=3, start=start, **kwargs)
    features = ClipFeatures(SslamFeatureExtractor(target_length=16), "audio")
    return list(itertools.islice(ClipStream(row_batches, features, workers), num_batches))


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


def test_a_batch_holds_the_extractors_features(folder):
    (batch,) = read(folder, 1, buffer=0)
    extractor = SslamFeatureExtractor(target_length=16)
    waveforms = [soundfile.read(folder / f"{index}.flac", dtype="float32")[0] for index in range(4)]
    want = extractor(waveforms, sampling_rate=RATE, return_tensors="pt")["input_values"]
    torch.testing.assert_close(batch.input_values, want, rtol=0, atol=1e-5)
    assert batch.position == Position(0, 4)


def test_random_crops_are_cut_from_whole_clips_and_depend_on_seed_and_place_only(folder):
    rows = load_rows(DataArguments(format="folder", path=str(folder)))

    def crops(seed: int, workers: int) -> torch.Tensor:
        features = ClipFeatures(SslamFeatureExtractor(), "audio", RandomCrop(num_frames=5, seed=seed))
        batches = ClipStream(RowBatches(rows, 4, 0, seed=3), features, workers)
        return torch.cat([batch.input_values for batch in itertools.islice(batches, 5)])

    cut = crops(0, workers=0)
    assert cut.shape[1] == 5
    clip = load_audio(next(iter(rows))["audio"], 16000)
    whole = SslamFeatureExtractor()(clip, 16000, padding="longest", return_tensors="pt")["input_values"][0]
    assert any(torch.equal(cut[0], whole[start : start + 5]) for start in range(len(whole) - 4))
    assert torch.equal(cut, crops(0, workers=2))
    assert not torch.equal(cut, crops(1, workers=0))


def test_a_clip_shorter_than_its_crop_is_repeated():
    clip = torch.arange(3.0)[:, None]
    crop = RandomCrop(num_frames=6, seed=0)(clip, Position(), index=0)
    assert crop[:, 0].tolist() == [0, 1, 2, 0, 1, 2]
    starts = {RandomCrop(2, seed)(clip, Position(), 0)[0, 0].item() for seed in range(20)}
    assert starts == {0.0}  # one place to spare: the last start is never drawn


def test_order_does_not_depend_on_workers(folder):
    alone, with_workers = read(folder, 7), read(folder, 7, workers=2)
    assert [batch.position for batch in alone] == [batch.position for batch in with_workers]
    assert all(torch.equal(a.input_values, b.input_values) for a, b in zip(alone, with_workers, strict=True))


@pytest.mark.parametrize("stop", [1, 2, 4])  # within the first epoch, and after batches that ran across epochs
def test_resume_goes_on_exactly(folder, stop):
    whole = read(folder, 7)
    rest = read(folder, 7 - stop, start=whole[stop - 1].position, workers=2)
    assert [batch.position for batch in rest] == [batch.position for batch in whole[stop:]]
    assert all(torch.equal(a.input_values, b.input_values) for a, b in zip(rest, whole[stop:], strict=True))


def rows_of(folder, epochs, **kwargs):
    """Names of the clips in each epoch."""
    batches = RowBatches(load_rows(DataArguments(format="folder", path=str(folder))), 1, seed=3, **kwargs)
    seen = {}
    for batch in batches:
        if batch.position.epoch == epochs:
            return list(seen.values())
        seen.setdefault(batch.position.epoch, []).extend(names(batch.rows))
    return None


def test_every_epoch_has_every_clip_in_its_own_order(folder):
    first, second = rows_of(folder, 2, shuffle_buffer=5)
    assert sorted(first) == sorted(second) == list(range(NUM_CLIPS))
    assert first != second


def test_processes_share_the_clips(folder):
    parts = [rows_of(folder, 1, shuffle_buffer=5, rank=rank, world_size=3)[0] for rank in range(3)]
    assert sorted(sum(parts, [])) == list(range(NUM_CLIPS))


def test_more_clips_a_batch_than_in_the_data(folder):
    for index in range(2, NUM_CLIPS):
        (folder / f"{index}.flac").unlink()
    (batch,) = read(folder, 1, buffer=0)
    assert batch.position == Position(1, 2)
    assert torch.equal(batch.input_values[:2], batch.input_values[2:])


def test_a_corrupt_file_is_replaced_and_named(folder, caplog):
    (folder / "1.flac").write_bytes(b"no audio")
    (folder / "3.flac").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        (batch,) = read(folder, 1, buffer=0)
    assert [len(batch.failures), len(caplog.messages)] == [2, 2]
    assert "1.flac" in caplog.messages[0]
    assert torch.equal(batch.input_values[1], batch.input_values[2])  # the next one
    assert torch.equal(batch.input_values[3], batch.input_values[0])  # cyclically


def test_a_batch_without_any_audio_is_dropped(folder):
    for index in range(4):
        (folder / f"{index}.flac").write_bytes(b"no audio")
    (batch,) = read(folder, 1, buffer=0)
    assert batch.position == Position(0, 8)


def test_all_files_corrupt(folder):
    for file in folder.glob("*.flac"):
        file.write_bytes(b"no audio")
    with pytest.raises(ValueError, match=r"none of \d+ clips in a row could be decoded, for example .*\.flac"):
        read(folder, 1)


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


def test_filters_that_keep_nothing(folder):
    rows = load_rows(DataArguments(format="csv", path=str(folder / "list.csv"), filters={"fold": [9]}))
    with pytest.raises(ValueError, match="no rows for this process: check data.path and data.filters"):
        next(iter(RowBatches(rows, 4, 0, seed=0)))
