"""What all models for pretraining share."""

import pytest
import torch

from tests.contracts.clips import build, features
from tests.families import FAMILIES, Family

PREDICTIONS = ("prediction", "class_prediction", "discriminative", "generative")


@pytest.fixture(params=[name for name, family in FAMILIES.items() if family.objective])
def family(request) -> Family:
    return FAMILIES[request.param]


def inputs(family: Family) -> dict[str, torch.Tensor]:
    values = features(family, 0.64, 0.64)["input_values"]
    return {"input_values": values} | family.pretraining_inputs(values)


def test_gradient_reaches_every_parameter_also_when_checkpointed(family):
    gradients = []
    for checkpointing in (False, True):
        model = build(family, "AutoModelForPreTraining").train()
        if checkpointing:
            model.activation_checkpointing_enable()
        output = model(**inputs(family))
        sum(output[name].square().sum() for name in PREDICTIONS if name in output).backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    plain, checkpointed = gradients
    assert [name for name, gradient in plain.items() if gradient is None or not gradient.any()] == []
    torch.testing.assert_close(checkpointed, plain, rtol=1e-4, atol=1e-5)


def test_predictions_have_no_nan_and_differ_between_clips(family):
    model = build(family, "AutoModelForPreTraining")
    with torch.no_grad():
        output = model(**inputs(family))
    for name in PREDICTIONS:
        if name in output:
            assert output[name].isfinite().all()
            assert not torch.allclose(output[name][0], output[name][1], atol=1e-4)


def test_a_forward_pass_is_a_function_of_its_arguments(family):
    """Whatever the state of the global generator; masks are given, and noise has a seed of its own."""
    model, results = build(family, "AutoModelForPreTraining"), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        with torch.no_grad():
            results.append(model(**inputs(family))[0])
    assert torch.equal(*results)
