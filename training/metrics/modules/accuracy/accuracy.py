"""Accuracy of single-label classification, for `evaluate`; computed by scikit-learn."""

import datasets
import evaluate
from sklearn.metrics import accuracy_score


class Accuracy(evaluate.Metric):
    """Share of clips whose predicted class is the right one."""

    def _info(self):
        return evaluate.MetricInfo(
            description="Share of clips whose predicted class is the right one.",
            citation="",
            inputs_description="predictions, references: class indices (clips,).",
            features=datasets.Features(
                {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            ),
        )

    def _compute(self, predictions, references):
        return {"accuracy": float(accuracy_score(references, predictions))}
