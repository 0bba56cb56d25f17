"""Cases of SSAM."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import torch
from safetensors.torch import load_file

from modeling_sslam import SsamConfig
from modeling_sslam.layers_mamba import MambaMixer

from .inputs import text_of
from .masked_patch_encoder import encoder_checks, rule_value, shared_fields
from .readme import key_prefix
from .registry import Check, Tensors, case, check_options, close

TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}


def ssam_config(case: dict) -> SsamConfig:
    """The configuration of a case."""
    check_options(case, rms_norm=False)
    sizes = case["ssm_cfg"]
    return SsamConfig(
        **shared_fields(case),
        expand=sizes["expand"],
        state_size=sizes["d_state"],
        conv_kernel=sizes["d_conv"],
        layer_norm_eps=case["norm_epsilon"],
    )


@case("ssam/encoder")
def encoder(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    yield from encoder_checks(path, config, ssam_config(config), tensors, **TOLERANCE)


@case("ssam/mixer")
def mixer(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    check_options(config, conv_bias=True, bias=False)
    layer = MambaMixer(
        config["d_model"], config["d_inner"], config["d_state"], config["d_conv"], config["dt_rank"]
    ).eval()
    file = path / "weights.safetensors"
    if file.exists():
        weights = load_file(file)
    else:
        shapes = {name: tensor.shape for name, tensor in layer.state_dict().items()}
        prefix = key_prefix(text_of(path))
        weights = {
            name: rule_value(f"{prefix}{name}", shape, has_offset_gains=False) for name, shape in shapes.items()
        }
        total = sum(weight.double().abs().sum() for weight in weights.values())
        yield close("sum of weights", total, tensors["rule_abs_sum"], rtol=1e-5)
    layer.load_state_dict(weights)

    x = tensors["x"].requires_grad_()
    out = layer(x)
    yield close("out", out, tensors["out"], **TOLERANCE)
    if "scan_plus_D" in tensors:
        yield from intermediates(layer, tensors)
    if "cotangent" in tensors:
        (out * tensors["cotangent"]).sum().backward()
        for name, parameter in [("x", x), *layer.named_parameters()]:
            yield close(f"gradient of {name}", parameter.grad, tensors[f"grad.{name}"], **TOLERANCE)


@torch.no_grad()
def intermediates(layer: MambaMixer, tensors: Tensors) -> Iterator[Check]:
    """What enters the state space and what leaves it; the recorded tensors have time last."""
    recorded = []
    handle = layer.x_proj.register_forward_hook(lambda module, args, output: recorded.extend([args[0], output]))
    inputs, gate = layer.in_proj(tensors["x"]).chunk(2, dim=2)
    scanned = layer.scan(inputs)
    handle.remove()
    convolved, projected = recorded
    state_size = layer.A_log.shape[1]
    B, C = projected[..., -2 * state_size :].chunk(2, dim=2)
    for name, got in {"conv_silu": convolved, "gate_z": gate, "B": B, "C": C, "scan_plus_D": scanned}.items():
        yield close(name, got, tensors[name].transpose(1, 2), **TOLERANCE)
