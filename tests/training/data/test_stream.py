"""The clip stream: order, positions, and files that cannot be decoded."""

import itertools
import logging

import pytest
import torch

from modeling_sslam import KaldiFbankFeatureExtractor
from tests.training.data.clips import NUM_CLIPS, names, write_clips
from training.data.rows import load_rows
from training.data.stream import ClipStream, Position, RowBatches
from training.data.views import ClipFeatures
from training.settings.data import DataArguments


@pytest.fixture
def folder(tmp_path):
    return write_clips(tmp_path)


def read(folder, num_batches, start=Position(), workers=0, buffer=4, **kwargs):  # noqa: B008
    rows = load_rows(DataArguments(format="folder", path=str(folder)))
    row_batches = RowBatches(rows, 4, buffer, seed=3, start=start, **kwargs)
    features = ClipFeatures(KaldiFbankFeatureExtractor(target_length=16), "audio")
    return list(itertools.islice(ClipStream(row_batches, features, workers), num_batches))


@pytest.fixture
def several_threads():
    """PyTorch as users have it; the suite is run with one thread a process."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)  # where machines with two cores were seen to differ from one thread
    yield
    torch.set_num_threads(before)


def test_order_does_not_depend_on_workers(folder, several_threads):
    alone, with_workers = read(folder, 7), read(folder, 7, workers=2)
    assert [batch.position for batch in alone] == [batch.position for batch in with_workers]
    assert all(
        torch.equal(a.inputs["input_values"], b.inputs["input_values"])
        for a, b in zip(alone, with_workers, strict=True)
    )


@pytest.mark.parametrize("stop", [1, 2, 4])  # within the first epoch, and after batches that ran across epochs
def test_resume_goes_on_exactly(folder, stop):
    whole = read(folder, 7)
    rest = read(folder, 7 - stop, start=whole[stop - 1].position, workers=2)
    assert [batch.position for batch in rest] == [batch.position for batch in whole[stop:]]
    assert all(
        torch.equal(a.inputs["input_values"], b.inputs["input_values"])
        for a, b in zip(rest, whole[stop:], strict=True)
    )


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
    assert torch.equal(batch.inputs["input_values"][:2], batch.inputs["input_values"][2:])


def test_a_corrupt_file_is_replaced_and_named(folder, caplog):
    (folder / "1.flac").write_bytes(b"no audio")
    (folder / "3.flac").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        (batch,) = read(folder, 1, buffer=0)
    assert [len(batch.failures), len(caplog.messages)] == [2, 2]
    assert "1.flac" in caplog.messages[0]
    assert torch.equal(batch.inputs["input_values"][1], batch.inputs["input_values"][2])  # the next one
    assert torch.equal(batch.inputs["input_values"][3], batch.inputs["input_values"][0])  # cyclically


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


def test_filters_that_keep_nothing(folder):
    rows = load_rows(DataArguments(format="csv", path=str(folder / "list.csv"), filters={"fold": [9]}))
    with pytest.raises(ValueError, match="no rows for this process: check data.path and data.filters"):
        next(iter(RowBatches(rows, 4, 0, seed=0)))
