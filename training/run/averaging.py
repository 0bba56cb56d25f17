"""Means over the epochs of a fine-tuning run: of the scores that its models give, and of their weights."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping

import numpy
import torch
from scipy.special import expit, softmax
from torch import nn
from transformers import EvalPrediction, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from training.settings.finetuning import AverageArguments

ScoreMetrics = Callable[[numpy.ndarray, numpy.ndarray], dict[str, float]]


def sigmoid_scores(logits: numpy.ndarray) -> numpy.ndarray:
    """(N, C) logits -> the probability of each label, by itself."""
    return expit(logits)


def softmax_scores(logits: numpy.ndarray) -> numpy.ndarray:
    """(N, C) logits -> the probability of each label where a clip has one."""
    return softmax(logits, axis=-1)


class RunningMean:
    """Mean of mappings of tensors, in float64, added one after the other; integers are kept as last seen."""

    def __init__(self):
        self.count = 0
        self.mean: dict[str, torch.Tensor] = {}

    def add(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.count += 1
        for name, tensor in tensors.items():
            value = tensor.detach().to("cpu", copy=True)
            if not value.is_floating_point():
                self.mean[name] = value
            elif self.count == 1:
                self.mean[name] = value.double()
            else:
                self.mean[name].lerp_(value.double(), 1 / self.count)

    def state_dict(self) -> dict:
        return {"count": self.count, "mean": self.mean}

    def load_state_dict(self, state: dict) -> None:
        self.count, self.mean = state["count"], state["mean"]


class EpochMeans(TrainerCallback):
    """Keeps the means while `Trainer` runs, and saves them with its checkpoints.

    Args:
        arguments: what to average.
        metrics: of scores (N, C) against labels (N, C).
        scores_of: scores (N, C) of logits (N, C).
    """

    FILE = "epoch_means.pt"

    def __init__(
        self,
        arguments: AverageArguments,
        metrics: ScoreMetrics,
        scores_of: Callable[[numpy.ndarray], numpy.ndarray] = sigmoid_scores,
    ):
        self.arguments = arguments
        self.metrics = metrics
        self.scores_of = scores_of
        self.scores = RunningMean()
        self.weights = RunningMean()
        self.cumulative: dict[str, float] = {}

    def metrics_of_model(self, prediction: EvalPrediction) -> dict[str, float]:
        """Metrics of logits; mAP and d' are taken of probabilities, as published."""
        return self.metrics(self.scores_of(prediction.predictions), prediction.label_ids)

    def compute_metrics(self, prediction: EvalPrediction) -> dict[str, float]:
        """For `Trainer`, called at every evaluation: those of the model, and those of the mean scores so far."""
        results = self.metrics_of_model(prediction)
        if self.arguments.scores:
            self.scores.add({"scores": torch.from_numpy(self.scores_of(prediction.predictions))})
            mean = self.metrics(self.scores.mean["scores"].numpy(), prediction.label_ids)
            self.cumulative = {f"cumulative_{name}": float(value) for name, value in mean.items()}
        return results | self.cumulative

    def on_epoch_end(self, args, state, control, model: nn.Module, **kwargs) -> None:
        first, last = self.arguments.first_epoch, self.arguments.last_epoch
        if first is not None and first <= round(state.epoch) <= last:
            self.weights.add(model.state_dict())

    def on_save(self, args, state, control, **kwargs) -> None:
        if state.is_world_process_zero:
            folder = pathlib.Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
            state = {"scores": self.scores.state_dict(), "weights": self.weights.state_dict()}
            torch.save(state | {"cumulative": self.cumulative}, folder / self.FILE)

    def resume(self, checkpoint: pathlib.Path) -> None:
        """Goes on from a checkpoint folder of `Trainer`."""
        means = torch.load(checkpoint / self.FILE, map_location="cpu", weights_only=True)
        self.scores.load_state_dict(means["scores"])
        self.weights.load_state_dict(means["weights"])
        self.cumulative = means["cumulative"]

    def load_mean_weights(self, model: nn.Module) -> None:
        """Gives `model` the mean of the weights.

        Raises:
            ValueError: the run ended before the first epoch whose weights count.
        """
        if not self.weights.count:
            raise ValueError(
                f"average.first_epoch is {self.arguments.first_epoch}, but the run ended before: there are no weights "
                "to average"
            )
        model.load_state_dict(self.weights.mean)
