"""Learning-rate schedules: each sets the rate of every parameter group before an update.

Groups are those of `training.optim.optimizer.parameter_groups`, which hold the peak rate and the floor.
"""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from training.optim.optimizer import set_epsilon, set_step
from training.settings.recipe import OptimArguments


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
    """Linear warm-up, then cosine from peak to floor (EAT, SSLAM), see `training.optim.optimizer.learning_rate`."""

    def __init__(self, warmup: int, total: int):
        self.warmup = warmup
        self.total = total

    def set_step(self, optimizer: Optimizer, step: int) -> None:
        set_step(optimizer, step, self.warmup, self.total)


class PlateauSchedule(Schedule):
    """Warm-up in blocks, then the rate is halved whenever evaluations stop improving (SSAST).

    The warm-up sets the rate anew at the start of each block, which undoes what was halved before. The first block has
    rate 0: its updates change nothing but the optimiser's moments.

    Args:
        optimizer: whose rates are halved; they are part of its own state.
        warmup, block: updates of the whole warm-up, and of each block of it.
        patience: evaluations in a row that may pass without an improvement; the next one halves the rate. An
            improvement is one of more than a ten-thousandth of the best score.
    """

    def __init__(self, optimizer: Optimizer, warmup: int, block: int, patience: int):
        self.warmup = warmup
        self.block = block
        self.plateau = ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=patience, threshold=1e-4)

    def set_step(self, optimizer: Optimizer, step: int) -> None:
        set_epsilon(optimizer, step)
        if step <= self.warmup and step % self.block == 0:
            share = step / self.warmup if self.warmup else 1.0
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * share

    def observe(self, score: float) -> None:
        self.plateau.step(score)

    def state_dict(self) -> dict:
        return self.plateau.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.plateau.load_state_dict(state)


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


def build_schedule(optim: OptimArguments, optimizer: Optimizer) -> Schedule:
    """The schedule of a pretraining run.

    Raises:
        ValueError: there is none of that name.
    """
    if optim.schedule == "cosine":
        return CosineSchedule(optim.warmup_steps, optim.total_steps)
    if optim.schedule == "plateau":
        return PlateauSchedule(optimizer, optim.warmup_steps, optim.warmup_block, optim.patience)
    raise ValueError(f"optim.schedule is {optim.schedule!r}: choose cosine or plateau")
