"""transformers' common model and configuration tests on every family: one class for its encoder and classifiers, and
one for its model for pretraining, which has no loss.
"""

from __future__ import annotations

import inspect
import unittest

import modeling_sslam
from tests.families import FAMILIES

from .testers import SpectrogramModelTests

TESTED = ("sslam", "eat", "ssast patch", "ssam", "axlstm", "ssast_mae", "mwmae", "spectrogram_cnn resnet")
HIDDEN_STATES_TYPES = {"mwmae": 2}  # of pretraining: those of the encoder, and those of the decoder


def models(name: str) -> dict[str, type]:
    """Auto class -> class of the family."""
    references = FAMILIES[name].config.auto_classes.items()
    return {
        auto_class: getattr(modeling_sslam, reference.rpartition(".")[2])
        for auto_class, reference in references
        if auto_class != "AutoConfig"
    }


def case_of(family: str, *model_classes: type, **attributes) -> type[unittest.TestCase]:
    attributes |= {
        "__module__": __name__,
        "family": FAMILIES[family],
        "all_model_classes": model_classes,
        "has_attentions": FAMILIES[family].has_attentions,
    }
    return type(f"{model_classes[0].__name__}Test", (SpectrogramModelTests, unittest.TestCase), attributes)


def cases_of(family: str) -> list[type[unittest.TestCase]]:
    classes = models(family)
    pretraining = classes.pop("AutoModelForPreTraining", None)
    cases = [case_of(family, *classes.values())]
    if pretraining is not None:
        special = {
            "drops_masked_patches": "kept_indices" in inspect.signature(classes["AutoModel"].forward).parameters,
            "num_hidden_states_types": HIDDEN_STATES_TYPES.get(family, 1),
        }
        cases.append(case_of(family, pretraining, **special))
    return cases


globals().update({case.__name__: case for family in TESTED for case in cases_of(family)})
