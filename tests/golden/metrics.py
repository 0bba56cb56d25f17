"""Metrics under the names that cases of several systems give them."""

from __future__ import annotations

import numpy

from training.metrics.classification import multi_label_metrics


def ranking_metrics(scores: numpy.ndarray, labels: numpy.ndarray) -> dict[str, float | list[float]]:
    """Of scores (N, C) against labels (N, C); those of a class are the means over that class alone."""
    overall = multi_label_metrics(scores, labels)
    classes = [multi_label_metrics(scores[:, [index]], labels[:, [index]]) for index in range(labels.shape[1])]
    return {
        "AP": [of["mean_average_precision"] for of in classes],
        "AUC": [of["mean_auc"] for of in classes],
        "mAP": overall["mean_average_precision"],
        "mAUC": overall["mean_auc"],
        "dprime": overall["d_prime"],
    }
