"""Cases of GISE-51's baselines: the networks, their training steps, and their input feature."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import re
import zlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from modeling_sslam import LinearSpectrogramFeatureExtractor, SpectrogramCnnConfig
from modeling_sslam.configuration_spectrogram_cnn import DENSENET, EFFICIENTNET, kind_and_size
from modeling_sslam.feature_extraction_linear_spectrogram import DYNAMIC_RANGE
from modeling_sslam.official.file import OfficialFile
from modeling_sslam.official.spectrogram_cnn import block_name, our_name, read
from training.data.augment import mix_clips, seeded_mixing_weights
from training.objectives.classification import get_loss

from .registry import Check, Tensors, case, check_options, close, exact

MODEL_TOLERANCE = {"rtol": 1e-4}
DECIBEL_TOLERANCE = {"atol": 2e-3}
COUNTER = "num_batches_tracked"
# Kind of network of the official code -> ours, and what stands before the depth.
KINDS = {
    "resnet": "resnet{}",
    "cifar_resnet": "cifar-resnet{}",
    "densenet": "densenet{}",
    "efficientnet": "efficientnet-{}",
}
LOSSES = {"bce": "bce_mean", "focal": "focal"}  # of the official code -> ours
CORNER = (0, slice(8), slice(6), slice(6))
END = (0, slice(-8, None), slice(-6, None), slice(-6, None))


def shape_of(text: str) -> tuple[int, ...]:
    """ "64x1x7x7" as `config.json` spells shapes; "" is a number."""
    return tuple(int(size) for size in text.split("x")) if text else ()


def rule_value(key: str, shape: tuple[int, ...], weight_gain: float) -> torch.Tensor:
    """A weight by the rule of the README."""
    if key.endswith(COUNTER):
        return torch.zeros(shape, dtype=torch.long)
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    if key.endswith("running_var"):
        return 1 + 0.5 * torch.rand(shape, generator=generator)
    noise = torch.randn(shape, generator=generator)
    if len(shape) >= 2 and not key.endswith("running_mean"):
        return noise * (weight_gain / np.prod(shape[1:])) ** 0.5
    return 1 + 0.1 * noise if key.endswith("weight") else 0.1 * noise


def official_weights(config: dict) -> dict[str, torch.Tensor]:
    """All weights of a case under official names."""
    shapes = config["state_dict"].items()
    return {key: rule_value(key, shape_of(shape), config["weight_gain"]) for key, shape in shapes}


def build(path: pathlib.Path, config: dict, weights: dict[str, torch.Tensor]) -> nn.Module:
    """The model that our reader makes of the weights, with the options of the case."""
    check_options(config, pool="avgpool", in_channels=1, batch_norm_eps=1e-3, batch_norm_momentum=0.01)
    official = read(OfficialFile(path, weights, weights))
    options = {
        "num_frequency_bins": config["input_bins"],
        "image_size": config.get("im_size"),
        "classifier_dropout": config.get("dropout_rate"),
        "drop_path_rate": config.get("drop_connect_rate"),
    }
    given = {name: value for name, value in options.items() if value is not None}
    ours = SpectrogramCnnConfig(**(official.config.to_dict() | given))
    return dataclasses.replace(official, config=ours).build()


def weight_checks(config: dict, weights: dict[str, torch.Tensor], tensors: Tensors) -> Iterator[Check]:
    total = sum(weight.double().abs().sum() for key, weight in weights.items() if not key.endswith(COUNTER))
    yield close("sum of weights", total, tensors["rule_abs_sum"], rtol=1e-6)


def our_module(config: SpectrogramCnnConfig, official: str) -> str:
    """Our name of any module of the official code whose output is a map."""
    kind, _ = kind_and_size(config.architecture)
    if official in ("maxpool", "features.pool0"):
        return "encoder.stem"
    if official in ("relu", "features.relu0"):
        return "encoder.stem.embedder.activation"
    if match := re.fullmatch(r"layer(\d)(?:\.(\d+))?", official):
        return f"encoder.layers.{int(match[1]) - 1}" if match[2] is None else block_name(match[1], match[2])
    if kind == DENSENET and (match := re.fullmatch(r"features\.denseblock(\d)(?:\.denselayer(\d+))?", official)):
        last = config.sizes.depths[int(match[1]) - 1] - 1
        return block_name(match[1], last) if match[2] is None else f"{block_name(match[1], int(match[2]) - 1)}.conv2"
    if match := re.fullmatch(r"features\.transition(\d)", official):
        return f"encoder.layers.{match[1]}.transition"
    if kind == EFFICIENTNET and re.fullmatch(r"_blocks\.\d+", official):
        return our_name(config, f"{official}._bn2").removesuffix(".projection.normalization")
    if official == "features":
        official = "features.norm5"
    ours = our_name(config, official)
    if ours is None:
        raise ValueError(f"the case recorded module {official!r}, which has no counterpart in {config.architecture}")
    return ours


@contextlib.contextmanager
def maps_of(model: nn.Module, names: dict[str, str]) -> Iterator[dict[str, torch.Tensor]]:
    """What modules give while the block runs, under the names of the case."""
    found: dict[str, torch.Tensor] = {}

    def keep(name: str):
        def hook(module, arguments, output):
            found[name] = output[0] if isinstance(output, tuple) else output

        return hook

    handles = [model.get_submodule(module).register_forward_hook(keep(name)) for name, module in names.items()]
    yield found
    for handle in handles:
        handle.remove()


def as_input(images: torch.Tensor) -> torch.Tensor:
    """(B, 1, F, T) of the official code -> (B, T, F)."""
    return images.squeeze(1).transpose(1, 2)


@case("gise51/cnn")
def network(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    check_options(config, mode="eval")
    weights = official_weights(config)
    yield from weight_checks(config, weights, tensors)
    model = build(path, config, weights).eval()
    yield exact("architecture", model.config.architecture, KINDS[config["arch"]].format(config["model_depth"]))
    yield exact("parameters", sum(parameter.numel() for parameter in model.parameters()), config["parameters"])
    modules = {name: our_module(model.config, entry["module"]) for name, entry in config["maps"].items()}
    inputs = as_input(tensors["input"])
    with torch.no_grad(), maps_of(model, modules) as maps:
        encoded = model.encoder(inputs)
        logits = model(inputs).logits
    yield close("logits", logits, tensors["logits"], **MODEL_TOLERANCE)
    yield close("pooled", encoded.pooler_output, tensors["pooled"], **MODEL_TOLERANCE)
    for name, entry in config["maps"].items():
        yield exact(f"shape of {entry['module']}", list(maps[name].shape), entry["shape"])
        yield close(f"{entry['module']}, corner", maps[name][CORNER], tensors[f"{name}_corner"], **MODEL_TOLERANCE)
        yield close(f"{entry['module']}, end", maps[name][END], tensors[f"{name}_end"], **MODEL_TOLERANCE)


def mean_loss(name: str, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The package's loss that the official code has under a name, as the mean that it takes."""
    elements, size = get_loss(LOSSES[name])(logits, target, 0.0)
    return elements.sum() / size


def mixed_loss(config: dict, logits: torch.Tensor, batch: Tensors) -> torch.Tensor:
    """The loss of a step, on labels that are mixed."""
    lam, target, perm = batch["lam"], batch["target"], batch["perm"]
    if config["type"] == "multiclass":
        losses = [nn.functional.cross_entropy(logits, labels, reduction="none") for labels in (target, target[perm])]
        return (lam * losses[0] + (1 - lam) * losses[1]).mean()
    return mean_loss(config["loss"], logits, mix_clips(target, lam, perm))


def official_state(config: dict, model: nn.Module) -> Tensors:
    """The model's present weights ("after/...") and gradients ("grad/..."), under official names."""
    state, parameters, found = model.state_dict(), dict(model.named_parameters()), {}
    for official in config["state_dict"]:
        ours = our_name(model.config, official)
        found[f"after/{official}"] = state[ours]
        if ours in parameters:
            found[f"grad/{official}"] = parameters[ours].grad
    return found


@case("gise51/cnn_train")
def training_steps(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    check_options(config, mode="train", optimizer="Adam", mixup=True)
    weights = official_weights(config)
    yield from weight_checks(config, weights, tensors)
    lam = seeded_mixing_weights(config["mixup_alpha"], config["mixup_seed"], config["batch"])
    yield exact("mixup weights", lam, tensors["lam"])
    # In float64: a value that rounds to the other side of a ReLU moves gradients by more than the tolerance, and the
    # kernels of another machine round otherwise. The tolerance is ten times what a replay in float64 differs by.
    model = build(path, config, weights).double().train()
    in_float64 = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    found = replay(config, model, in_float64)
    for name, tolerance in config["tolerance"].items():
        yield close(name, found[name].detach(), tensors[name], rtol=tolerance)
    for name in tensors:
        if name.endswith("/mixed_target"):
            yield close(name, found[name], tensors[name], atol=1e-6)
    if "loss_check/logits" in tensors:
        yield from loss_checks(tensors)


def replay(config: dict, model: nn.Module, tensors: Tensors) -> Tensors:
    """Everything that the case may have recorded of its steps, under the names there."""
    options = {name: config[name] for name in ("lr", "betas", "eps", "weight_decay")}
    optimizer, found = torch.optim.Adam(model.parameters(), **options), {}
    for step in range(config["steps"]):
        prefix = f"step{step}/"
        batch = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        batch["lam"] = tensors["lam"]
        inputs = batch["input"]
        if config["mixup_inputs"]:
            inputs = mix_clips(inputs, batch["lam"], batch["perm"])
        if config["type"] == "multilabel":
            found[f"{prefix}mixed_target"] = mix_clips(batch["target"], batch["lam"], batch["perm"])
        found[f"{prefix}logits"] = logits = model(as_input(inputs)).logits
        found[f"{prefix}loss"] = loss = mixed_loss(config, logits, batch)
        optimizer.zero_grad()
        loss.backward()
        gradients = {
            name: tensor for name, tensor in official_state(config, model).items() if name.startswith("grad/")
        }
        found |= {f"{prefix}{name}": gradient.clone() for name, gradient in gradients.items()}
        found[f"{prefix}grad_norm"] = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
        optimizer.step()
    found |= official_state(config, model)
    found["after/eval_logits"] = model.eval()(as_input(tensors["step0/input"])).logits
    return found


def loss_checks(tensors: Tensors) -> Iterator[Check]:
    """The losses and their gradients for given logits."""
    for name in LOSSES:
        logits = tensors["loss_check/logits"].clone().requires_grad_()
        loss = mean_loss(name, logits, tensors["loss_check/target"])
        loss.backward()
        yield close(f"loss_check/{name}", loss.detach(), tensors[f"loss_check/{name}"], rtol=1e-5)
        yield close(f"loss_check/{name}_grad", logits.grad, tensors[f"loss_check/{name}_grad"], rtol=1e-5)


@case("gise51/log_spectrogram")
def log_spectrogram(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    check_options(config, win_length=config["n_fft"], top_db=DYNAMIC_RANGE)
    extractor = LinearSpectrogramFeatureExtractor(
        sampling_rate=config["sample_rate"],
        num_frequency_bins=config["n_fft"] // 2 + 1,
        fft_length=config["n_fft"],
        hop_length=config["hop_length"],
    )
    features = extractor(tensors["x"], extractor.sampling_rate, return_tensors="pt")["input_values"]
    yield close("spectrogram", features[0].T, tensors["spec"], **DECIBEL_TOLERANCE)
