"""Schedules and parameter groups against the official ones."""

import re

import torch

from modeling_sslam import SslamConfig, SslamForAudioClassification, SslamForPreTraining
from modeling_sslam.official.sslam_layouts import official_to_ours
from training.objectives.teacher import annealed_decay
from training.optim.optimizer import parameter_groups
from training.optim.schedules import learning_rate

from .inputs import text_of
from .readme import numbers
from .registry import case, close, exact

RELATIVE_TOLERANCE = 1e-9


@case("sslam/schedules")
def schedules(path, config, tensors):
    for name, recipe in config["recipes"].items():
        constants = recipe["peak"], recipe["warmup"], recipe["total"], recipe["floor"]
        got = [learning_rate(step, *constants) for step in tensors[f"{name}_step"].tolist()]
        yield _close_each(f"{name} learning rate", got, tensors[f"{name}_lr"])
    for name, schedule in config["ema"].items():
        constants = schedule["start"], schedule["end"], schedule["anneal"]
        got = [annealed_decay(step, *constants) for step in tensors[f"ema_{name}_step"].tolist()]
        yield _close_each(f"{name} teacher decay", got, tensors[f"ema_{name}_decay"])


@case("sslam/optimizer_groups")
def optimizer_groups(path, config, tensors):
    pretrain, finetune = config["pretrain"], config["finetune"]
    model_config = _sizes(pretrain)
    with torch.device("meta"):
        pretraining_model = SslamForPreTraining(model_config)
        classifier = SslamForAudioClassification(model_config)
    lr, floor, weight_decay = _recipe(pretrain)
    groups = parameter_groups(pretraining_model, lr, weight_decay, floor)
    yield from _compare("pretrain", groups, pretrain, config["frozen"]["pretrain"], pretraining_model)
    lr, floor, weight_decay = _recipe(finetune)
    last_layer = f"model.blocks.{model_config.num_hidden_layers - 1}.norm2.weight"
    groups = parameter_groups(classifier, lr, weight_decay, floor, layer_decay=finetune[last_layer][4])
    yield from _compare("finetune", groups, finetune, config["frozen"]["finetune"], classifier)

    by_layer = {}
    for group in groups:
        for name in group["names"]:
            if name.startswith("sslam.layers."):
                by_layer[int(name.split(".")[2])] = group
    layers = [by_layer[layer] for layer in tensors["finetune_block_index"].tolist()]
    yield _close_each("peak a layer", [group["peak"] for group in layers], tensors["finetune_block_peak_lr"])
    (warmup,) = numbers(text_of(path), r"warm-up N")
    for name, want in tensors.items():
        if match := re.fullmatch(r"finetune_block_lr_at_(\d+)_of_(\d+)", name):
            step, total = int(match[1]), int(match[2])
            rates = [learning_rate(step, group["peak"], int(warmup), total, group["floor"]) for group in layers]
            yield _close_each(name, rates, want)


def _sizes(recorded):
    """Depth of encoder and decoder from the recorded names; everything else is the base model's."""
    blocks = {name.split(".")[1] for name in recorded if name.startswith("blocks.")}
    decoder = {name.split(".")[4] for name in recorded if ".decoder.blocks." in name}
    return SslamConfig(num_hidden_layers=len(blocks), decoder_num_layers=len(decoder))


def _recipe(recorded):
    """Peak rate, floor and weight decay of a parameter without layer decay."""
    weight_decay, peak, floor, _, _ = next(values for values in recorded.values() if values[4] == 1.0)
    return peak, floor, weight_decay


def _compare(stage, groups, recorded, frozen, model):
    """Every parameter's weight decay, peak, floor and scale, under our names, and which ones are trained."""
    want = official_to_ours({name: torch.tensor(values, dtype=torch.float64) for name, values in recorded.items()})
    got = {name: group for group in groups for name in group["names"]}
    yield exact(f"{stage} trained parameters", sorted(got), sorted(want))
    buffers = {name for name, _ in model.named_buffers()}
    yield exact(f"{stage} frozen", set(official_to_ours(dict.fromkeys(frozen))), buffers)
    top = max(group["peak"] for group in groups)
    for name, group in sorted(got.items()):
        weight_decay, peak, floor, _, scale = want[name].tolist()
        expected = torch.tensor([weight_decay, peak, floor, scale], dtype=torch.float64)
        mine = [group["weight_decay"], group["peak"], group["floor"], group["peak"] / top]
        yield _close_each(f"{stage} {name}", mine, expected)


def _close_each(name, got, want):
    """Each value to the relative tolerance of its own size."""
    scale = want.double().abs().clamp_min(1e-300)
    return close(name, torch.tensor(got, dtype=torch.float64) / scale, want / scale, atol=RELATIVE_TOLERANCE)
