"""The teacher of self-distillation: a moving average of the student (data2vec 2.0, Baevski et al., 2022)."""

from __future__ import annotations

import copy

import torch
from torch import nn


def annealed_decay(step: int, start: float, end: float, anneal_steps: int) -> float:
    """Decay in force at update `step`: linear from `start` to `end` over `anneal_steps` updates, then `end`."""
    if step >= anneal_steps:
        return end
    return end - (end - start) * (1.0 - step / anneal_steps)


class EmaTeacher:
    """Moving average of an encoder, in float32, without gradient and always in evaluation mode.

    Args:
        student: the encoder to follow; the teacher starts as its copy.
        start_decay, end_decay, anneal_steps: schedule of the decay, see `annealed_decay`.
    Attributes:
        model: the teacher encoder.
        decay: decay of the last update (the start value before the first).
        last_step: the last update counter seen.
    """

    def __init__(self, student: nn.Module, start_decay: float, end_decay: float, anneal_steps: int):
        self.model = copy.deepcopy(student).float().eval().requires_grad_(False)
        self.start_decay = start_decay
        self.end_decay = end_decay
        self.anneal_steps = anneal_steps
        self.decay = start_decay
        self.last_step = 0

    @torch.no_grad()
    def update(self, student: nn.Module, step: int) -> None:
        """Moves the teacher towards `student` after `step` completed optimiser updates.

        A counter that does not grow changes nothing (gradient accumulation). Nor does a jump from 0 past 1: that is
        how the official trainer treats the first call after a resume.
        """
        grows = step > self.last_step
        jumps = self.last_step == 0 and step > 1
        self.last_step = step
        if not grows or jumps:
            return
        self.decay = annealed_decay(step, self.start_decay, self.end_decay, self.anneal_steps)
        ours, theirs = list(self.model.parameters()), [p.float() for p in student.parameters()]
        torch._foreach_lerp_(ours, theirs, 1.0 - self.decay)
        for mine, buffer in zip(self.model.buffers(), student.buffers(), strict=True):
            mine.copy_(buffer)

    @torch.no_grad()
    def distance(self, student: nn.Module) -> torch.Tensor:
        """Relative distance of teacher and student, `|theta_T - theta_S| / |theta_S|` over all parameters (0-dim)."""
        theirs = [p.float() for p in student.parameters()]
        apart = torch._foreach_norm(torch._foreach_sub(list(self.model.parameters()), theirs))
        size = torch._foreach_norm(theirs)
        return torch.stack(apart).norm() / torch.stack(size).norm()

    def state_dict(self) -> dict:
        """Schedule position; the weights are `self.model.state_dict()`, kept apart so that they go to safetensors."""
        return {"decay": self.decay, "last_step": self.last_step}

    def load_state_dict(self, state: dict) -> None:
        self.decay, self.last_step = state["decay"], state["last_step"]
