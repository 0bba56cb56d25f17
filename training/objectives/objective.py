"""What the training loop knows of an objective. Each family's file derives from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from accelerate import Accelerator
from torch import nn

from training.objectives.teacher import EmaTeacher


class Objective:
    """A loss on a batch of clips, and what must happen after an update and before a checkpoint.

    Args:
        model: the model to train.
        config: an instance of `config_class`; its defaults when not given.
    Attributes:
        config_class: dataclass of the fields that a recipe may set.
        model_types: families that can be trained on it.
        views: names of what it wants to see of a clip, each an independent crop; the keys of its batches.
        teacher: what is trained beside the model and saved with it, None for objectives without one.
    """

    config_class: ClassVar[type]
    model_types: ClassVar[tuple[str, ...]]
    views: ClassVar[tuple[str, ...]] = ("input_values",)
    teacher: EmaTeacher | None = None

    def __init__(self, model: nn.Module, config: Any = None):
        self.config = config or self.config_class()
        self.model_config = model.config

    def __call__(
        self, model: Callable, batch: dict, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """One forward pass.

        Args:
            model: the model, possibly wrapped for distributed training.
            batch: `views`, (B, T, F) spectrograms or (B, T) waveforms, and optionally what would otherwise be drawn,
                see the objective.
            generator: CPU generator; the only source of randomness.
        Returns:
            The loss (0-dim) and detached scalars to log, `loss` among them, all still on the device.
        """
        raise NotImplementedError

    def evaluate(self, model: Callable, batch: dict, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """What one forward pass logs on clips that are not trained on; called in evaluation mode without gradients."""
        return self(model, batch, generator)[1]

    def score(self, logs: dict[str, torch.Tensor]) -> float:
        """How good an evaluation is, from what it logged; more is better."""
        return -logs["loss"].item()

    def after_step(self, model: nn.Module, step: int) -> None:
        """Called after optimiser update number `step` (from 1) with the unwrapped model."""

    def before_checkpoint(self, model: nn.Module, accelerator: Accelerator) -> None:
        """Called by all processes with the unwrapped model before it is saved: they must not differ.

        Gradients are averaged in every update, but each process has normalised its own batches: the running statistics
        of batch normalisation are averaged over processes.
        """
        for module in model.modules():
            if getattr(module, "track_running_stats", False):
                for buffer in module.buffers(recurse=False):
                    if buffer.is_floating_point():
                        buffer.copy_(accelerator.reduce(buffer, reduction="mean"))

    def to(self, device: torch.device) -> Objective:
        """Moves what the objective owns."""
        if self.teacher is not None:
            self.teacher.model.to(device)
        return self

    def state_dict(self) -> dict:
        """What a resumed run needs besides weights; those of a teacher are `self.teacher.model.state_dict()`."""
        return {} if self.teacher is None else self.teacher.state_dict()

    def load_state_dict(self, state: dict) -> None:
        """Takes back what `state_dict` gave."""
        if self.teacher is not None:
            self.teacher.load_state_dict(state)
