"""Evaluation during pretraining, and the schedule that watches it."""

import pytest
from accelerate.state import AcceleratorState

from tests.pretraining import arguments, settings, write_clips
from training.data.rows import load_rows
from training.data.stream import RowBatches
from training.pretrain import pretrain
from training.run.monitor import read_metrics
from training.settings.pretraining import PretrainArguments
from training.settings.recipe import build_arguments


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return write_clips(folder / "training"), write_clips(folder / "held_out", 4)


def plateau(folders, output, **overrides) -> PretrainArguments:
    """Six updates, evaluated after every second one, the rate halved after every evaluation that is no improvement."""
    training, held_out = folders
    sections = settings(training, output)
    sections["evaluation"] = {"path": str(held_out), "every": 2}
    sections["optim"] |= {"schedule": "plateau", "warmup_block": 2, "patience": 0, "optimizer": "adam"}
    for name, value in overrides.items():
        section, field = name.split("__")
        sections[section][field] = value
    return build_arguments(sections)


def test_one_epoch_ends_with_a_smaller_batch(folders):
    data = arguments(*folders).data
    batches = list(RowBatches(load_rows(data), 3, 0, seed=0, endless=False))
    assert [len(batch.rows) for batch in batches] == [3, 3, 2]


def test_evaluations_are_logged_and_halve_the_rate(folders, tmp_path):
    pretrain(plateau(folders, tmp_path, run__log_every=100, run__checkpoint_every=6, optim__learning_rate=1e-7))
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6]
    # At so low a rate the model hardly moves, and with the same masks neither does the loss: no improvement.
    assert [line["evaluation_loss"] for line in lines] == pytest.approx([lines[0]["evaluation_loss"]] * 3, rel=1e-4)
    assert [line["learning_rate"] for line in lines] == pytest.approx([0, 1e-7 / 2, 1e-7 / 4], abs=0)


def test_a_resumed_run_goes_on_exactly(folders, tmp_path):
    pretrain(plateau(folders, tmp_path / "whole"))
    AcceleratorState._reset_state(reset_partial_state=True)
    resume = str(tmp_path / "whole" / "checkpoint_00000003")
    pretrain(plateau(folders, tmp_path / "resumed", run__resume=resume))
    whole, resumed = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("whole", "resumed"))
    for name in ("loss", "learning_rate", "evaluation_loss"):
        assert [line.get(name) for line in resumed] == [line.get(name) for line in whole[3:]]


def test_settings_that_cannot_be_used(folders, tmp_path):
    sections = {"optim": {"schedule": "plateau", "warmup_steps": 0}}
    with pytest.raises(ValueError, match="'plateau', which watches evaluations: set evaluation.every"):
        build_arguments(sections)
    same = arguments(folders[0], tmp_path)
    same.evaluation.every = 2
    with pytest.raises(ValueError, match="evaluation and training clips are the same"):
        pretrain(same)
