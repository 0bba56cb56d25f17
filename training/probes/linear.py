"""Linear probe of frozen features: logistic regression."""

from __future__ import annotations

import numpy
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def linear_probe(
    training: torch.Tensor,
    targets: torch.Tensor,
    evaluation: torch.Tensor,
    multi_label: bool,
    inverse_regularization: float,
) -> numpy.ndarray:
    """Logistic regression on standardised features; one a class when clips have several labels.

    Args:
        training, evaluation: (N, D) features.
        targets: (N, C) of the training clips.
    Returns:
        (N, C) probabilities of the evaluation clips.
    """
    classifier = LogisticRegression(C=inverse_regularization, max_iter=1000)
    if multi_label:
        probe = make_pipeline(StandardScaler(), OneVsRestClassifier(classifier))
        return probe.fit(training.numpy(), targets.numpy()).predict_proba(evaluation.numpy())
    probe = make_pipeline(StandardScaler(), classifier)
    probe.fit(training.numpy(), targets.argmax(dim=1).numpy())
    probabilities = numpy.zeros((len(evaluation), targets.shape[1]))
    probabilities[:, probe.classes_] = probe.predict_proba(evaluation.numpy())
    return probabilities
