"""Learning-rate schedules, one registry for pretraining and fine-tuning: each sets the rate of every parameter group.

Groups are those of `training.optim.optimizer.parameter_groups`, which hold the peak rate and the floor.
"""

from __future__ import annotations

import math

from torch.optim import Optimizer

from training.optim.optimizer import set_epsilon
from training.settings.optim import FinetuneOptimArguments, OptimArguments


def learning_rate(step: int, peak: float, warmup: int, total: int, floor: float = 0.0) -> float:
    """Rate of the update that follows `step` completed ones: linear warm-up, then cosine from peak to floor.

    A floor above the peak is lowered to it, which makes the rate constant. At `step == total` the cosine starts again
    with a tenth of peak and floor, as in fairseq's schedule.

    Args:
        step: completed updates, from 0.
        peak, floor: highest and lowest rate.
        warmup, total: updates of the warm-up and of the whole run, `warmup < total`.
    """
    floor = min(floor, peak)
    if step < warmup:
        return floor + step * (peak - floor) / warmup
    restarts, position = divmod(step - warmup, total - warmup)
    shrink = 0.1**restarts
    cosine = 1 + math.cos(math.pi * position / (total - warmup))
    return shrink * (floor + 0.5 * (peak - floor) * cosine)


def set_step(optimizer: Optimizer, step: int, warmup: int, total: int) -> None:
    """Prepares the update that follows `step` completed ones: cosine learning rate and epsilon of every group."""
    set_epsilon(optimizer, step)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, group["peak"], warmup, total, group["floor"])


class Schedule:
    """What the training loops know of a schedule."""

    def set_step(self, optimizer: Optimizer, step: int) -> None:
        """Prepares the update that follows `step` completed ones."""
        raise NotImplementedError

    def observe(self, score: float) -> None:
        """Called after each evaluation; a larger score is a better model."""

    def state_dict(self) -> dict:
        """What a resumed run needs besides the optimiser's own state."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Takes back what `state_dict` gave."""


class CosineSchedule(Schedule):
    """Linear warm-up, then cosine from peak to floor (EAT, SSLAM), see `learning_rate`."""

    def __init__(self, warmup: int, total: int):
        self.warmup = warmup
        self.total = total

    def set_step(self, optimizer: Optimizer, step: int) -> None:
        set_step(optimizer, step, self.warmup, self.total)


class PlateauSchedule(Schedule):
    """Warm-up in blocks, then the rate falls whenever evaluations stop improving (SSAST, GISE-51).

    The warm-up sets the rate anew at the start of each block, which undoes falls before it. The first block has
    rate 0: its updates change nothing but the optimiser's moments.

    As torch's `ReduceLROnPlateau`, which takes a loss with a minus for improved as long as it stays.

    Args:
        optimizer: whose rates are lowered; they are part of its own state.
        warmup, block: updates of the whole warm-up, and of each block of it.
        patience: evaluations in a row that may pass without an improvement; the next one lowers the rate. An
            improvement is one of more than a ten-thousandth of the best score.
        factor: by which rates are multiplied then.
    """

    THRESHOLD = 1e-4
    SMALLEST_STEP = 1e-8  # rates that would fall by less stay as they are

    def __init__(self, optimizer: Optimizer, warmup: int, block: int, patience: int, factor: float = 0.5):
        self.optimizer = optimizer
        self.warmup = warmup
        self.block = block
        self.patience = patience
        self.factor = factor
        self.best = -math.inf
        self.num_bad = 0

    def set_step(self, optimizer: Optimizer, step: int) -> None:
        set_epsilon(optimizer, step)
        if step <= self.warmup and step % self.block == 0:
            share = step / self.warmup if self.warmup else 1.0
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * share

    def observe(self, score: float) -> None:
        if score > self.best * (1.0 + math.copysign(self.THRESHOLD, self.best)):
            self.best, self.num_bad = score, 0
            return
        self.num_bad += 1
        if self.num_bad > self.patience:
            self.num_bad = 0
            for group in self.optimizer.param_groups:
                lower = group["lr"] * self.factor
                if group["lr"] - lower > self.SMALLEST_STEP:
                    group["lr"] = lower

    def state_dict(self) -> dict:
        return {"best": self.best, "num_bad_epochs": self.num_bad}

    def load_state_dict(self, state: dict) -> None:
        self.best, self.num_bad = state["best"], state["num_bad_epochs"]


class EpochSchedule(Schedule):
    """Warm-up in blocks, and a factor for the rate after certain epochs (fine-tuning of SSAST).

    Each block of the warm-up sets the rate anew, which undoes the factors of epochs that ended before it began.

    Args:
        warmup, block: updates of the whole warm-up, and of each block of it.
        updates_per_epoch: updates of an epoch.
        first, every: the factor applies after epoch `first`, and after each further `every` epochs.
        factor: for the rate.
    """

    def __init__(self, warmup: int, block: int, updates_per_epoch: int, first: int, every: int, factor: float):
        self.warmup = warmup
        self.block = block
        self.updates_per_epoch = updates_per_epoch
        self.first = first
        self.every = every
        self.factor = factor

    def set_step(self, optimizer: Optimizer, step: int) -> None:
        set_epsilon(optimizer, step)
        block_start = min(step // self.block * self.block, self.warmup)
        share = block_start / self.warmup if self.warmup else 1.0
        drops = self._drops(step) - self._drops(block_start)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share * self.factor**drops

    def _drops(self, step: int) -> int:
        """How often the factor was applied by the time that `step` updates are done."""
        ended = step // self.updates_per_epoch
        return max(0, (ended - self.first) // self.every + 1)


def _cosine(optim: OptimArguments, optimizer: Optimizer, total: int, updates_per_epoch: int | None) -> Schedule:
    return CosineSchedule(optim.warmup_steps, total)


def _plateau(optim: OptimArguments, optimizer: Optimizer, total: int, updates_per_epoch: int | None) -> Schedule:
    return PlateauSchedule(optimizer, optim.warmup_steps, optim.warmup_block, optim.patience, optim.plateau_factor)


def _epochs(optim: OptimArguments, optimizer: Optimizer, total: int, updates_per_epoch: int | None) -> Schedule:
    if not isinstance(optim, FinetuneOptimArguments) or updates_per_epoch is None:
        raise ValueError(
            "optim.schedule is 'epochs', but pretraining reads an endless stream, which has no epochs: choose cosine "
            "or plateau"
        )
    drops = optim.decay_first, optim.decay_every, optim.decay
    return EpochSchedule(optim.warmup_steps, optim.warmup_block, updates_per_epoch, *drops)


SCHEDULES = {"cosine": _cosine, "plateau": _plateau, "epochs": _epochs}


def build_schedule(
    optim: OptimArguments, optimizer: Optimizer, total: int, updates_per_epoch: int | None = None
) -> Schedule:
    """The schedule of a run.

    Args:
        optimizer: whose rates it sets.
        total: updates of the run.
        updates_per_epoch: None where there are no epochs.
    Raises:
        ValueError: there is no schedule of that name, or none without epochs.
    """
    if optim.schedule not in SCHEDULES:
        raise ValueError(f"optim.schedule is {optim.schedule!r}: choose one of {', '.join(SCHEDULES)}")
    return SCHEDULES[optim.schedule](optim, optimizer, total, updates_per_epoch)
