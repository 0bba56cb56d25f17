"""Golden cases of SSAST's training loops: schedules, metrics, and whole fine-tuning runs."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import torch
from torch import nn

from training.metrics.classification import single_label_metrics
from training.optim.optimizer import build_optimizer
from training.optim.schedules import PlateauSchedule
from training.run.averaging import RunningMean

from .metrics import ranking_metrics
from .registry import Check, Tensors, case, check_options, close

WARMUP, BLOCK = 1000, 50  # fixed in the official code


@case("ssast/pretrain_schedule")
def pretrain_schedule(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    check_options(config, factor=0.5, mode="max", threshold=1e-4, threshold_mode="rel")
    group = {"params": [nn.Parameter(torch.zeros(1))], "lr": 0.0, "peak": config["lr"]}
    optimizer = build_optimizer([group], epsilon_after_correction=True, kind="adam")
    schedule = PlateauSchedule(optimizer, WARMUP, BLOCK, config["lr_patience"])
    scores, rates = iter(tensors["eval_accuracy"].tolist()), []
    for step in range(config["steps"]):
        schedule.set_step(optimizer, step)
        rates.append(optimizer.param_groups[0]["lr"])
        if (step + 1) % config["epoch_iter"] == 0:
            schedule.observe(next(scores))
    yield close("rates", torch.tensor(rates), tensors["step_lr"], atol=1e-9)


@case("ssast/metrics")
def metrics(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    target, mean = tensors["target"], RunningMean()
    for epoch in range(1, config["epochs"] + 1):
        scores = tensors[f"prediction_{epoch}"]
        mean.add({"scores": scores})
        yield from metrics_of("", epoch, scores, target, tensors)
        yield from metrics_of("cum_", epoch, mean.mean["scores"], target, tensors)


def metrics_of(
    prefix: str, epoch: int, scores: torch.Tensor, target: torch.Tensor, tensors: Tensors
) -> Iterator[Check]:
    """All metrics of one epoch's scores; those of a class are the means over that class alone."""
    scores, labels = scores.numpy(), target.numpy()
    found = ranking_metrics(scores, labels) | {"acc": single_label_metrics(scores, labels)["accuracy"]}
    for name, got in found.items():
        key = f"{prefix}{name}_{epoch}"
        yield close(key, torch.tensor(got), tensors[key], atol=1e-6)
