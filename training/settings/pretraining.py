"""Settings of a pretraining run: one dataclass a section."""

from __future__ import annotations

import dataclasses

from training.settings.data import DataArguments, EvaluationArguments
from training.settings.optim import OptimArguments


@dataclasses.dataclass
class ModelArguments:
    """Which model is trained, and from which weights.

    Attributes:
        model_type: family, as in transformers' `model_type`.
        init_from: checkpoint to start from: a checkpoint folder of a pretraining run, a `save_pretrained` folder, or
            an official checkpoint (file or folder). Optimiser, schedules and step count start anew.
        options: every other key of the section: fields of the family's configuration class.
    """

    model_type: str = "sslam"
    init_from: str | None = None
    options: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class ObjectiveArguments:
    """What is minimised.

    Attributes:
        name: objective, see `training/objectives/__init__.py`.
        options: every other key of the section: fields of that objective.
    """

    name: str = "sslam_stage1"
    options: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class HeldOutArguments(EvaluationArguments):
    """Evaluation during pretraining, with the same masks every time; and:

    Attributes:
        every: updates between two evaluations; 0 for none.
    """

    every: int = 0


@dataclasses.dataclass
class RunArguments:
    """How the run is executed, watched and saved.

    Attributes:
        output_dir: folder of checkpoints, `metrics.jsonl` and tensorboard files.
        seed: of the initial weights, the shuffling, and every mask, mixture and noise.
        mixed_precision: "no", "bf16" or "fp16".
        gradient_checkpointing: recompute activations in the backward pass, to save memory.
        log_every, checkpoint_every: in updates.
        keep_checkpoints: how many of the latest are kept.
        stop_after: update after which to stop although the schedule goes on.
        resume: true (latest checkpoint of `output_dir`, if there is one), false, or a checkpoint folder.
        min_prediction_variance, min_target_variance: limits of the collapse monitor, see `training/run/monitor.py`;
            0 disables.
    """

    output_dir: str = "outputs/pretrain"
    seed: int = 1
    mixed_precision: str = "no"
    gradient_checkpointing: bool = False
    log_every: int = 100
    checkpoint_every: int = 5000
    keep_checkpoints: int = 2
    stop_after: int | None = None
    resume: bool | str = False
    min_prediction_variance: float = 0.01
    min_target_variance: float = 0.01


@dataclasses.dataclass
class PretrainArguments:
    """All sections of a recipe."""

    model: ModelArguments = dataclasses.field(default_factory=ModelArguments)
    objective: ObjectiveArguments = dataclasses.field(default_factory=ObjectiveArguments)
    data: DataArguments = dataclasses.field(default_factory=DataArguments)
    evaluation: HeldOutArguments = dataclasses.field(default_factory=HeldOutArguments)
    optim: OptimArguments = dataclasses.field(default_factory=OptimArguments)
    run: RunArguments = dataclasses.field(default_factory=RunArguments)

    def __post_init__(self):
        positive = {
            "data.target_length": self.data.target_length,
            "data.batch_size": self.data.batch_size,
            "optim.total_steps": self.optim.total_steps,
            "optim.accumulation_steps": self.optim.accumulation_steps,
            "run.log_every": self.run.log_every,
            "run.checkpoint_every": self.run.checkpoint_every,
            "run.keep_checkpoints": self.run.keep_checkpoints,
        }
        for name, value in positive.items():
            if value < 1:
                raise ValueError(f"{name} is {value}: it must be at least 1")
        if self.optim.schedule == "plateau" and not self.evaluation.every:
            raise ValueError("optim.schedule is 'plateau', which watches evaluations: set evaluation.every")
