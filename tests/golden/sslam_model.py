"""Golden cases of the encoder and its parts."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import torch
from safetensors.torch import load_file
from torch import nn

from modeling_sslam import SslamConfig, SslamModel
from modeling_sslam.modeling_sslam import SslamDecoder, SslamLayer
from modeling_sslam.official.sslam_layouts import official_to_ours
from modeling_sslam.tokens_patches import PatchEmbedding
from modeling_sslam.tokens_positions import time_frequency_table
from training.objectives.masks import inverse_block_mask, num_blocks, num_kept_tokens
from training.objectives.sslam import average_layers, squared_error

from .inputs import input_of, text_of
from .readme import numbers, stated
from .registry import Check, Tensors, case, check_options, close, exact
from .weights import load_by_rule, load_official, sslam_config, student_and_teacher


def sub_state(weights: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


@case("sslam/position_table")
def position_table(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    columns = config["freq_patches"]
    table = time_frequency_table(config["max_time_patches"], columns, config["width"])
    (far,) = numbers(text_of(path), "absolute for time patch < N")
    near = tensors["rows"] < far * columns
    got = table[tensors["rows"]]
    yield close(f"rows, time patch < {far:g}", got[near], tensors["table_rows"][near], atol=2e-5)
    yield close(f"rows, time patch >= {far:g}", got[~near], tensors["table_rows"][~near], atol=2e-4)
    sums = next(tensor for name, tensor in tensors.items() if name.startswith("table_sum_per_row"))
    yield close("row sums", table[: len(sums)].double().sum(1), sums, atol=2e-5 * config["width"] ** 0.5)
    small = time_frequency_table(config["small"]["max_time_patches"], columns, config["small"]["width"])
    yield close("small table", small, tensors["small_table"], atol=2e-5)


@case("sslam/modules")
def modules(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    weights = load_file(path / "weights.safetensors")
    sizes = SslamConfig(
        hidden_size=config["width"],
        num_attention_heads=config["heads"],
        intermediate_size=config["width"] * config["mlp_ratio"],
        layer_norm_eps=config["norm_eps"],
    )
    yield from layer_checks(sizes, sub_state(weights, "block."), tensors)
    for name in (key for key in config if key.startswith("decoder_")):
        decoder = SslamDecoder(decoder_sizes(sizes, config[name])).eval()
        official = {f"decoder.{key}": value for key, value in sub_state(weights, f"{name}.").items()}
        load_state(decoder, official_to_ours(official), "decoder.")
        got = decoder(tensors[f"{name}_in"], config["grid"][1])
        yield close(name, got, tensors[f"{name}_out"], atol=1e-5)

    patches = PatchEmbedding(config["width"], weights["patch.proj.weight"].shape[2:])
    load_state(patches.projection, sub_state(weights, "patch.proj."), "")
    yield close("patches", patches(tensors["patch_in"].squeeze(1)), tensors["patch_out"], atol=1e-5)

    for name, want in tensors.items():
        if name.startswith("target_top"):
            layers = tuple(tensors["target_layers"][-int(name.removeprefix("target_top")) :])
            yield close(name, average_layers(layers), want, atol=1e-5)
    loss = squared_error(tensors["loss_pred"], tensors["loss_target"])
    yield close("loss", loss, tensors["loss_elem"].sum(-1), atol=1e-5)


def decoder_sizes(sizes: SslamConfig, decoder: dict) -> SslamConfig:
    return SslamConfig(
        hidden_size=sizes.hidden_size,
        num_attention_heads=sizes.num_attention_heads,
        decoder_hidden_size=decoder["width"],
        decoder_num_layers=decoder["layers"],
        decoder_kernel_size=decoder["kernel"],
        decoder_groups=decoder["groups"],
    )


def load_state(module: nn.Module, state: Tensors, prefix: str) -> None:
    module.load_state_dict(sub_state(state, prefix) if prefix else state)


@torch.no_grad()
def layer_checks(sizes: SslamConfig, weights: Tensors, tensors: Tensors) -> Iterator[Check]:
    """Production block, its target, the end-of-block option, and attention with padded keys, fused and eager."""
    official = {f"blocks.0.{name}": tensor for name, tensor in weights.items()}
    for implementation in ("sdpa", "eager"):
        sizes._attn_implementation = implementation
        layer = SslamLayer(sizes, 0.0).eval()
        load_state(layer, official_to_ours(official, prefix=""), "layers.0.")
        recorded = []
        handle = layer.mlp.register_forward_hook(lambda module, args, output, store=recorded: store.append(output))
        for variant in ("block_post", "block_post_endtarget"):
            got = layer(tensors[f"{variant}_in"])
            target = got if variant.endswith("endtarget") else recorded[-1]
            yield close(f"{variant} {implementation}", got, tensors[f"{variant}_out"], atol=1e-5)
            yield close(f"{variant} target", target, tensors[f"{variant}_target"], atol=1e-5)
        handle.remove()
        padded = tensors["attn_padding_mask"][:, None, None, :]
        bias = torch.zeros(padded.shape).masked_fill(padded, float("-inf"))
        attended, _ = layer.attention(tensors["attn_in"], bias.expand(-1, -1, padded.shape[-1], -1))
        real = ~tensors["attn_padding_mask"]
        yield close(f"attention {implementation}", attended[real], tensors["attn_masked_out"][real], atol=1e-5)


@case("sslam/encoder")
@torch.no_grad()
def encoder(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    sources = {name: source.squeeze(1) for name, source in tensors.items() if name.endswith("_source")}
    clips = input_of(path, tensors, ["source", *(name for name in tensors if name.endswith("_source"))])
    model = SslamModel(sslam_config(config, num_mel_bins=clips.shape[2])).eval()
    weights = student_and_teacher(path)
    if weights is None:
        load_by_rule(path, model)
    else:
        load_official(model, weights[0], prefix="")
    if "token_index" in tensors:
        yield from full_size_encoder(model, clips, tensors)
    for name, source in sources.items():
        group = name.removesuffix("source")
        output = model(source, output_layer_targets=True)
        yield close(f"{group}x", output.last_hidden_state, tensors[f"{group}x"], atol=2e-5)
        found = {
            f"{group}local": model.embeddings.patch_embeddings(source),
            f"{group}patch_only": output.last_hidden_state[:, 1:],
        } | {f"{group}layer_target_{i}": target for i, target in enumerate(output.layer_targets)}
        for key, got in found.items():
            if key in tensors:
                yield close(key, got, tensors[key], atol=2e-5)


def full_size_encoder(model: SslamModel, clips: torch.Tensor, tensors: Tensors) -> Iterator[Check]:
    """Full-size model on the clip that the case names."""
    output = model(clips, output_layer_targets=True)
    tokens = output.last_hidden_state
    yield close("x", tokens[:, tensors["token_index"]], tensors["x"], atol=1e-4)
    yield close("token mean", tokens[:, 1:].mean(1), tensors["x_token_mean"], atol=1e-4)
    yield close("token std", tokens[:, 1:].std(1), tensors["x_token_std"], atol=1e-4)
    yield close("mean magnitude", tokens.abs().mean().reshape(1), tensors["x_abs_mean"], atol=1e-4)
    for name, want in tensors.items():
        if name.startswith("layer_target_"):
            index = int(name.removeprefix("layer_target_").removesuffix("_mean"))
            yield close(name, output.layer_targets[index].mean(1), want, atol=1e-4)


@case("sslam/mask_generator")
def mask_generator(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    draws = 20_000
    for name, values in config["configs"].items():
        check_options(values, inverse_mask=True)
        grid = tuple(values["grid"])
        size = grid[0] * grid[1]
        yield exact(f"{name} kept", num_kept_tokens(size, values["mask_prob"]), values["kept"])
        area = values["mask_length"] ** 2
        blocks = num_blocks(size, values["mask_prob"], values["mask_prob_adjust"], area)
        yield exact(f"{name} centres", blocks, values["centres"])
        mask = draw(values, grid, draws, seed=1)
        yield exact(f"{name} kept in every row", (~mask).sum(1).unique().tolist(), [values["kept"]])
        for key in tensors:
            if key.startswith(f"{name}_seed"):
                yield exact(f"{key} shape", tuple(tensors[key].shape[1:]), tuple(mask.shape[1:]))
        visible = ~mask.unflatten(1, grid)
        if f"{name}_keep_marginal" in tensors:
            yield close(f"{name} marginal", visible.float().mean(0), tensors[f"{name}_keep_marginal"], atol=0.03)
        yield from statistics_checks(name, visible, config["statistics"].get(name))
    for key, want in tensors.items():
        if key.startswith("flexible"):
            kept = int((~want[0]).sum())
            values = next(v for v in config["configs"].values() if (_cells(v), v["kept"]) == (want.shape[1], kept))
            for shape in block_shapes(text_of(path)):
                mask = draw(values, tuple(values["grid"]), want.shape[0], seed=1, block_shape=shape)
                yield exact(f"{key} {shape}", (~mask).sum(1).tolist(), (~want).sum(1).tolist())


def _cells(values: dict) -> int:
    return values["grid"][0] * values["grid"][1]


def block_shapes(text: str) -> list[tuple[int, int]]:
    """(time, frequency) shapes of the option of several: "block shapes (6,4), (5,5), (8,3)"."""
    listed = stated(text, r"block shapes ((?:\(\s*\d+\s*,\s*\d+\s*\)\s*,?\s*)+)")[1]
    return [(int(time), int(frequency)) for time, frequency in re.findall(r"(\d+)\s*,\s*(\d+)", listed)]


def draw(values: dict, grid: tuple[int, int], rows: int, seed: int, **options) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return inverse_block_mask(
        rows, grid, values["mask_prob"], values["mask_prob_adjust"], values["mask_length"], generator, **options
    )


def statistics_checks(name: str, visible: torch.Tensor, recorded: dict | None) -> Iterator[Check]:
    """Shape statistics of the visible set, each within 4 standard errors of the recorded mean."""
    if recorded is None:
        return
    cells = visible.float()
    padded = nn.functional.pad(cells, (1, 1, 1, 1))
    plus = torch.tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=torch.float32)[None, None]
    neighbours = nn.functional.conv2d(padded[:, None], plus)[:, 0]
    block = nn.functional.conv2d(padded[:, None], torch.ones(1, 1, 3, 3))[:, 0]
    kept = cells.sum((1, 2))
    found = {
        "time_neighbour_pairs": (cells[:, 1:] * cells[:, :-1]).sum((1, 2)),
        "freq_neighbour_pairs": (cells[:, :, 1:] * cells[:, :, :-1]).sum((1, 2)),
        "kept_cells_with_full_3x3": (cells * (block == 9)).sum((1, 2)) / kept,
        "isolated_kept_cells": (cells * (neighbours == 0)).sum((1, 2)) / kept,
    }
    for key, values in found.items():
        mean, std = recorded[key]
        standard_error = std * (1 / recorded["draws"] + 1 / len(values)) ** 0.5
        yield close(f"{name} {key}", values.mean(), torch.tensor(mean), atol=4 * standard_error)
