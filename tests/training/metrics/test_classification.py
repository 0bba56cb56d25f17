import numpy
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from training.metrics.classification import (
    classification_metrics,
    load_metric,
    multi_label_metrics,
    single_label_metrics,
)


def test_mean_average_precision_by_hand():
    scores = numpy.array([[0.9, 0.1], [0.8, 0.9], [0.7, 0.2]])
    labels = numpy.array([[1, 0], [0, 1], [1, 0]])
    got = multi_label_metrics(scores, labels)
    assert got["mean_average_precision"] == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2, abs=1e-6)
    assert got["absent_classes"] == 0


def test_absent_classes_are_dropped_and_counted():
    random = numpy.random.default_rng(0)
    scores, labels = random.random((50, 6)), random.random((50, 6)) < 0.3
    labels[:, 2] = False
    got = multi_label_metrics(scores, labels)
    present = [0, 1, 3, 4, 5]
    want = average_precision_score(labels[:, present], scores[:, present], average="macro")
    auc = roc_auc_score(labels[:, present], scores[:, present], average="macro")
    assert got["mean_average_precision"] == pytest.approx(want, abs=1e-6)
    assert got["absent_classes"] == 1
    assert got["mean_auc"] == pytest.approx(auc, abs=1e-6)
    assert got["d_prime"] == pytest.approx(2**0.5 * norm.ppf(auc), abs=1e-5)


def test_chance_has_no_sensitivity_and_a_perfect_ranking_has_no_bound():
    labels = numpy.array([[1], [0], [1], [0]])
    metric = load_metric("d_prime")
    assert metric.compute(predictions=numpy.full((4, 1), 0.5), references=labels)["d_prime"] == pytest.approx(0)
    assert metric.compute(predictions=labels.astype("float32"), references=labels)["d_prime"] == float("inf")


def test_no_positive_clip_at_all():
    with pytest.raises(ValueError, match="no class has a positive clip"):
        load_metric("mean_average_precision").compute(predictions=[[0.1, 0.2]], references=[[0, 0]])
    with pytest.raises(ValueError, match="no ROC curve exists"):
        load_metric("d_prime").compute(predictions=[[0.1, 0.2]], references=[[0, 0]])


def test_accuracy():
    scores = numpy.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    assert single_label_metrics(scores, numpy.eye(2)[[0, 1, 1]]) == {"accuracy": pytest.approx(2 / 3)}


def test_unknown_metric():
    with pytest.raises(ValueError, match="unknown metric 'f1'; choose one of accuracy, d_prime"):
        load_metric("f1")


def test_one_label_a_clip_with_rankings_has_all_metrics():
    random = numpy.random.default_rng(0)
    scores, labels = random.random((40, 3)), numpy.eye(3)[random.integers(3, size=40)]
    got = classification_metrics(multi_label=False, rankings=True)(scores, labels)
    assert got == classification_metrics(False)(scores, labels) | classification_metrics(True)(scores, labels)
    assert {"accuracy", "mean_average_precision", "mean_auc", "d_prime"} < got.keys()
    assert classification_metrics(False)(scores, labels).keys() == {"accuracy"}
