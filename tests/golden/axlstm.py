"""Cases of AxLSTM: cell, block, encoder, and names."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import torch
from safetensors.torch import load_file

from modeling_sslam import AxlstmConfig
from modeling_sslam.layers_mlstm_cell import EPS, mlstm_cell
from modeling_sslam.modeling_axlstm import AxlstmLayer
from modeling_sslam.official.file import rename_weights
from modeling_sslam.official.masked_patch import AXLSTM_BLOCK, to_official

from .masked_patch_encoder import build, encoder_checks, group_checks, shared_fields
from .registry import Check, Tensors, case, check_options, close, exact

TOLERANCE = {"atol": 1e-4, "rtol": 1e-3}
CELL_GRADIENT_TOLERANCE = {"atol": 1e-3, "rtol": 5e-3}
REVERSED = {"rowwise_from_top_left": False, "rowwise_from_bot_right": True}


def axlstm_config(case: dict) -> AxlstmConfig:
    """The configuration of a case."""
    check_options(case, alternation="bidirectional")
    names = {
        "expansion_factor": "expand",
        "mlstm_heads": "num_cell_heads",
        "qkv_block_size": "projection_block_size",
        "conv_kernel": "conv_kernel",
    }
    fields = {ours: case[official] for official, ours in names.items() if official in case}
    return AxlstmConfig(**shared_fields(case), **fields)


@case("axlstm/encoder")
def encoder(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    yield from encoder_checks(path, config, axlstm_config(config), tensors, **TOLERANCE)


@case("axlstm/mlstm_cell")
def cell(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    check_options(config, eps=EPS)
    names = ("q", "k", "v", "igate_preact", "fgate_preact")
    inputs = [tensors[name].clone().requires_grad_() for name in names]
    *sequences, input_gate, forget_gate = inputs
    gates = input_gate.squeeze(3), forget_gate.squeeze(3)
    hidden_states = mlstm_cell(*sequences, *gates, chunk_size=config["seq"])
    yield close("h", hidden_states, tensors["h"], **TOLERANCE)
    (hidden_states * tensors["cotangent"]).sum().backward()
    for name, leaf in zip(names, inputs, strict=True):
        yield close(f"gradient of {name}", leaf.grad, tensors[f"grad.{name}"], **CELL_GRADIENT_TOLERANCE)


@case("axlstm/block")
def block(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    check_options(config, conv_bias=True, proj_bias=False)
    sizes = AxlstmConfig(
        hidden_size=config["dim"],
        expand=config["expansion"],
        num_cell_heads=config["mlstm_heads"],
        projection_block_size=config["qkv_block_size"],
        conv_kernel=config["conv_kernel"],
        cell_norm_eps=config["norm_eps"],
    )
    layer = AxlstmLayer(sizes, reverse=REVERSED[config["direction"]])
    layer.load_state_dict(rename_weights(load_file(path / "weights.safetensors"), AXLSTM_BLOCK))
    seen = record(layer)
    x = tensors["x"].clone().requires_grad_()
    out = layer(x)
    yield close("out", out, tensors["out"], **TOLERANCE)
    yield close("layer", out - x, tensors["mid.layer"], **TOLERANCE)
    for name, got in seen.items():
        want = tensors[f"mid.{name}"]
        yield close(name, in_layout_of(want, got), want, **TOLERANCE)

    (out * tensors["cotangent"]).sum().backward()
    ours_to_official = [(ours, official) for official, ours in AXLSTM_BLOCK]
    gradients = rename_weights({name: p.grad for name, p in layer.named_parameters()}, ours_to_official)
    for name, gradient in (gradients | {"x": x.grad}).items():
        yield close(f"gradient of {name}", gradient, tensors[f"grad.{name}"], **TOLERANCE)


def record(layer: AxlstmLayer) -> dict[str, torch.Tensor]:
    """What the parts of a block give; filled when the block runs."""
    seen = {}

    def keep(name: str, module: torch.nn.Module) -> None:
        module.register_forward_hook(lambda module, inputs, output: seen.update({name: output}))

    inner = layer.layer
    for name in ("proj_up", "conv1d"):
        keep(name, getattr(inner, name))
    for name in ("q", "k", "v"):
        keep(name, getattr(inner, f"{name}_proj"))
    for name in ("igate", "fgate"):
        keep(name, getattr(inner.mlstm_cell, name))
    keep("norm", layer.norm)
    keep("cell", inner.mlstm_cell)
    keep("cell_after_outnorm", inner.mlstm_cell.outnorm)
    inner.mlstm_cell.outnorm.register_forward_pre_hook(
        lambda module, inputs: seen.update({"cell_before_outnorm": inputs[0]})
    )
    return seen


def in_layout_of(want: torch.Tensor, got: torch.Tensor) -> torch.Tensor:
    """Brings (B, L, D), or (B, D, L) of a convolution, to a recorded (B, L, D) or (B, heads, L, D / heads)."""
    if want.ndim == 4:
        return got.unflatten(2, (want.shape[1], -1)).transpose(1, 2)
    return got if got.shape == want.shape else got.transpose(1, 2)


@case("axlstm/keys_param_groups")
def names(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    totals = []
    for size, shapes in config["state_dict_shapes"].items():
        sizes = getattr(AxlstmConfig, size)()
        with torch.device("meta"):
            weights = to_official(sizes, build(sizes).state_dict())
        recorded = {name: tuple(shape) for name, shape in shapes.items()}
        positions = torch.Size(recorded.pop("pos_embed")).numel()
        yield exact(f"{size} shapes", {name: tuple(tensor.shape) for name, tensor in weights.items()}, recorded)
        totals.append(sum(tensor.numel() for tensor in weights.values()) + positions)
    yield exact("parameters", torch.tensor(totals), tensors["param_totals"])
    for name, recorded in config.items():
        if match := re.fullmatch(r"param_groups_(\d+)_blocks", name):
            yield from group_checks(AxlstmConfig(num_hidden_layers=int(match[1])), config, recorded, name)
