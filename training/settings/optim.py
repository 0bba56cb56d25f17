"""Section `optim` of the recipes: the optimiser, its schedule, and clipping."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass
class OptimArguments:
    """The optimiser, its schedule, and clipping; see `training/optim/`.

    Attributes:
        optimizer: "adamw", or "adam", whose weight decay is part of the gradient.
        schedule: "cosine", or "plateau", which lowers the rate when evaluations stop improving.
        learning_rate, floor: peak and lowest rate; only "cosine" has a floor.
        warmup_steps, total_steps: optimiser updates.
        warmup_block: updates between two rises of the rate during the warm-up of all schedules but "cosine".
        patience: evaluations in a row without an improvement that "plateau" lets pass.
        plateau_factor: by which "plateau" multiplies the rate then.
        accumulation_steps: forward passes an update.
        clip_norm: limit of the global gradient norm, 0 for none.
        exclude_bias_and_norm: whether biases and norms escape weight decay. The official code means to exclude them
            but does not.
        epsilon_after_correction: whether `epsilon` is added after the second moment was corrected for its start, as
            PyTorch and Optax do, or before, as in fairseq, with which SSLAM and EAT were trained.
    """

    optimizer: str = "adamw"
    schedule: str = "cosine"
    learning_rate: float = 5e-4
    floor: float = 0.0
    warmup_steps: int = 53_333
    total_steps: int = 400_000
    warmup_block: int = 50
    patience: int = 2
    plateau_factor: float = 0.5
    accumulation_steps: int = 1
    weight_decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    clip_norm: float = 4.0
    exclude_bias_and_norm: bool = False
    epsilon_after_correction: bool = False

    def __post_init__(self):
        if not 0 <= self.warmup_steps < self.total_steps:
            raise ValueError(
                f"optim.warmup_steps is {self.warmup_steps}: it must be at least 0 and less than "
                f"optim.total_steps, which is {self.total_steps}"
            )
        if self.schedule != "cosine" and self.warmup_steps % self.warmup_block:
            raise ValueError(
                f"optim.warmup_steps is {self.warmup_steps}: schedule {self.schedule!r} needs a multiple of "
                f"optim.warmup_block, which is {self.warmup_block}"
            )
        if not 0 < self.plateau_factor < 1:
            raise ValueError(f"optim.plateau_factor is {self.plateau_factor}: it must lie between 0 and 1")


@dataclasses.dataclass
class FinetuneOptimArguments(OptimArguments):
    """The optimiser and the loss; `OptimArguments` with the defaults of fine-tuning, and:

    Attributes:
        schedule: also "epochs", which multiplies the rate by `decay` after `decay_first` epochs and after each further
            `decay_every`. "plateau" watches `run.metric`.
        epochs: of the run, in place of `total_steps`.
        head_factor: of the learning rate of everything outside the encoder.
        layer_decay: factor of the learning rate from one encoder layer to the one below it.
        loss: "bce_per_label", "bce_per_clip", "bce_mean", "focal" or "cross_entropy", see
            `objectives/classification.py`.
        label_smoothing: of cross-entropy, in training only.
    """

    learning_rate: float = 5e-5
    floor: float = 1e-6
    warmup_steps: int = 4_000
    total_steps: int = 40_000
    epochs: int | None = None
    decay_first: int = 10
    decay_every: int = 5
    decay: float = 0.5
    clip_norm: float = 0.0
    head_factor: float = 1.0
    layer_decay: float = 0.65
    loss: str = "bce_per_label"
    label_smoothing: float = 0.0

    def __post_init__(self):
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"optim.epochs is {self.epochs}: it must be at least 1, or null for optim.total_steps")
        super().__post_init__()

    def num_updates(self, updates_per_epoch: int) -> int:
        """Of the whole run."""
        return self.total_steps if self.epochs is None else self.epochs * updates_per_epoch
