"""Parameter groups with layer-wise decay, and Adam or AdamW as the official recipes run them."""

from __future__ import annotations

import math

import torch
from torch import nn

OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}


def parameter_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    floor: float = 0.0,
    layer_decay: float = 1.0,
    exclude_bias_and_norm: bool = False,
    head_factor: float = 1.0,
) -> list[dict]:
    """Trainable parameters grouped by learning rate and weight decay.

    A parameter of the encoder's blocks has the peak rate `lr * layer_decay ** model.layers_above(name)`, which counts
    its own block too. All others have `lr`, the patch projection and the class token included: that is what the
    official code does, although layer-wise decay usually gives them the smallest rate.

    Args:
        model: a model with `base_model_prefix` and `layers_above`.
        lr, floor: peak and lowest rate; a peak below the floor makes the rate of that group constant.
        weight_decay: of every parameter.
        layer_decay: factor from one encoder layer to the one below it.
        exclude_bias_and_norm: no weight decay for biases and one-dimensional parameters. Off by default: the official
            code requests that but never applies it.
        head_factor: of the rate of everything that is not part of the encoder, which is the base model.
    Returns:
        groups for `torch.optim`: `params`, `lr`, `weight_decay`, and for the schedules and for reading `peak`, `floor`
        and `names`.
    """
    encoder_prefix = f"{model.base_model_prefix}."
    groups: dict[tuple[float, float], dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        peak = lr * layer_decay ** model.layers_above(name)
        if not name.startswith(encoder_prefix):
            peak *= head_factor
        exempt = exclude_bias_and_norm and (parameter.ndim <= 1 or name.endswith(".bias"))
        decay = 0.0 if exempt else weight_decay
        new = {"params": [], "names": [], "lr": peak, "peak": peak, "floor": min(floor, peak), "weight_decay": decay}
        group = groups.setdefault((peak, decay), new)
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def build_optimizer(
    groups: list[dict],
    betas: tuple[float, float] = (0.9, 0.95),
    epsilon: float = 1e-8,
    epsilon_after_correction: bool = False,
    kind: str = "adamw",
) -> torch.optim.Optimizer:
    """The optimiser over `parameter_groups`. `set_epsilon` before every update gives `epsilon` its meaning.

    Args:
        kind: "adamw", or "adam", whose weight decay is part of the gradient (L2).
    Raises:
        ValueError: another kind.
    """
    if kind not in OPTIMIZERS:
        raise ValueError(f"optim.optimizer is {kind!r}: choose {' or '.join(OPTIMIZERS)}")
    own = {"epsilon": epsilon, "epsilon_after_correction": epsilon_after_correction}
    return OPTIMIZERS[kind]([group | own for group in groups], betas=betas, eps=epsilon)


def set_epsilon(optimizer: torch.optim.Optimizer, step: int) -> None:
    """Epsilon of every group for the update that follows `step` completed ones.

    The Adam of fairseq divides by `sqrt(v) + epsilon`, torch's by `sqrt(v / (1 - beta2^n)) + eps`, with `n` the number
    of the update: the two are equal when `eps = epsilon / sqrt(1 - beta2^n)`.
    """
    for group in optimizer.param_groups:
        correction = 1.0 if group["epsilon_after_correction"] else math.sqrt(1 - group["betas"][1] ** (step + 1))
        group["eps"] = group["epsilon"] / correction
