"""Means over epochs."""

import numpy
import pytest
import torch
from transformers import EvalPrediction, TrainerState, TrainingArguments

from training.metrics.classification import single_label_metrics
from training.run.averaging import EpochMeans, RunningMean, sigmoid_scores, softmax_scores
from training.settings.finetuning import AverageArguments


def test_running_mean_and_its_state():
    values = torch.randn(5, 3)
    mean = RunningMean()
    for value in values[:2]:
        mean.add({"weight": value, "count": torch.tensor(7)})
    again = RunningMean()
    again.load_state_dict(mean.state_dict())
    for value in values[2:]:
        again.add({"weight": value, "count": torch.tensor(7)})
    torch.testing.assert_close(again.mean["weight"], values.double().mean(dim=0))
    assert again.mean["count"] == 7


def test_what_is_added_is_copied():
    mean, value = RunningMean(), torch.ones(2, dtype=torch.float64)
    mean.add({"weight": value})
    value.zero_()
    assert mean.mean["weight"].tolist() == [1, 1]


def test_two_wrong_models_can_be_right_together():
    labels = numpy.eye(3)[[0, 0]]
    means = EpochMeans(AverageArguments(scores=True), single_label_metrics)
    first = means.compute_metrics(EvalPrediction(numpy.array([[1.0, 2, -9], [1, -9, 2]]), labels))
    second = means.compute_metrics(EvalPrediction(numpy.array([[1.0, -9, 2], [1, 2, -9]]), labels))
    assert first == {"accuracy": 0, "cumulative_accuracy": 0}
    assert second == {"accuracy": 0, "cumulative_accuracy": 1}


def test_mean_scores_outlive_a_run_that_is_resumed_at_its_end(tmp_path):
    means = EpochMeans(AverageArguments(scores=True), single_label_metrics)
    means.compute_metrics(EvalPrediction(numpy.array([[2.0, 1], [2, 1]]), numpy.eye(2)))
    (tmp_path / "checkpoint-4").mkdir()
    means.on_save(TrainingArguments(output_dir=str(tmp_path), use_cpu=True), TrainerState(global_step=4), None)
    again = EpochMeans(means.arguments, single_label_metrics)
    again.resume(tmp_path / "checkpoint-4")
    assert again.cumulative == {"cumulative_accuracy": 0.5}


def test_weights_of_the_chosen_epochs(tmp_path):
    model = torch.nn.Linear(1, 1, bias=False)
    arguments, state = TrainingArguments(output_dir=str(tmp_path), use_cpu=True), TrainerState(global_step=4)
    means = EpochMeans(AverageArguments(first_epoch=2, last_epoch=3), single_label_metrics)
    for epoch in range(1, 5):
        torch.nn.init.constant_(model.weight, float(epoch))
        state.epoch = epoch - 1e-9
        means.on_epoch_end(arguments, state, None, model=model)
    (tmp_path / "checkpoint-4").mkdir()
    means.on_save(arguments, state, None)
    again = EpochMeans(means.arguments, single_label_metrics)
    again.resume(tmp_path / "checkpoint-4")
    again.load_mean_weights(model)
    assert model.weight.item() == 2.5


def test_settings_that_cannot_be_used():
    with pytest.raises(ValueError, match="first_epoch and average.last_epoch go together"):
        AverageArguments(first_epoch=2)
    with pytest.raises(ValueError, match="first_epoch is 3 and average.last_epoch 2: epochs count from 1"):
        AverageArguments(first_epoch=3, last_epoch=2)
    with pytest.raises(ValueError, match="average.first_epoch is 5, but the run ended before"):
        EpochMeans(AverageArguments(first_epoch=5, last_epoch=6), single_label_metrics).load_mean_weights(None)


def test_scores_of_logits():
    logits = numpy.array([[0.0, numpy.log(3.0)], [800.0, 0.0]])
    assert softmax_scores(logits).tolist() == [pytest.approx([0.25, 0.75]), [1.0, 0.0]]
    assert sigmoid_scores(logits).tolist() == [pytest.approx([0.5, 0.75]), [1.0, 0.5]]


@pytest.mark.parametrize(("scores_of", "best"), [(sigmoid_scores, 1), (softmax_scores, 0)])
def test_metrics_are_those_of_the_chosen_scores(scores_of, best):
    """Of the first class, the second clip has the larger logit, but the first one the larger share."""
    prediction = EvalPrediction(numpy.array([[1.0, -9.0], [2.0, 2.0]]), numpy.eye(2))
    means = EpochMeans(AverageArguments(), lambda scores, _: {"best": int(scores[:, 0].argmax())}, scores_of)
    assert means.metrics_of_model(prediction) == {"best": best}
