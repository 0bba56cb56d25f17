"""Initial values, and that they leave alone what was loaded from a checkpoint."""

import pytest
import torch
from torch import nn

from modeling_sslam import SslamConfig
from modeling_sslam.layers_initializers import (
    LecunLinear,
    TorchLinear,
    UnbiasedLinear,
    init_as_torch,
    init_as_torch_without_bias,
    init_lecun,
    init_xavier,
)

LAYERS = {
    "linear": lambda: nn.Linear(64, 256),
    "conv1d": lambda: nn.Conv1d(64, 256, 4, groups=4),
    "conv2d": lambda: nn.Conv2d(4, 256, (4, 8), groups=2),
}
FAN_IN = {"linear": 64, "conv1d": 16 * 4, "conv2d": 2 * 4 * 8}


@pytest.fixture(params=LAYERS)
def layer(request) -> tuple[nn.Module, int]:
    """A layer whose values were forgotten, and its fan-in."""
    torch.manual_seed(0)
    return forget(LAYERS[request.param]()), FAN_IN[request.param]


def forget(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(7.0)
    return module


def assert_uniform(tensor: torch.Tensor, bound: float) -> None:
    assert tensor.abs().max().item() == pytest.approx(bound, rel=0.05)
    assert tensor.abs().max().item() <= bound
    assert tensor.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_as_in_torch(layer):
    module, fan_in = layer
    init_as_torch(module)
    assert_uniform(module.weight, fan_in**-0.5)
    assert_uniform(module.bias, fan_in**-0.5)


def test_as_in_torch_without_bias(layer):
    module, fan_in = layer
    init_as_torch_without_bias(module)
    assert_uniform(module.weight, fan_in**-0.5)
    assert not module.bias.any()


@pytest.mark.parametrize(
    ("layer", "fans"),
    [(nn.Linear(64, 256), 64 + 256), (nn.Conv2d(1, 96, (4, 16)), 64 + 96 * 64)],
    ids=["linear", "conv2d"],
)
def test_xavier(layer, fans):
    torch.manual_seed(0)
    init_xavier(forget(layer))
    assert_uniform(layer.weight, (6 / fans) ** 0.5)
    assert not layer.bias.any()


@pytest.mark.parametrize("gain", [1.0, 0.02])
def test_lecun_is_normal_of_variance_gain_over_fan_in_cut_off_at_two_deviations(gain):
    torch.manual_seed(0)
    weight = torch.empty(500, 64)
    init_lecun(weight, gain)
    wanted = (gain / 64) ** 0.5
    assert weight.std().item() == pytest.approx(wanted, rel=0.02)
    cut_off = 2 * wanted / 0.8796256610342398
    assert cut_off * 0.99 < weight.abs().max().item() <= cut_off
    assert weight.mean().abs() < 0.02 * wanted


@pytest.mark.parametrize("initializer", [init_as_torch, init_as_torch_without_bias, init_xavier])
def test_layers_without_bias(initializer):
    layer = forget(nn.Linear(8, 8, bias=False))
    initializer(layer)
    assert layer.weight.abs().max() < 2


@pytest.mark.parametrize("linear_class", [TorchLinear, UnbiasedLinear, LecunLinear])
def test_layers_that_know_their_own_start(linear_class):
    torch.manual_seed(0)
    layer = forget(linear_class(64, 256))
    layer.init_weights(SslamConfig())
    if linear_class is LecunLinear:
        assert layer.weight.std().item() == pytest.approx(1 / 8, rel=0.02)
    else:
        assert_uniform(layer.weight, 1 / 8)
    if linear_class is TorchLinear:
        assert_uniform(layer.bias, 1 / 8)
    else:
        assert not layer.bias.any()


@pytest.mark.parametrize("initializer", [init_as_torch, init_as_torch_without_bias, init_xavier])
def test_what_was_loaded_stays(initializer):
    layer = forget(nn.Linear(8, 8))
    layer.weight._is_hf_initialized = True
    initializer(layer)
    assert (layer.weight == 7).all()
    assert (layer.bias != 7).all()


def test_initial_values_need_no_gradient():
    layer = nn.Linear(8, 8)
    init_xavier(layer)
    assert layer.weight.grad_fn is None
