"""Schedules: rates by hand, what undoes what, and the way through a checkpoint."""

import pytest
import torch

from training.optim.optimizer import build_optimizer
from training.optim.schedules import CosineSchedule, EpochSchedule, PlateauSchedule, build_schedule, learning_rate
from training.settings.optim import FinetuneOptimArguments, OptimArguments


def optimizer_of(*peaks: float) -> torch.optim.Optimizer:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.0, "peak": peak} for peak in peaks]
    return build_optimizer(groups, epsilon_after_correction=True, kind="adam")


def rates(schedule, optimizer, steps) -> list[float]:
    found = []
    for step in steps:
        schedule.set_step(optimizer, step)
        found.append(optimizer.param_groups[-1]["lr"])
    return found


def test_learning_rate_by_hand():
    peak, warmup, total, floor = 1e-3, 10, 110, 1e-4
    assert learning_rate(0, peak, warmup, total, floor) == floor
    assert learning_rate(5, peak, warmup, total, floor) == pytest.approx(5.5e-4)
    assert learning_rate(10, peak, warmup, total, floor) == pytest.approx(peak)
    assert learning_rate(60, peak, warmup, total, floor) == pytest.approx(5.5e-4)
    assert learning_rate(110, peak, warmup, total, floor) == pytest.approx(0.1 * peak)


def test_a_peak_below_the_floor_is_constant():
    rates = {learning_rate(step, 1e-7, 10, 100, 1e-6) for step in range(100)}
    assert all(rate == pytest.approx(1e-7) for rate in rates)


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


def test_a_loss_with_a_minus_that_stays_is_no_improvement():
    optimizer = optimizer_of(1.0)
    schedule = PlateauSchedule(optimizer, warmup=0, block=1, patience=0)
    found = []
    for step, score in enumerate([-2.0, -1.9, -1.8999, -1.9]):
        found += rates(schedule, optimizer, [step])
        schedule.observe(score)
    assert found == [1, 1, 1, 0.5]


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


@pytest.mark.parametrize("arguments_class", [OptimArguments, FinetuneOptimArguments])
def test_the_registry_is_one_for_pretraining_and_fine_tuning(arguments_class):
    def build(**fields):
        return build_schedule(arguments_class(warmup_steps=0, **fields), optimizer_of(1.0), 90, updates_per_epoch=3)

    cosine = build()
    assert isinstance(cosine, CosineSchedule)
    assert cosine.total == 90
    plateau = build(schedule="plateau", patience=7, plateau_factor=0.1)
    assert isinstance(plateau, PlateauSchedule)
    assert (plateau.patience, plateau.factor) == (7, 0.1)


def test_epochs_are_those_of_fine_tuning():
    optim = FinetuneOptimArguments(schedule="epochs", warmup_steps=0, decay_first=4)
    schedule = build_schedule(optim, optimizer_of(1.0), 90, updates_per_epoch=3)
    assert (schedule.updates_per_epoch, schedule.first) == (3, 4)


def test_settings_that_cannot_be_used():
    with pytest.raises(ValueError, match="optim.schedule is 'linear': choose one of cosine, plateau, epochs"):
        build_schedule(OptimArguments(schedule="linear", warmup_steps=0), optimizer_of(1.0), 10)
    with pytest.raises(ValueError, match="pretraining reads an endless stream, which has no epochs: choose cosine"):
        build_schedule(OptimArguments(schedule="epochs", warmup_steps=0), optimizer_of(1.0), 10)
    with pytest.raises(ValueError, match="warmup_steps is 60: schedule 'plateau' needs a multiple of .* which is 50"):
        OptimArguments(schedule="plateau", warmup_steps=60)
    with pytest.raises(ValueError, match="optim.plateau_factor is 1.0: it must lie between 0 and 1"):
        OptimArguments(plateau_factor=1.0)
    with pytest.raises(ValueError, match="optim.optimizer is 'sgd': choose adamw or adam"):
        build_optimizer([], kind="sgd")


@pytest.mark.parametrize(("patience", "factor"), [(0, 0.5), (1, 0.1), (5, 0.1)])
def test_plateau_is_torchs(patience, factor):
    """GISE-51's: no warm-up, an evaluation an epoch, larger is better."""
    generator = torch.Generator().manual_seed(patience)
    scores = (torch.rand(80, generator=generator) * torch.linspace(0.2, 0.3, 80)).tolist()
    ours, theirs = optimizer_of(1e-3), optimizer_of(1e-3)
    theirs.param_groups[0]["lr"] = 1e-3
    schedule = PlateauSchedule(ours, warmup=0, block=50, patience=patience, factor=factor)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, "max", factor, patience)
    found, expected = [], []
    for epoch, score in enumerate(scores):
        found += rates(schedule, ours, [2 * epoch, 2 * epoch + 1])
        expected += [theirs.param_groups[0]["lr"]] * 2
        schedule.observe(score)
        reference.step(score)
    assert found == pytest.approx(expected)
    assert found[-1] < 1e-3
