"""Metrics of classification through `evaluate`, from modules that lie beside this file, so that they work offline."""

from __future__ import annotations

import pathlib
import uuid
from collections.abc import Callable

import evaluate
import numpy

MODULES = pathlib.Path(__file__).parent / "modules"


def load_metric(name: str) -> evaluate.EvaluationModule:
    """The metric module `name`: "mean_average_precision", "accuracy" or "d_prime".

    Raises:
        ValueError: there is no such module.
    """
    names = sorted(path.name for path in MODULES.iterdir() if (path / f"{path.name}.py").is_file())
    if name not in names:
        raise ValueError(f"unknown metric {name!r}; choose one of {', '.join(names)}")
    # the identifier keeps two processes that evaluate at the same time from sharing one cache file
    return evaluate.load(str(MODULES / name), experiment_id=uuid.uuid4().hex, keep_in_memory=True)


def multi_label_metrics(scores: numpy.ndarray, labels: numpy.ndarray) -> dict[str, float]:
    """mAP and d' of scores against 0/1 labels, both (clips, classes)."""
    results = {}
    for name in ("mean_average_precision", "d_prime"):
        results |= load_metric(name).compute(predictions=scores, references=labels.astype("int8"))
    return results


def single_label_metrics(scores: numpy.ndarray, labels: numpy.ndarray) -> dict[str, float]:
    """Accuracy of the best-scored class; scores and one-hot labels are (clips, classes)."""
    return load_metric("accuracy").compute(predictions=scores.argmax(axis=-1), references=labels.argmax(axis=-1))


def all_metrics(scores: numpy.ndarray, labels: numpy.ndarray) -> dict[str, float]:
    """All of the above, for one label a clip whose scores are ranked within each class too (GISE-51 on VGGSound)."""
    return single_label_metrics(scores, labels) | multi_label_metrics(scores, labels)


def classification_metrics(
    multi_label: bool, rankings: bool = False
) -> Callable[[numpy.ndarray, numpy.ndarray], dict[str, float]]:
    """The metrics that suit the labels: mAP and d', or accuracy, with `rankings` all of them."""
    if multi_label:
        return multi_label_metrics
    return all_metrics if rankings else single_label_metrics
