"""Golden case of the discriminative loss alone."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

from training.objectives.ssast import contrastive_loss

from .registry import Check, Tensors, case, close, exact


@case("ssast/objective")
def objective(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    prediction, target = tensors["pred"], tensors["target"]
    loss, accuracy = contrastive_loss(prediction, target)
    yield close("nce", loss, tensors["nce"], rtol=1e-6)
    yield exact("accuracy", accuracy, tensors["acc"])
    loss, accuracy = contrastive_loss(prediction, target, negatives="targets")
    yield close("nce of the paper", loss, tensors["nce_paper"], rtol=1e-6)
    yield exact("accuracy of the paper", accuracy, tensors["acc_plain_columns"])
