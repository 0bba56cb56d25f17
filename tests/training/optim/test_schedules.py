"""Schedules: rates by hand, what undoes what, and the way through a checkpoint."""

import pytest
import torch

from training.optim.optimizer import build_optimizer
from training.optim.schedules import EpochSchedule, PlateauSchedule, build_schedule
from training.settings.recipe import OptimArguments


def optimizer_of(*peaks: float) -> torch.optim.Optimizer:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.0, "peak": peak} for peak in peaks]
    return build_optimizer(groups, epsilon_after_correction=True, kind="adam")


def rates(schedule, optimizer, steps) -> list[float]:
    found = []
    for step in steps:
        schedule.set_step(optimizer, step)
        found.append(optimizer.param_groups[-1]["lr"])
    return found


def test_warmup_in_blocks_begins_with_rate_zero():
    optimizer = optimizer_of(1.0, 2.0)
    schedule = PlateauSchedule(optimizer, warmup=6, block=2, patience=0)
    assert rates(schedule, optimizer, range(8)) == pytest.approx([0, 0, 2 / 3, 2 / 3, 4 / 3, 4 / 3, 2, 2])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1)


def test_the_rate_is_halved_after_the_patience():
    optimizer = optimizer_of(1.0)
    schedule = PlateauSchedule(optimizer, warmup=0, block=1, patience=2)
    found = []
    for step, score in enumerate([0.5, 0.6, 0.6, 0.60001, 0.6, 0.7]):
        found += rates(schedule, optimizer, [step])
        schedule.observe(score)
    assert found == [1, 1, 1, 1, 1, 0.5]


def test_a_block_of_the_warmup_undoes_a_halving():
    optimizer = optimizer_of(1.0)
    schedule = PlateauSchedule(optimizer, warmup=4, block=2, patience=0)
    schedule.set_step(optimizer, 2)
    schedule.observe(0.5)
    schedule.observe(0.4)
    assert rates(schedule, optimizer, [3, 4]) == [0.25, 1.0]


def test_plateau_goes_on_from_its_state():
    def run(schedule, optimizer, scores, start=1):
        for step, score in enumerate(scores, start):
            schedule.set_step(optimizer, step)
            schedule.observe(score)
        return optimizer.param_groups[0]["lr"]

    def new():
        optimizer = optimizer_of(1.0)
        optimizer.param_groups[0]["lr"] = 1.0
        return PlateauSchedule(optimizer, 0, 1, patience=1), optimizer

    scores = [0.5, 0.4, 0.4, 0.3, 0.2]
    schedule, optimizer = new()
    run(schedule, optimizer, scores[:2])
    again, resumed = new()
    resumed.load_state_dict(optimizer.state_dict())
    again.load_state_dict(schedule.state_dict())
    assert run(again, resumed, scores[2:], start=3) == run(schedule, optimizer, scores[2:], start=3) == 0.25


def test_factors_after_epochs():
    optimizer = optimizer_of(1.0)
    schedule = EpochSchedule(warmup=0, block=1, updates_per_epoch=2, first=2, every=1, factor=0.5)
    assert rates(schedule, optimizer, range(9)) == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_a_block_of_the_warmup_undoes_the_factors_of_epochs():
    optimizer = optimizer_of(1.0)
    schedule = EpochSchedule(warmup=6, block=3, updates_per_epoch=2, first=1, every=1, factor=0.5)
    assert rates(schedule, optimizer, range(10)) == [0, 0, 0, 0.5, 0.25, 0.25, 1, 1, 0.5, 0.5]


def test_settings_that_cannot_be_used():
    with pytest.raises(ValueError, match="optim.schedule is 'linear': choose cosine or plateau"):
        build_schedule(OptimArguments(schedule="linear", warmup_steps=0), optimizer_of(1.0))
    with pytest.raises(ValueError, match="warmup_steps is 60: schedule 'plateau' needs a multiple of .* which is 50"):
        OptimArguments(schedule="plateau", warmup_steps=60)
    with pytest.raises(ValueError, match="optim.optimizer is 'sgd': choose adamw or adam"):
        build_optimizer([], kind="sgd")
