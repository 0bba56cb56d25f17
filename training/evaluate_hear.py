"""HEAR's downstream protocol on clips with a fold column: a shallow network on frozen scene embeddings.

    python -m training.evaluate_hear --model outputs/model --data esc50.csv data.label_column=category \
        task.fold_column=fold

The task model is linear, batch norm, dropout, ReLU, linear. Every fold is the test fold once; the next one is for
validation, the others are for training. Settings of the grid are compared on the validation fold of the first round.
The result is the mean over folds; over seeds, its mean and the half width of its 95 % confidence interval.
Protocol: Turian et al., "HEAR: Holistic Evaluation of Audio Representations", PMLR 2022, as restricted by Yadav et
al., "Masked Autoencoders with Multi-Window Local-Global Attention Are Better Audio Learners", ICLR 2024.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
from collections.abc import Iterator, Sequence

import numpy
import torch
from scipy import stats
from torch import nn

from modeling_sslam.hear.embeddings import load_model
from training.data.labelled import label_indices, label_names, load_labelled_rows
from training.data.rows import load_rows
from training.metrics.classification import classification_metrics
from training.objectives.classification import bce_per_clip, cross_entropy
from training.probes.scenes import scene_embeddings
from training.run.command import model_command, start_log, write_results
from training.settings.data import LabelledDataArguments

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class TaskArguments:
    """The protocol.

    Attributes:
        fold_column: column that says in which fold a clip is.
        seeds: runs with seeds 0, 1, ...
        hidden_size: of the task model.
        dropouts: the grid.
        learning_rate, batch_size: of Adam.
        max_epochs: at most.
        validate_every: epochs between validations.
        patience: validations without a better score after which training ends. The best weights are kept.
    """

    fold_column: str = "fold"
    seeds: int = 10
    hidden_size: int = 1024
    dropouts: list = dataclasses.field(default_factory=lambda: [0.1, 0.25])
    learning_rate: float = 1e-4
    batch_size: int = 1024
    max_epochs: int = 500
    validate_every: int = 3
    patience: int = 20


@dataclasses.dataclass
class HearArguments:
    """All sections."""

    data: LabelledDataArguments = dataclasses.field(default_factory=LabelledDataArguments)
    task: TaskArguments = dataclasses.field(default_factory=TaskArguments)


@dataclasses.dataclass(frozen=True)
class Embedded:
    """Clips as the task model sees them.

    Attributes:
        scenes: (N, E) embeddings.
        targets: (N, C), 1 for each label of a clip.
        multi_label: whether a clip may have several labels.
    """

    scenes: torch.Tensor
    targets: torch.Tensor
    multi_label: bool

    def __getitem__(self, chosen: torch.Tensor) -> Embedded:
        return Embedded(self.scenes[chosen], self.targets[chosen], self.multi_label)

    def score(self, logits: torch.Tensor) -> float:
        """mAP or accuracy of logits (N, C)."""
        scores = classification_metrics(self.multi_label)(logits.numpy(), self.targets.numpy())
        return scores["mean_average_precision" if self.multi_label else "accuracy"]


def rotations(folds: Sequence[str]) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """(N,) masks of training, validation and test clips of every round, given the fold of each clip.

    Raises:
        ValueError: less than three folds.
    """
    names = sorted(set(folds))
    if len(names) < 3:
        raise ValueError(f"the folds are {', '.join(names)}: training, validation and test need at least three")
    for number, name in enumerate(names):
        test = torch.tensor([fold == name for fold in folds])
        validation = torch.tensor([fold == names[(number + 1) % len(names)] for fold in folds])
        yield ~(test | validation), validation, test


def build_task_model(embedding_size: int, num_classes: int, hidden_size: int, dropout: float) -> nn.Sequential:
    """Linear, batch norm, dropout, ReLU, linear; Xavier-normal weights."""
    hidden, output = nn.Linear(embedding_size, hidden_size), nn.Linear(hidden_size, num_classes)
    nn.init.xavier_normal_(hidden.weight, gain=nn.init.calculate_gain("linear"))
    nn.init.xavier_normal_(output.weight, gain=nn.init.calculate_gain("relu"))
    return nn.Sequential(hidden, nn.BatchNorm1d(hidden_size), nn.Dropout(dropout), nn.ReLU(), output)


def train_task_model(
    training: Embedded, validation: Embedded, dropout: float, seed: int, task: TaskArguments
) -> tuple[nn.Module, float]:
    """The task model with its best weights, and their validation score.

    A function of its arguments: torch's global generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_task_model(training.scenes.shape[1], training.targets.shape[1], task.hidden_size, dropout)
        return _fit(model, training, validation, task)


def _fit(model: nn.Module, training: Embedded, validation: Embedded, task: TaskArguments) -> tuple[nn.Module, float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=task.learning_rate)
    loss_function = bce_per_clip if training.multi_label else cross_entropy
    best_score, best_weights, waited = float("-inf"), None, 0
    for epoch in range(1, task.max_epochs + 1):
        model.train()
        for index in torch.randperm(len(training.scenes)).split(task.batch_size):
            if len(index) == 1:
                continue  # of one clip there is no variance to normalise by
            elements, _ = loss_function(model(training.scenes[index]), training.targets[index])
            optimizer.zero_grad()
            elements.mean().backward()
            optimizer.step()
        if epoch % task.validate_every and epoch != task.max_epochs:
            continue
        score = validation.score(predict(model, validation))
        waited += 1
        if score > best_score:
            best_score, best_weights, waited = score, copy.deepcopy(model.state_dict()), 0
        if waited == task.patience:
            break
    model.load_state_dict(best_weights)
    return model, best_score


@torch.no_grad()
def predict(model: nn.Module, clips: Embedded) -> torch.Tensor:
    """(N, C) logits."""
    return model.eval()(clips.scenes)


def cross_validate(clips: Embedded, folds: Sequence[str], seed: int, task: TaskArguments) -> float:
    """Mean test score over the rounds; the dropout is the one with the best validation score in the first round."""
    scores, dropouts = [], task.dropouts
    for training, validation, test in rotations(folds):
        trained = {
            dropout: train_task_model(clips[training], clips[validation], dropout, seed, task) for dropout in dropouts
        }
        best = max(trained, key=lambda dropout: trained[dropout][1])
        dropouts = [best]
        scores.append(clips[test].score(predict(trained[best][0], clips[test])))
    return float(numpy.mean(scores))


def confidence_half_width(scores: Sequence[float], level: float = 0.95) -> float | None:
    """Half width of Student's t interval of the mean; None for a single score, which has no spread."""
    if len(scores) < 2:
        return None
    return float(stats.t.ppf((1 + level) / 2, len(scores) - 1) * stats.sem(scores))


def embed_clips(model_path: str, data: LabelledDataArguments, fold_column: str) -> tuple[Embedded, list[str]]:
    """Scene embeddings and targets of all clips of `data`, and the fold of each."""
    labelled = load_labelled_rows(data)
    folds = [str(fold) for fold in load_rows(data, columns=[fold_column], streaming=False)[fold_column]]
    classes = label_names(data, labelled.names)
    targets = torch.zeros(len(folds), len(classes))
    for row, indices in zip(targets, label_indices(labelled.names, classes), strict=True):
        row[indices] = 1.0
    model = load_model(model_path).to("cuda" if torch.cuda.is_available() else "cpu")
    scenes = scene_embeddings(model, labelled.rows, data.audio_column, data.batch_size, data.num_workers)
    return Embedded(scenes, targets, data.multi_label), folds


def main() -> None:
    options, arguments = model_command(__doc__, HearArguments, model="what `modeling_sslam.hear.load_model` takes")
    start_log()
    task = arguments.task
    clips, folds = embed_clips(options.model, arguments.data, task.fold_column)
    scores = []
    for seed in range(task.seeds):
        scores.append(cross_validate(clips, folds, seed, task))
        logger.info("seed %d: %.4f", seed, scores[-1])
    metric = "mean_average_precision" if clips.multi_label else "accuracy"
    half_width = confidence_half_width(scores)
    results = {metric: float(numpy.mean(scores)), "half_width_95": half_width, "of_each_seed": scores}
    print(json.dumps(results, indent=2))
    if options.output:
        write_results(options.output, {"hear": results}, options.model, options.data)


if __name__ == "__main__":
    main()
