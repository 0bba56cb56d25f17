"""When a run ends early."""

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from training.run.early_stop import EarlyStop


@pytest.fixture
def arguments(tmp_path):
    return TrainingArguments(
        output_dir=str(tmp_path), metric_for_best_model="accuracy", greater_is_better=True, use_cpu=True
    )


def evaluations(arguments, scores: list[float], patience: int) -> int:
    """How many evaluations there are before the run ends."""
    stop, state, control = EarlyStop(patience), TrainerState(), TrainerControl()
    for number, score in enumerate(scores, start=1):
        stop.on_evaluate(arguments, state, control, metrics={"eval_accuracy": score})
        state.best_metric = score if state.best_metric is None else max(score, state.best_metric)
        if control.should_training_stop:
            return number
    return len(scores)


def test_as_many_evaluations_in_a_row_as_the_patience(arguments):
    assert evaluations(arguments, [0.5, 0.5, 0.4, 0.6, 0.6, 0.6, 0.7], patience=3) == 7
    assert evaluations(arguments, [0.5, 0.5, 0.4, 0.6, 0.6, 0.6, 0.7], patience=2) == 3
    assert evaluations(arguments, [0.5, 0.50001, 0.50002], patience=1) == 3  # the smallest improvement counts


def test_other_clips_do_not_count(arguments, caplog):
    stop, control = EarlyStop(1), TrainerControl()
    stop.on_evaluate(arguments, TrainerState(best_metric=0.9), control, metrics={"test_accuracy": 0.1})
    assert not control.should_training_stop
    assert not caplog.records
