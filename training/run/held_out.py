"""Evaluation during pretraining: the objective on clips that are not trained on, with the same masks every time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from accelerate import Accelerator

from training.data.seeding import seeded_generator
from training.data.stream import ClipStream
from training.objectives import Objective

Logs = dict[str, torch.Tensor]


class HeldOutClips:
    """Clips that are not trained on, shared out among the processes.

    Args:
        stream: this process's clips, one epoch of them.
        every: updates between two evaluations.
        seed: of all masks.
    """

    def __init__(self, stream: ClipStream, every: int, seed: int):
        self.stream = stream
        self.every = every
        self.seed = seed

    def is_due(self, step: int) -> bool:
        """Whether to evaluate after update `step`."""
        return step % self.every == 0

    @torch.no_grad()
    def evaluate(self, model: Callable, objective: Objective, accelerator: Accelerator) -> Logs:
        """What the objective logs, averaged over all batches of all processes; still on the device.

        Args:
            model: as wrapped for training. It runs in evaluation mode, and is left in training mode.
        Raises:
            ValueError: there is no clip.
        """
        model.eval()
        sums, num_batches = {}, torch.zeros((), device=accelerator.device)
        for index, batch in enumerate(self.stream):
            generator = seeded_generator(self.seed, index, accelerator.process_index)
            with accelerator.autocast():
                logs = objective.evaluate(model, batch.on(accelerator.device), generator)
            for name, value in logs.items():
                sums[name] = sums.get(name, 0.0) + value.to(accelerator.device, torch.float32)
            num_batches += 1
        model.train()
        if not sums:
            raise ValueError("there is no clip to evaluate on: check section evaluation")
        names = sorted(sums)
        totals = accelerator.reduce(torch.stack([*(sums[name] for name in names), num_batches]), reduction="sum")
        return dict(zip(names, totals[:-1] / totals[-1], strict=True))
