"""Mean average precision (mAP) of multi-label classification, for `evaluate`; computed by scikit-learn."""

import datasets
import evaluate
import numpy
from sklearn.metrics import average_precision_score


class MeanAveragePrecision(evaluate.Metric):
    """Mean over classes of the average precision. Classes without a positive clip have none and are left out."""

    def _info(self):
        return evaluate.MetricInfo(
            description="Mean over classes of the average precision; classes without positives are dropped.",
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
        """Returns `mean_average_precision` and `absent_classes`, the number of classes that were left out.

        Raises:
            ValueError: no class has a positive clip.
        """
        scores, labels = numpy.asarray(predictions), numpy.asarray(references)
        present = labels.any(axis=0)
        if not present.any():
            raise ValueError("no class has a positive clip, so there is no average precision to take the mean of")
        # indexing columns gives a Fortran-ordered array, which scikit-learn would copy whole for every class
        labels, scores = (numpy.ascontiguousarray(array[:, present]) for array in (labels, scores))
        return {
            "mean_average_precision": float(average_precision_score(labels, scores, average="macro")),
            "absent_classes": int(numpy.sum(~present)),
        }
