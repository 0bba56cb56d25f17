"""Cases of MW-MAE and MAE: attention, positions, masks, pretraining, optimiser steps and checkpoints."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterator, Mapping

import torch
from safetensors.torch import load_file
from torch import nn

from modeling_sslam import MwmaeConfig, MwmaeForPreTraining
from modeling_sslam.configuration_mwmae import one_per_head
from modeling_sslam.hear.embeddings import group_tokens
from modeling_sslam.layers_window_attention import HeadGroup, WindowAttention
from modeling_sslam.modeling_mwmae import MwmaeLayer, initial_decoder_positions, initial_positions
from modeling_sslam.official.checkpoints import load_official
from modeling_sslam.official.flax_msgpack import load_flax
from modeling_sslam.official.mwmae import block_places, official_weights, places, to_ours
from modeling_sslam.tokens_masks import masked_positions
from modeling_sslam.tokens_patches import patchify
from training.objectives import build_objective
from training.objectives.masks import shuffled_patches
from training.optim.optimizer import build_optimizer, parameter_groups
from training.optim.schedules import learning_rate, set_step

from .inputs import as_batch, input_of, text_of
from .mwmae_weights import rule_weights, to_official
from .registry import Check, Tensors, case, check_options, close, exact

ATTENTION = {"atol": 2e-5, "rtol": 1e-4}
BLOCK = {"atol": 5e-5, "rtol": 1e-4}
ACTIVATIONS = {"atol": 1e-4, "rtol": 1e-3}
GRADIENTS = {"atol": 1e-5, "rtol": 2e-3}
RULE = {"atol": 1e-3, "rtol": 1e-3}
POSITIONS = {"atol": 2e-5}
MASK_RATIO = 0.8
LOSS_RTOL = 1e-5
RULE_LOSS_RTOL = 1e-4
# The released runs leave the target as it is.
OBJECTIVE = {"loss_on": "masked", "target_variance": "population"}
IMPLEMENTATIONS = ("eager", "sdpa")
QKV_BIASES = ("wmha_block/qkv/bias", "Attention_0/Dense_0/bias")
PRECISIONS = {"float32": {"atol": 1e-4}, "bfloat16": {"atol": 5e-2}}


def mwmae_config(case: dict) -> MwmaeConfig:
    """The configuration of a case."""
    check_options(case, activation="gelu_tanh")
    encoder = case.get("encoder", case)
    decoder = case.get("decoder") or {name: case[f"decoder_{name}"] for name in ("embed_dim", "depth", "num_heads")}
    ratio = case.get("mlp_ratio", 4)
    return MwmaeConfig(
        hidden_size=encoder["embed_dim"],
        num_hidden_layers=encoder["depth"],
        num_attention_heads=encoder["num_heads"],
        intermediate_size=int(encoder["embed_dim"] * ratio),
        layer_norm_eps=case.get("layer_norm_eps", 1e-6),
        qkv_bias=case.get("qkv_bias", True),
        patch_size=tuple(case["patch_size"]),
        window_frames=case["img_size"][0],
        num_mel_bins=case["img_size"][1],
        use_class_token=case.get("use_cls_token", False),
        encoder_window_sizes=case.get("window_sizes", 0),
        decoder_hidden_size=decoder["embed_dim"],
        decoder_num_layers=decoder["depth"],
        decoder_intermediate_size=int(decoder["embed_dim"] * ratio),
        decoder_num_attention_heads=decoder["num_heads"],
        decoder_window_sizes=case.get("decoder_window_sizes", 0),
        shift_windows=case.get("shifting_windows", False),
    )


def kept_patches(case: dict, tensors: Tensors) -> torch.Tensor:
    """(B, K) patches that a case keeps of each clip, in the order of its noise."""
    noise = tensors["noise"]
    if "mask_ratio" in case:
        return shuffled_patches(noise, case["mask_ratio"])[0]
    num_kept = int((tensors["mask"][0] == 0).sum())
    return noise.argsort(dim=1, stable=True)[:, :num_kept]


def load_weights(path: pathlib.Path, model: MwmaeForPreTraining) -> None:
    """Fills a model from a case's file."""
    table = places(model.config)
    model.load_state_dict(to_ours(table, official_weights(load_file(path / "weights.safetensors"))))


@case("mwmae/mwmha_module")
def attention(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    """Each head's output and weights, the output projection, and the gradient of the input."""
    weights = load_file(path / "weights.safetensors")
    for name, subcase in config["subcases"].items():
        own = {key.removeprefix(f"{name}/"): value for key, value in weights.items() if key.startswith(f"{name}/")}
        windows = one_per_head(subcase["window_sizes"], subcase["num_heads"])
        want = {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
        for implementation in IMPLEMENTATIONS:
            settings = MwmaeConfig(qkv_bias=subcase["qkv_bias"])
            settings._attn_implementation = implementation
            layer = WindowAttention(settings, subcase["dim"], windows, subcase["shift_windows"])
            layer.load_state_dict(attention_weights(windows, official_weights(own)))
            for check in attention_checks(layer, want):
                yield Check(f"{name} {implementation} {check.name}", check.error, check.tolerance)


def attention_weights(windows: tuple[int, ...], official: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of the attention alone, whose official names lack the block's part."""
    kind = "wmha_block/"
    table = {name: place for name, place in block_places(windows).items() if name.startswith(kind)}
    table = {name: place for name, place in table.items() if name.removeprefix(kind) in official}
    ours = to_ours(table, {f"{kind}{name}": weight for name, weight in official.items()})
    return {name.removeprefix("attention."): weight for name, weight in ours.items()}


def attention_checks(layer: WindowAttention, want: Tensors) -> Iterator[Check]:
    outputs, weights = [], []

    def keep(group: HeadGroup, arguments: tuple, output: tuple) -> None:
        outputs.extend(output[0].unbind(2))
        weights.extend([None] * group.num_heads if output[1] is None else output[1].unbind(1))

    for group in layer.groups:
        group.register_forward_hook(keep)
    x = want["x"].clone().requires_grad_()
    y, _ = layer(x)
    yield close("y", y, want["y"], **ATTENTION)
    for head, (output, weight) in enumerate(zip(outputs, weights, strict=True)):
        yield close(f"head {head}", output, want[f"head{head}/out"], **ATTENTION)
        if weight is not None and f"head{head}/attn" in want:
            yield close(f"weights of head {head}", weight, want[f"head{head}/attn"], **ATTENTION)
    (y * want["grad_out"]).sum().backward()
    yield close("gradient of x", x.grad, want["grad_x"], **ATTENTION)


@case("mwmae/mwmha_block")
def block(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    check_options(config, activation="gelu_tanh")
    windows = one_per_head(config["window_sizes"], config["num_heads"])
    shift = config.get("shift_windows", False)
    settings = MwmaeConfig(
        decoder_hidden_size=config["dim"],
        decoder_num_attention_heads=config["num_heads"],
        decoder_intermediate_size=int(config["dim"] * config["mlp_ratio"]),
        layer_norm_eps=config["layer_norm_eps"],
        qkv_bias=config["qkv_bias"],
        decoder_window_sizes=0,
        shift_windows=shift,
    )
    layer = MwmaeLayer(settings, settings.decoder_sizes._replace(window_sizes=windows), index=int(shift))
    layer.load_state_dict(to_ours(block_places(windows), official_weights(load_file(path / "weights.safetensors"))))
    outputs = recorded_outputs(
        {
            "LayerNorm_0": layer.norm1,
            "wmha_block": layer.attention,
            "Attention_0": layer.attention,
            "LayerNorm_1": layer.norm2,
            "Mlp_0": layer.mlp,
        }
    )
    for implementation in IMPLEMENTATIONS:
        settings._attn_implementation = implementation
        yield close(f"y {implementation}", layer(tensors["x"])[0], tensors["y"], **BLOCK)
        for name, want in _below("inter/", tensors).items():
            yield close(f"{name} {implementation}", outputs[name], want, **BLOCK)


@case("mwmae/pos_embed")
def positions(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    for name, want in tensors.items():
        kind, size, *class_token = name.split("_")
        grid = [int(number) for number in size.split("x")]
        settings = MwmaeConfig(
            hidden_size=config["dim_2d"],
            num_attention_heads=1,
            decoder_hidden_size=config["dim_1d"],
            decoder_num_attention_heads=1,
            decoder_window_sizes=0,
            patch_size=1,
            window_frames=grid[0],
            num_mel_bins=grid[-1] if kind == "pos2d" else 1,
            use_class_token=bool(class_token),
        )
        got = initial_positions(settings) if kind == "pos2d" else initial_decoder_positions(settings)
        yield close(name, got[0], want, **POSITIONS)


@case("mwmae/random_masking")
def masks(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    for name, want in tensors.items():
        if name.startswith("len_keep/"):
            num_tokens, ratio = name.removeprefix("len_keep/").split("_")
            kept, _ = shuffled_patches(torch.rand(1, int(num_tokens)), float(ratio))
            yield exact(name, kept.shape[1], int(want))
        elif name.endswith("/noise"):
            recorded = _below(name.removesuffix("noise"), tensors)
            kept, masked = shuffled_patches(want, config["mask_ratio"])
            shuffled = torch.cat([kept, masked], dim=1)
            num_clips, num_tokens = want.shape
            tokens = torch.arange(num_clips)[:, None] * num_tokens + kept
            yield exact(f"{name}: kept", tokens.float(), recorded["kept"].reshape(tokens.shape))
            yield exact(f"{name}: shuffled", shuffled, recorded["ids_shuffle"])
            yield exact(f"{name}: restored", shuffled.argsort(dim=1), recorded["ids_restore"])
            yield exact(f"{name}: mask", masked_positions(kept, num_tokens).float(), recorded["mask"].float())


@case("mwmae/pretrain")
def pretrain(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    model = MwmaeForPreTraining(mwmae_config(config)).eval()
    load_weights(path, model)
    outputs = recorded_outputs(
        {
            "decoder_embed": model.decoder.embed,
            "decoder_norm": model.decoder.norm,
            "encoder_norm": model.encoder.norm,
            **{f"encoder_block_{index:02}": layer for index, layer in enumerate(model.encoder.layers)},
            **{f"decoder_block_{index:02}": layer for index, layer in enumerate(model.decoder.layers)},
        }
    )
    input_values, kept = input_of(path, tensors, ["input"]), kept_patches(config, tensors)
    for implementation in IMPLEMENTATIONS:
        model.set_attn_implementation(implementation)
        output = model(input_values, kept_indices=kept)
        yield close(f"latent {implementation}", output.last_hidden_state, tensors["latent"], **ACTIVATIONS)
        yield close(f"prediction {implementation}", output.prediction, tensors["pred"], **ACTIVATIONS)
    for name, want in _below("inter/", tensors).items():
        yield close(name, outputs[name], want, **ACTIVATIONS)
    patches = model.encoder.embeddings.patches(input_values)
    yield close("patch embeddings", patches, tensors["patch_embed"], **ACTIVATIONS)
    yield from features_check(model, input_values, tensors["features"], **ACTIVATIONS)
    target = patchify(input_values, model.config.patch_size)
    yield close("target", target, tensors["target"], **ACTIVATIONS)
    yield from _mask_checks(config["mask_ratio"], tensors)
    batch = {"input_values": input_values, "kept_indices": kept}
    yield close("loss", loss_of(model, batch), tensors["loss"], rtol=LOSS_RTOL)
    normalised = loss_of(model, batch, normalize_target=True)
    yield close("loss of normalised targets", normalised, tensors["loss_norm_pix"], rtol=LOSS_RTOL)
    yield from _gradient_checks(model, batch, tensors)


def _mask_checks(mask_ratio: float, tensors: Tensors) -> Iterator[Check]:
    kept, masked = shuffled_patches(tensors["noise"], mask_ratio)
    shuffled = torch.cat([kept, masked], dim=1)
    yield exact("mask", masked_positions(kept, shuffled.shape[1]).float(), tensors["mask"])
    yield exact("kept", kept, tensors["ids_keep"])
    yield exact("restored", shuffled.argsort(dim=1), tensors["ids_restore"])


def _gradient_checks(model: MwmaeForPreTraining, batch: dict, tensors: Tensors) -> Iterator[Check]:
    model.zero_grad()
    loss_of(model, batch).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    official = to_official(places(model.config), gradients)
    for name, want in _below("grad/params/", tensors).items():
        yield close(f"gradient of {name}", official[name], want, **GRADIENTS)
    norm = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
    yield close("norm of all gradients", norm.reshape(1), tensors["grad_global_norm"], **GRADIENTS)


@case("mwmae/train_steps")
def train_steps(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    model = MwmaeForPreTraining(mwmae_config(config)).train()
    load_weights(path, model)
    groups = parameter_groups(model, config["peak_lr"], config["weight_decay"])
    check_options(config, weight_decay_mask=None)
    kind = config.get("optimizer", "adamw")
    optimizer = build_optimizer(groups, tuple(config["betas"]), config["eps"], True, kind)
    warmup, total = (config[name] * config["steps_per_epoch"] for name in ("warmup_epochs", "epochs"))
    before = without_key_biases(to_official(places(model.config), model.state_dict()))
    num_steps = sum(name.endswith("/loss") for name in tensors)
    for name, want in tensors.items():
        if name.startswith("lr_step"):
            step = int(name.removeprefix("lr_step"))
            rate = torch.tensor([learning_rate(step, config["peak_lr"], warmup, total)])
            yield close(f"rate of step {step}", rate, want, rtol=1e-6)
    for step in range(num_steps):
        recorded = _below(f"step{step}/", tensors)
        set_step(optimizer, step, warmup, total)
        optimizer.zero_grad()
        # Without a stated share of masked patches it is that of the family.
        kept, _ = shuffled_patches(recorded["noise"], config.get("mask_ratio", MASK_RATIO))
        loss = loss_of(model, {"input_values": as_batch(recorded["input"]), "kept_indices": kept})
        yield close(f"loss of step {step}", loss, recorded["loss"], rtol=LOSS_RTOL)
        loss.backward()
        optimizer.step()
    after = without_key_biases(to_official(places(model.config), model.state_dict()))
    wanted = without_key_biases(_below("after/params/", tensors))
    for name, want in wanted.items():
        yield close(f"{name} after {num_steps} steps", after[name], want, atol=5e-5)
    moved, want = (
        torch.cat([(weights[name] - before[name]).flatten() for name in wanted]) for weights in (after, wanted)
    )
    yield Check("direction of all updates", 1 - cosine(moved, want), 1e-3)


def without_key_biases(official: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights but for the biases of keys, which add the same to all scores of a query: no output depends on them.

    Their gradient is rounding, different in every program, and Adam makes steps of the learning rate's size of it.
    """
    return {
        name: torch.cat([tensor.chunk(3)[0], tensor.chunk(3)[2]]) if name.endswith(QKV_BIASES) else tensor
        for name, tensor in official.items()
    }


@case("mwmae/encoder_rule")
def encoder_by_rule(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    model = MwmaeForPreTraining(mwmae_config(config)).eval()
    yield exact("parameters", count(model), config["n_params"])
    encoder = count(model.encoder)
    yield exact("parameters of the encoder", encoder, config["n_params_encoder"])
    model.load_state_dict(rule_weights(model, text_of(path)), strict=False)
    input_values, kept = input_of(path, tensors, ["input"]), kept_patches(config, tensors)
    yield from features_check(model, input_values, tensors["features"], cosine_above=0.99999, **RULE)
    with torch.no_grad():
        output = model(input_values, kept_indices=kept)
        loss = loss_of(model, {"input_values": input_values, "kept_indices": kept})
    yield close("prediction", output.prediction, tensors["pred"], **RULE)
    yield exact("mask", masked_positions(kept, tensors["noise"].shape[1]).float(), tensors["mask"])
    yield close("loss", loss, tensors["loss"], rtol=RULE_LOSS_RTOL)


@case("mwmae/checkpoint")
def checkpoint(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    """The file of the official container, its weights, what is inferred from them, and the features of the model."""
    file = path / config["checkpoint_file"]
    layout = json.loads((path / "layout.json").read_text())
    leaves = dict(_leaves(load_flax(file)))
    for name, entry in layout.items():
        if entry["shape"] and name in leaves:
            yield exact(f"shape of {name}", list(leaves[name].shape), entry["shape"])
            yield exact(f"type of {name}", str(leaves[name].dtype), f"torch.{entry['dtype']}")
    recorded = load_file(path / "weights.safetensors")
    for name, want in recorded.items():
        yield exact(name, leaves[name].to(want.dtype), want)

    official = load_official(file, num_attention_heads=config["encoder"]["num_heads"])
    yield exact("inferred sizes", official.config.to_dict(), mwmae_config(config).to_dict())
    wanted = to_ours(places(official.config), official_weights(recorded))
    for name, want in wanted.items():
        yield exact(f"our {name}", official.weights[name], want)
    model = official.build().eval()
    tolerance, clips = PRECISIONS[config["precision"]], input_of(path, tensors, ["input"])
    yield from features_check(model, clips, tensors["features"], cosine_above=0.999, **tolerance)


@torch.no_grad()
def features_check(
    model: MwmaeForPreTraining,
    input_values: torch.Tensor,
    want: torch.Tensor,
    atol: float,
    rtol: float = 0.0,
    cosine_above: float | None = None,
) -> Iterator[Check]:
    """Unmasked features: the frequency patches of a time step side by side."""
    bands, _ = model.encoder.bands(input_values)
    got = group_tokens(bands[:, 0].flatten(1, 2), model.config.num_frequency_patches, "time")
    yield close("features", got, want, atol, rtol)
    if cosine_above is not None:
        yield Check("direction of the features", 1 - cosine(got.flatten(), want.flatten()), 1 - cosine_above)


def loss_of(model: MwmaeForPreTraining, batch: dict, **fields) -> torch.Tensor:
    """(1,) loss of the public objective."""
    objective = build_objective("masked_reconstruction", OBJECTIVE | fields, model)
    return objective(model, batch, torch.Generator())[0].reshape(1)


def cosine(left: torch.Tensor, right: torch.Tensor) -> float:
    return float(nn.functional.cosine_similarity(left.double(), right.double(), dim=0))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def recorded_outputs(modules: Mapping[str, nn.Module]) -> dict[str, torch.Tensor]:
    """Filled with each module's last output, by the given names, whenever it is called."""
    outputs: dict[str, torch.Tensor] = {}

    def keep_as(name: str) -> Callable:
        def keep(module: nn.Module, arguments: tuple, output: torch.Tensor | tuple) -> None:
            outputs[name] = (output[0] if isinstance(output, tuple) else output).detach()

        return keep

    for name, module in modules.items():
        module.register_forward_hook(keep_as(name))
    return outputs


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What stands under a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _leaves(tree: Mapping, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}/")
        elif isinstance(value, torch.Tensor):
            yield f"{prefix}{name}", value
