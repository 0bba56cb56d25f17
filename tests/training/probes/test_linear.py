"""The linear probe on features whose classes can be told apart."""

import numpy
import pytest
import torch

from tests.training.probes.features import separable
from training.probes.linear import linear_probe


@pytest.mark.parametrize("several", [False, True])
def test_linear_probe_finds_what_is_there(several):
    (features, targets), (held_out, wanted) = separable(200, several), separable(50, several)
    scores = linear_probe(features, targets, held_out, several, inverse_regularization=1.0)
    found = scores > 0.5 if several else numpy.eye(3)[scores.argmax(1)]
    assert (found == wanted.numpy()).mean() > 0.97


def test_class_without_training_clips_gets_no_probability():
    features, targets = separable(50, several=False)
    targets = torch.nn.functional.pad(targets, (1, 0))
    scores = linear_probe(features, targets, features, False, 1.0)
    assert scores.shape == (50, 4)
    assert scores[:, 0].max() == 0
