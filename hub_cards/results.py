"""Scores of a result JSON, and the two formats in which the hub takes them.

A result JSON is any nesting of mappings; its leaves named after a metric of `METRICS` are scores. The mapping on top
also says where they come from, see `Run`.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from collections.abc import Iterator, Mapping

from huggingface_hub import EvalResult, EvalResultEntry

TRAINER_PREFIX = "eval_"  # which transformers' `Trainer` puts before the names of metrics
BASELINE = (
    "random"  # how the name of a model with random weights begins: shown in the table, but no result of the model
)


@dataclasses.dataclass(frozen=True)
class Metric:
    """How a metric is shown: its name, the factor from the value in the JSON, and the digits after the point."""

    name: str
    scale: int
    digits: int


METRICS = {
    "mean_average_precision": Metric("mAP", 100, 1),
    "accuracy": Metric("accuracy", 100, 1),
    "d_prime": Metric("d'", 1, 2),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """Where measured numbers come from.

    Attributes:
        command: that measured them.
        machine: on which; in a JSON also a mapping of its properties.
        model: that was measured; when a JSON does not say it, the folder that the JSON lies in.
        dataset: its name.
        dataset_id: its name on the hub; None when it is not there.
        date: ISO 8601.
    """

    command: str
    machine: str
    model: str
    dataset: str
    dataset_id: str | None = None
    date: str | None = None

    @property
    def hub_dataset(self) -> str:
        """The hub id of the data set, or one that shows that it is not on the hub."""
        return self.dataset_id or f"local/{slug(self.dataset)}"


@dataclasses.dataclass(frozen=True)
class Score:
    """One number of a result JSON: the names above it, its metric (a key of `METRICS`), and its value."""

    path: tuple[str, ...]
    metric: str
    value: float

    @property
    def setting(self) -> str:
        return ", ".join(name.replace("_", " ") for name in self.path) or "evaluation"

    @property
    def metric_name(self) -> str:
        return METRICS[self.metric].name

    @property
    def shown_value(self) -> str:
        metric = METRICS[self.metric]
        return f"{self.value * metric.scale:.{metric.digits}f}"


@dataclasses.dataclass(frozen=True)
class Measurement:
    """The scores of a run, in the order of its JSON."""

    run: Run
    scores: list[Score]

    def model_index(self, task: str) -> list[EvalResult]:
        """The model's scores in the legacy format, as part of the card's front matter."""
        return [
            EvalResult(
                task_type=task,
                dataset_type=self.run.hub_dataset,
                dataset_name=self.run.dataset,
                metric_type=score.metric,
                metric_value=score.value,
                metric_name=f"{score.metric_name}, {score.setting} (measured here)",
            )
            for score in self._of_the_model()
        ]

    def eval_result_entries(self) -> list[EvalResultEntry]:
        """The model's scores in the present format, as files below `.eval_results`."""
        return [
            EvalResultEntry(
                dataset_id=self.run.hub_dataset,
                task_id=slug("_".join((*score.path, score.metric))),
                value=score.value,
                date=self.run.date,
                notes=f"measured here: {self.run.model}, by `{self.run.command}` on {self.run.machine}",
            )
            for score in self._of_the_model()
        ]

    def _of_the_model(self) -> list[Score]:
        return [score for score in self.scores if not any(name.startswith(BASELINE) for name in score.path)]


def read_measurement(path: pathlib.Path, **given: str | None) -> Measurement:
    """The scores of a result JSON; `given` fields of `Run` go before those in the file.

    Raises:
        ValueError: the file has no scores, or something that must be known of a measured number is not.
    """
    results = json.loads(path.read_text())
    values = {field.name: results.get(field.name) for field in dataclasses.fields(Run)}
    values["model"] = values["model"] or str(path.parent)
    if isinstance(values["machine"], Mapping):
        values["machine"] = ", ".join(f"{name} {value}" for name, value in values["machine"].items())
    values |= {name: value for name, value in given.items() if value is not None}
    required = [field.name for field in dataclasses.fields(Run) if field.default is dataclasses.MISSING]
    if missing := [name for name in required if not values[name]]:
        raise ValueError(
            f"{path} does not say the {' and '.join(missing)} of its numbers, without which they are no measurement: "
            f"give {' '.join(f'--{name} ...' for name in missing)}"
        )
    scores = list(find_scores(results))
    if not scores:
        raise ValueError(f"{path} has no scores: none of its names is {', '.join(METRICS)}")
    return Measurement(Run(**values), scores)


def find_scores(results: Mapping, path: tuple[str, ...] = ()) -> Iterator[Score]:
    """All scores of nested results, in their order."""
    for name, value in results.items():
        metric = name.removeprefix(TRAINER_PREFIX)
        if isinstance(value, Mapping):
            yield from find_scores(value, (*path, name))
        elif metric in METRICS:
            yield Score(path, metric, value)


def slug(text: str) -> str:
    """Lower-case letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
