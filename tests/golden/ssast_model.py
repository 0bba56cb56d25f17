"""SSAST's model: pretraining and fine-tuning forward passes, position tables, and names."""

from __future__ import annotations

import pathlib
import random
from collections.abc import Iterator

import torch
from safetensors.torch import load_file
from torch import nn

from modeling_sslam import SsastConfig, SsastForAudioClassification, SsastForPreTraining
from modeling_sslam.modeling_ssast import SsastForPreTrainingOutput
from modeling_sslam.official.file import rename_weights
from modeling_sslam.official.ssast import NAMES, official_to_ours
from modeling_sslam.tokens_masks import gather_tokens
from modeling_sslam.tokens_patches import patchify
from training.objectives import build_objective
from training.objectives.cluster_masks import official_cluster_indices, official_uniform_indices, time_major
from training.objectives.ssast import contrastive_loss, reconstruction_loss
from training.optim.optimizer import build_optimizer, parameter_groups, set_epsilon

from .inputs import input_of, text_of
from .readme import key_prefix, numbers, part, weight_rule
from .registry import Check, Tensors, case, close, exact

ACTIVATIONS = {"atol": 1e-5, "rtol": 1e-4}
RULE = {"atol": 2e-4, "rtol": 2e-4}
PREFIX = "module."
NUM_SPECIAL = 2  # class tokens
LEFT_OUT = {
    "module.p_input_fdim",
    "module.p_input_tdim",
    "module.v.head.weight",
    "module.v.head.bias",
    "module.v.head_dist.weight",
    "module.v.head_dist.bias",
}


def ssast_config(case: dict, **overrides) -> SsastConfig:
    """The configuration of a case: sizes given by name or one by one."""
    patch_size = case["tshape"], case["fshape"]
    if "model_size" in case:
        sizes = SsastConfig.patch(case["model_size"])
        fields = {name: getattr(sizes, name) for name in ("hidden_size", "num_attention_heads", "intermediate_size")}
    else:
        width = case["hidden_size"]
        fields = {"hidden_size": width, "num_hidden_layers": case["depth"], "num_attention_heads": case["heads"]}
        fields["intermediate_size"] = int(width * case.get("mlp_ratio", 4))
    fields["layer_norm_eps"] = case.get("layer_norm_eps", 1e-6)
    return SsastConfig(**(fields | {"patch_size": patch_size} | overrides))


def grid_of(num_frames: int, num_bins: int, case: dict) -> tuple[int, int]:
    """(time, frequency) patches without overlap."""
    return num_frames // case["tshape"], num_bins // case["fshape"]


def tokens_in_time(tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """(B, L, ...) patches from the official, frequency-major order to ours."""
    return tokens.unflatten(1, grid[::-1]).transpose(1, 2).flatten(1, 2)


def with_special(tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """The same behind the two class tokens: (B, 2 + L, ...)."""
    return torch.cat([tokens[:, :2], tokens_in_time(tokens[:, 2:], grid)], dim=1)


def official_order(tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """The inverse of `with_special`."""
    return torch.cat([tokens[:, :2], tokens_in_time(tokens[:, 2:], grid[::-1])], dim=1)


def pixels(official: torch.Tensor, config: SsastConfig) -> torch.Tensor:
    """(..., P) from the official order inside a patch to that of `patchify`."""
    return official.unflatten(-1, config.patch_size[::-1]).transpose(-1, -2).flatten(-2)


def stripped(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(PREFIX): tensor for name, tensor in weights.items()}


def to_official(config: SsastConfig, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Whatever belongs to parameters, from our names and layout to the official ones, `module.` included."""
    named = rename_weights(tensors, [(ours, official) for official, ours in NAMES])
    for name, tensor in named.items():
        if name == "v.patch_embed.proj.weight":
            named[name] = tensor.transpose(2, 3)
        elif name.startswith(("cpredlayer.2", "gpredlayer.2")):
            named[name] = tensor.unflatten(0, config.patch_size).transpose(0, 1).flatten(0, 1)
    return {PREFIX + name: tensor for name, tensor in named.items()}


def rule_weights(path: pathlib.Path, config: SsastConfig, model: nn.Module) -> dict[str, torch.Tensor]:
    """Weights by the rule that the README of a case states, under our names."""
    text = text_of(path)
    rule, prefix = weight_rule(text), key_prefix(text)
    named = stripped(to_official(config, model.state_dict()))
    official = {name: rule.value(f"{prefix}{name}", tensor.shape) for name, tensor in named.items()}
    return official_to_ours(official, config.patch_size)


def mask_of(official: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """(B, M) official indices of masked patches -> (B, L) bool, True = masked, time-major."""
    mask = torch.zeros(len(official), grid[0] * grid[1], dtype=torch.bool)
    return mask.scatter(1, time_major(official, grid), True)


@case("ssast/pretrain_micro")
def pretrain_micro(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    grid = grid_of(config["input_tdim"], config["input_fdim"], config)
    sizes = ssast_config(config, num_mel_bins=config["input_fdim"], position_grid=grid)
    model = SsastForPreTraining(sizes).eval()
    model.load_state_dict(official_to_ours(stripped(load_file(path / "weights.safetensors")), sizes.patch_size))
    yield from _discriminative(model, grid, tensors)
    yield from _generative(model, grid, tensors)
    fields = {"generative_weight": config["lambda_generative"]}
    yield from _joint(model, grid, fields, tensors)
    yield from _steps(model, grid, fields, text_of(path), tensors)
    yield from _official_masks(config, grid, tensors)


def _run(
    model: SsastForPreTraining, grid: tuple[int, int], input_values: torch.Tensor, official: torch.Tensor, **kwargs
) -> tuple[SsastForPreTrainingOutput, torch.Tensor]:
    """The model's output with a recorded mask (B, M), and the pixels of the masked patches.

    Both are in the order of the recorded indices, whereas the model's masked patches are in ascending order.
    """
    masked = time_major(official, grid)
    output = model(input_values, bool_masked_pos=mask_of(official, grid), **kwargs)
    place = masked.argsort(dim=1).argsort(dim=1)
    output.discriminative = gather_tokens(output.discriminative, place)
    output.generative = gather_tokens(output.generative, place)
    return output, gather_tokens(patchify(input_values, model.config.patch_size), masked)


@torch.no_grad()
def _discriminative(model: SsastForPreTraining, grid: tuple[int, int], tensors: Tensors) -> Iterator[Check]:
    config = model.config
    output, target = _run(model, grid, tensors["input"], tensors["mask_mpc"], output_hidden_states=True)
    patches = model.ssast.embeddings.patch_embeddings(tensors["input"])
    yield close("patches", patches, tokens_in_time(tensors["mpc_patch_embed"], grid), **ACTIVATIONS)
    yield close("target", target, pixels(tensors["target"], config), **ACTIVATIONS)
    states = {"mpc_encoder_input": output.hidden_states[0], "mpc_encoder_output": output.last_hidden_state}
    states |= {f"mpc_block_{index}": state for index, state in enumerate(output.hidden_states[1:])}
    for name, state in states.items():
        yield close(name, state, with_special(tensors[name], grid), **ACTIVATIONS)
    yield close("prediction", output.discriminative, pixels(tensors["mpc_pred"], config), **ACTIVATIONS)
    yield close("similarity", target @ output.discriminative.mT, tensors["mpc_similarity"], **ACTIVATIONS)
    loss, accuracy = contrastive_loss(output.discriminative, target)
    yield close("nce", loss, tensors["mpc_nce"], **ACTIVATIONS)
    yield exact("accuracy", accuracy, tensors["mpc_acc"])


@torch.no_grad()
def _generative(model: SsastForPreTraining, grid: tuple[int, int], tensors: Tensors) -> Iterator[Check]:
    output, target = _run(model, grid, tensors["input"], tensors["mask_mpg"])
    yield close("reconstruction", output.generative, pixels(tensors["mpg_pred"], model.config), **ACTIVATIONS)
    yield close("mse", reconstruction_loss(output.generative, target), tensors["mpg_mse"], **ACTIVATIONS)


def _joint(model: SsastForPreTraining, grid: tuple[int, int], fields: dict, tensors: Tensors) -> Iterator[Check]:
    """Loss and gradients of one step by the objective of training."""
    objective = build_objective("ssast", fields, model)
    batch = {
        "input_values": tensors["input"],
        "discriminative_bool_masked_pos": mask_of(tensors["joint_mask_mpc"], grid),
        "generative_bool_masked_pos": mask_of(tensors["joint_mask_mpg"], grid),
    }
    loss, logs = objective(model, batch, torch.Generator())
    loss.backward()
    yield close("joint loss", loss, tensors["joint_loss"], **ACTIVATIONS)
    gradients = to_official(model.config, {name: parameter.grad for name, parameter in model.named_parameters()})
    for name, want in tensors.items():
        if name.startswith("grad."):
            yield close(f"gradient of {name}", gradients[name.removeprefix("grad.")], want, atol=1e-5, rtol=1e-3)


def _steps(
    model: SsastForPreTraining, grid: tuple[int, int], fields: dict, text: str, tensors: Tensors
) -> Iterator[Check]:
    """Updates by the objective and the optimiser of training."""
    objective = build_objective("ssast", fields, model)
    lr, *betas, epsilon, decay = numbers(text, r"Adam lr N, betas \(N, N\), eps N, L2 weight decay N")
    groups = parameter_groups(model, lr=lr, weight_decay=decay)
    optimizer = build_optimizer(groups, tuple(betas), epsilon, epsilon_after_correction=True, kind="adam")
    found = []
    for step in range(len(tensors["steps_mask_mpc"])):
        names = {
            "discriminative_bool_masked_pos": "steps_mask_mpc",
            "generative_bool_masked_pos": "steps_mask_mpg",
        }
        masks = {ours: mask_of(tensors[name][step], grid) for ours, name in names.items()}
        set_epsilon(optimizer, step)
        optimizer.zero_grad()
        loss, logs = objective(model, {"input_values": tensors["input"]} | masks, torch.Generator())
        loss.backward()
        optimizer.step()
        found.append([logs[name] for name in ("loss_discriminative", "loss_generative", "accuracy")])
    for got, name in zip(torch.tensor(found).T, ("steps_nce", "steps_mse", "steps_acc"), strict=True):
        tolerances = {} if name == "steps_acc" else ACTIVATIONS
        yield close(name, got, tensors[name], **tolerances)
    weights = to_official(model.config, dict(model.named_parameters()))
    for name, want in tensors.items():
        if name.startswith("after."):
            yield close(name, weights[name.removeprefix("after.")], want, atol=1e-4)


def _official_masks(config: dict, grid: tuple[int, int], tensors: Tensors) -> Iterator[Check]:
    """The official sampler from the recorded state of Python's random numbers; the joint run draws twice from one."""
    for names in (("mask_mpc",), ("mask_mpg",), ("joint_mask_mpc", "joint_mask_mpg")):
        numbers = random.Random(int(tensors["mask_seed"]))
        for name in names:
            drawn = [official_mask(numbers, config, grid) for _ in range(config["batch"])]
            yield exact(f"official {name}", torch.tensor(drawn), tensors[name])


def official_mask(numbers: random.Random, config: dict, grid: tuple[int, int]) -> list[int]:
    """One clip's mask by the official sampler of a case's kind of model."""
    if config["cluster"]:
        return official_cluster_indices(numbers, grid, config["mask_patch"])
    return official_uniform_indices(numbers, grid[0] * grid[1], config["mask_patch"])


@case("ssast/pretrain_rule")
@torch.no_grad()
def pretrain_rule(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    grid = grid_of(config["input_tdim"], config["input_fdim"], config)
    sizes = ssast_config(config, num_mel_bins=config["input_fdim"], position_grid=grid)
    input_values, text = input_of(path, tensors, ["input"]), text_of(path)
    model = SsastForPreTraining(sizes).eval()
    model.load_state_dict(rule_weights(path, sizes, model))
    if "input_corner" in tensors:
        corner = input_values[part(path, text, "input_corner")]
        yield exact("corner of the input", corner, tensors["input_corner"])
    output, target = _run(model, grid, input_values, tensors["mask_mpc"])
    loss, accuracy = contrastive_loss(output.discriminative, target)
    yield close("nce", loss, tensors["nce"], **RULE)
    yield close("accuracy", accuracy, tensors["acc"], atol=1.0 / target.shape[1])
    shown = tensors["mpc_pred"].shape[1]
    yield close("prediction", output.discriminative[:, :shown], pixels(tensors["mpc_pred"], sizes), **RULE)

    output, target = _run(model, grid, input_values, tensors["mask_mpg"])
    yield close("mse", reconstruction_loss(output.generative, target), tensors["mse"], **RULE)
    shown = tensors["mpg_pred"].shape[1]
    yield close("reconstruction", output.generative[:, :shown], pixels(tensors["mpg_pred"], sizes), **RULE)
    encoded = official_order(output.last_hidden_state, grid)[part(path, text, "mpg_encoder_output")]
    yield close("encoder output", encoded, tensors["mpg_encoder_output"], **RULE)


def classifier_of(
    case: dict, variant: dict, weights: dict[str, torch.Tensor], **overrides
) -> SsastForAudioClassification:
    """The classifier of a fine-tuning set-up; its encoder has the pretrained weights (official names)."""
    table = weights["v.pos_embed"].shape[1] - NUM_SPECIAL
    rows = int(weights["p_input_fdim"]) // case["fshape"]
    config = ssast_config(
        case,
        num_mel_bins=variant["input_fdim"],
        patch_stride=(variant["tstride"], variant["fstride"]),
        position_grid=(table // rows, rows),
        num_labels=case["label_dim"],
        **overrides,
    )
    return SsastForAudioClassification(config).eval()


@case("ssast/finetune_micro")
def finetune_micro(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    yield from _variants(path, config, tensors)


@case("ssast/finetune_patch_micro_mel64_quirk")
def finetune_eight_rows(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    yield from _variants(path, config, tensors, positions_via_eight_rows=True)


@torch.no_grad()
def _variants(path: pathlib.Path, config: dict, tensors: Tensors, **overrides) -> Iterator[Check]:
    official = stripped(load_file(path / "weights.safetensors"))
    head = {name.removeprefix("head.module."): value for name, value in tensors.items() if name.startswith("head.")}
    encoder = {name: value for name, value in official.items() if name.startswith(("v.", "p_input"))}
    for name, variant in config["variants"].items():
        model = classifier_of(config, variant, official, **overrides)
        model.load_state_dict(official_to_ours(encoder | head, model.config.patch_size))
        grid = variant["t_dim"], variant["f_dim"]
        input_values = tensors[f"{name}.input"]
        output = model.ssast(input_values, output_hidden_states=True)
        positions = all_positions(model, variant["num_patches"])
        want = with_special(tensors[f"{name}.pos_embed"], grid)
        yield close(f"{name} positions", positions, want, atol=1e-6)
        patches = model.ssast.embeddings.patch_embeddings(input_values)
        yield close(f"{name} patches", patches, tokens_in_time(tensors[f"{name}.patch_embed"], grid), **ACTIVATIONS)
        states = {"encoder_output": output.last_hidden_state}
        states |= {f"block_{index}": state for index, state in enumerate(output.hidden_states[1:])}
        for state, got in states.items():
            if f"{name}.{state}" in tensors:
                yield close(f"{name} {state}", got, with_special(tensors[f"{name}.{state}"], grid), **ACTIVATIONS)
        for pooling, recorded in (("mean", "avgtok"), ("cls", "cls")):
            model.config.pooling = pooling
            want = tensors[f"{name}.logits_{recorded}"]
            yield close(f"{name} logits, {pooling}", model(input_values).logits, want, **ACTIVATIONS)


def all_positions(model: SsastForAudioClassification, num_patches: int) -> torch.Tensor:
    """(1, 2 + num_patches, D) positions of the class tokens and of the patches, time-major."""
    embeddings = model.ssast.embeddings
    special = embeddings.position_embeddings[:, : model.config.num_special_tokens]
    return torch.cat([special, embeddings.positions(num_patches)], dim=1)


@case("ssast/finetune_rule")
@torch.no_grad()
def finetune_rule(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    grid = grid_of(config["pretrain_input_tdim"], config["input_fdim"], config)
    sizes = ssast_config(
        config,
        num_mel_bins=config["input_fdim"],
        patch_stride=(config["tstride"], config["fstride"]),
        position_grid=grid,
        num_labels=config["label_dim"],
    )
    model = SsastForAudioClassification(sizes).eval()
    model.load_state_dict(rule_weights(path, sizes, model))
    input_values, text = input_of(path, tensors, ["input"]), text_of(path)
    output = model.ssast(input_values, output_hidden_states=True)
    num_patches = output.last_hidden_state.shape[1] - sizes.num_special_tokens
    clip_grid = num_patches // sizes.num_frequency_patches, sizes.num_frequency_patches
    if "num_tokens" in config:
        yield exact("tokens", output.last_hidden_state.shape[1], config["num_tokens"])
    whole = {"pos_embed": all_positions(model, num_patches), "encoder_output": output.last_hidden_state}
    whole |= {f"block_{index}": state for index, state in enumerate(output.hidden_states[1:])}
    for name, want in tensors.items():
        if name.endswith("_part"):
            got = official_order(whole[name.removesuffix("_part")], clip_grid)[part(path, text, name)]
            tolerance = {"atol": 1e-6} if name == "pos_embed_part" else RULE
            yield close(name, got, want, **tolerance)
    for pooling, recorded in (("mean", "avgtok"), ("cls", "cls")):
        model.config.pooling = pooling
        yield close(f"logits, {pooling}", model(input_values).logits, tensors[f"logits_{recorded}"], **RULE)


@case("ssast/state_dict_keys")
def state_dict_keys(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    """Every official name becomes one of ours or is one of those that are knowingly left out."""
    for model_type in config.keys() - {"case_kind"}:
        size, kind = model_type.split("_")
        recorded = {name: torch.Size(shape) for name, shape in config[model_type].items()}
        total = sum(shape.numel() for shape in recorded.values())
        yield exact(f"{model_type} entries", total, int(tensors[f"parameters_{model_type}"]))
        with torch.device("meta"):
            model = SsastForPreTraining(getattr(SsastConfig, kind)(size))
            official = {name: torch.empty(shape) for name, shape in recorded.items()}
            converted = official_to_ours(stripped(official), model.config.patch_size)
        want = {name: tensor.shape for name, tensor in model.state_dict().items()}
        yield exact(f"{model_type} shapes", {name: tensor.shape for name, tensor in converted.items()}, want)
        left_out = recorded.keys() - to_official(model.config, model.state_dict()).keys()
        yield exact(f"{model_type} left out", left_out, LEFT_OUT)
