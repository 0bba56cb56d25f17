"""Encoders of SSAM, AxLSTM and their transformer baseline: what the cases of the three families have in common."""

from __future__ import annotations

import pathlib
import zlib
from collections.abc import Iterator, Mapping

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForPreTraining

from modeling_sslam.configuration_masked_patch import MaskedPatchConfig
from modeling_sslam.hear.embeddings import group_tokens
from modeling_sslam.modeling_masked_patch import MaskedPatchPreTrainedModel
from modeling_sslam.official.masked_patch import POSITIONS, to_official, to_ours
from modeling_sslam.tokens_masks import masked_positions
from modeling_sslam.tokens_patches import patchify
from training.objectives import build_objective
from training.objectives.masks import shuffled_patches
from training.optim.optimizer import parameter_groups

from .inputs import input_of
from .registry import Check, Tensors, check_options, close, exact

MASKINGS = ("unstructured", "timestep")
# Name of a recorded loss -> fields of the objective.
LOSSES = {
    "loss": {},
    "loss_masked_only": {"loss_on": "masked"},
    "loss_all_norm_pix": {"normalize_target": True},
    "loss_masked_norm_pix": {"loss_on": "masked", "normalize_target": True},
}


def shared_fields(case: Mapping) -> dict:
    """Fields of `MaskedPatchConfig` that a case gives."""
    check_options(case, in_chans=1, frequency_first=False)
    fields = {
        "hidden_size": case["embed_dim"],
        "patch_size": tuple(case["patch_size"]),
        "window_frames": case["img_size"][0],
        "num_mel_bins": case["img_size"][1],
        "use_class_token": case["use_cls_token"],
    }
    return fields | ({"num_hidden_layers": case["depth"]} if "depth" in case else {})


def build(config: MaskedPatchConfig) -> MaskedPatchPreTrainedModel:
    """The pretraining model, with weights that a case is about to replace."""
    return AutoModelForPreTraining.from_config(config).eval()


def rule_value(name: str, shape: torch.Size, has_offset_gains: bool) -> torch.Tensor:
    """A weight by the rule of the case READMEs, from its official name.

    Args:
        has_offset_gains: whether norms in blocks hold their gain less one, as AxLSTM's.
    """
    g = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if name in ("cls_token", "mask_token"):
        return 0.5 * g
    if name.endswith("A_log"):
        return torch.arange(1.0, shape[-1] + 1).log() + 0.1 * g
    if name.endswith("dt_proj.bias"):
        return -3 + 0.5 * g
    if name.endswith("fgate.bias"):
        return 4 + g
    if len(shape) >= 2:
        return g / shape[1:].numel() ** 0.5
    gains = ("norm.weight", "norm1.weight", "norm2.weight") if not has_offset_gains else ()
    is_gain = name == "encoder_norm.weight" or name.endswith((*gains, ".mixer.D", ".learnable_skip"))
    return 1 + 0.1 * g if is_gain else 0.1 * g


def load_weights(path: pathlib.Path, model: MaskedPatchPreTrainedModel) -> dict[str, torch.Tensor]:
    """Fills the model from the case's file, or by rule. Returns the weights under official names."""
    config, file = model.config, path / "weights.safetensors"
    if file.exists():
        official = load_file(file)
    else:
        shapes = {name: tensor.shape for name, tensor in to_official(config, model.state_dict()).items()}
        has_offset_gains = config.model_type == "axlstm"
        official = {name: rule_value(name, shape, has_offset_gains) for name, shape in shapes.items()}
    model.load_state_dict(to_ours(config, official))
    return official


def rule_sum_check(official: Mapping[str, torch.Tensor], tensors: Tensors) -> Iterator[Check]:
    """The sum of absolute weights, where it is recorded."""
    if "rule_abs_sum" in tensors:
        total = sum(tensor.double().abs().sum() for name, tensor in official.items() if name != POSITIONS)
        yield close("sum of weights, relative", total / tensors["rule_abs_sum"], torch.ones(()), atol=1e-5)


def encoder_checks(
    path: pathlib.Path, case: Mapping, config: MaskedPatchConfig, tensors: Tensors, atol: float, rtol: float
) -> Iterator[Check]:
    """Everything that a case of kind `*/encoder` holds."""
    model = build(config)
    official = load_weights(path, model)
    yield from rule_sum_check(official, tensors)
    input_values = input_of(path, tensors, ["spec"])
    noise = whole_noise(tensors["noise"], case, config.num_frequency_patches)
    yield from _unmasked_checks(model, input_values, tensors, atol, rtol)
    yield from _masked_checks(model, input_values, noise, case["mask_ratio"], tensors, atol, rtol)
    recorded = {name.removeprefix("grad."): want for name, want in tensors.items() if name.startswith("grad.")}
    if recorded:
        kept, _ = shuffled_patches(noise, case["mask_ratio"])
        gradients = _gradients(model, input_values, kept)
        for name, want in recorded.items():
            yield close(f"gradient of {name}", gradients[name], want, atol=1e-6, rtol=1e-3)


def whole_noise(noise: torch.Tensor, case: Mapping, num_frequency: int) -> torch.Tensor:
    """(B, L) noise of a case, which by its masking mode may decide step by step.

    "timestep" masks all patches of a time step at once: the number of its first patch counts for all. The case may
    also hold one number a step, (B, S).

    Raises:
        ValueError: a masking mode that is not known.
    """
    mode = case.get("masking_mode", "unstructured")
    if mode not in MASKINGS:
        raise ValueError(f"masking_mode is {mode!r}: expected one of {', '.join(MASKINGS)}")
    (frames, bins), (patch_frames, patch_bins) = case["img_size"], case["patch_size"]
    num_steps, num_patches = frames // patch_frames, (frames // patch_frames) * (bins // patch_bins)
    if mode == "timestep" and noise.shape[1] == num_patches:
        noise = noise[:, ::num_frequency]
    if noise.shape[1] == num_steps:
        noise = noise.repeat_interleave(num_frequency, dim=1)
    return noise


@torch.no_grad()
def _unmasked_checks(
    model: nn.Module, input_values: torch.Tensor, tensors: Tensors, atol: float, rtol: float
) -> Iterator[Check]:
    """Embeddings, blocks and features of the whole clip."""
    encoder, config = model.encoder, model.config
    patches = encoder.embeddings.patch_embeddings(input_values)
    if "patch_embed_out" in tensors:
        yield close("patch embeddings", patches, tensors["patch_embed_out"], atol, rtol)
    output = encoder(input_values, output_hidden_states=True)
    for name, want in tensors.items():
        if name.startswith("block"):
            number, _, kind = name.removeprefix("block").partition("_")
            before, after = output.hidden_states[int(number) :][:2]
            got = {"out": after, "residual": before, "mixer_out": after - before}[kind]
            yield close(name, got, want, atol, rtol)
    bands, _ = encoder.bands(input_values)
    features = group_tokens(bands[:, 0].flatten(1, 2), config.num_frequency_patches, config.token_grouping)
    yield close("features", features, tensors["features"], atol, rtol)


@torch.no_grad()
def _masked_checks(
    model: nn.Module,
    input_values: torch.Tensor,
    noise: torch.Tensor,
    mask_ratio: float,
    tensors: Tensors,
    atol: float,
    rtol: float,
) -> Iterator[Check]:
    """Mask, prediction and losses."""
    kept, masked = shuffled_patches(noise, mask_ratio)
    mask = masked_positions(kept, noise.shape[1])
    yield exact("mask", mask.float(), tensors["mask"])
    yield exact("restored order", torch.cat([kept, masked], dim=1).argsort(dim=1), tensors["ids_restore"])
    output = model(input_values, bool_masked_pos=mask)
    yield close("prediction", output.prediction, tensors["pred"], atol, rtol)
    yield close("target", patchify(input_values, model.config.patch_size), tensors["target"], atol, rtol)
    for name, fields in LOSSES.items():
        if name in tensors:
            yield close(name, _loss(model, input_values, kept, fields), tensors[name], atol, rtol)


def _loss(model: nn.Module, input_values: torch.Tensor, kept: torch.Tensor, fields: dict) -> torch.Tensor:
    objective = build_objective("masked_reconstruction", fields, model)
    return objective(model, {"input_values": input_values, "kept_indices": kept}, torch.Generator())[0]


def _gradients(model: nn.Module, input_values: torch.Tensor, kept: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradient of the official loss for every parameter, under official names."""
    model.zero_grad()
    _loss(model, input_values, kept, {}).backward()
    return to_official(model.config, {name: parameter.grad for name, parameter in model.named_parameters()})


def group_checks(config: MaskedPatchConfig, case: Mapping, recorded: list[dict], name: str) -> Iterator[Check]:
    """Weight decay of every parameter, against recorded groups of official names."""
    with torch.device("meta"):
        model = build(config)
    groups = parameter_groups(model, 1.0, case.get("weight_decay", 0.05), exclude_bias_and_norm=True)
    decay = {parameter: group["weight_decay"] for group in groups for parameter in group["names"]}
    got = to_official(config, decay)
    want = {parameter: group["weight_decay"] for group in recorded for parameter in group["params"]}
    yield exact(f"{name} weight decay", got, want)
