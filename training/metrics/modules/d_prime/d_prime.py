"""d' (sensitivity index) of multi-label classification, for `evaluate`; computed by scikit-learn and SciPy."""

import datasets
import evaluate
import numpy
from scipy.stats import norm
from sklearn.metrics import roc_auc_score


class DPrime(evaluate.Metric):
    """sqrt(2) times the inverse normal distribution function of the mean area under the ROC curve (AUC)."""

    def _info(self):
        return evaluate.MetricInfo(
            description="sqrt(2) * Phi^-1(mean AUC); classes without positives or without negatives are dropped.",
            citation="",
            inputs_description="predictions: scores (clips, classes). references: 0 or 1 (clips, classes).",
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float32")),
                    "references": datasets.Sequence(datasets.Value("int8")),
                }
            ),
        )

    def _compute(self, predictions, references):
        """Returns `d_prime` (infinite for a perfect ranking) and `mean_auc`.

        Raises:
            ValueError: no class has both a positive and a negative clip.
        """
        scores, labels = numpy.asarray(predictions), numpy.asarray(references)
        defined = labels.any(axis=0) & ~labels.all(axis=0)
        if not defined.any():
            raise ValueError("no class has both a positive and a negative clip, so no ROC curve exists")
        # indexing columns gives a Fortran-ordered array, which scikit-learn would copy whole for every class
        labels, scores = (numpy.ascontiguousarray(array[:, defined]) for array in (labels, scores))
        mean_auc = float(roc_auc_score(labels, scores, average="macro"))
        return {"d_prime": float(2**0.5 * norm.ppf(mean_auc)), "mean_auc": mean_auc}
