"""Objectives of SSAST (Gong et al., AAAI 2022): find each masked patch among the masked ones, and reconstruct it.

The defaults are what the official code computes, which gave the published numbers. Where the paper differs, a field of
`SsastObjectiveConfig` chooses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import nn
from transformers.utils import ModelOutput

from modeling_sslam.tokens_masks import gather_tokens, kept_tokens, masked_tokens
from modeling_sslam.tokens_patches import patchify
from training.objectives.cluster_masks import SAMPLERS, UNMASKABLE
from training.objectives.objective import Objective

TASKS = ("joint", "discriminative", "generative")
NEGATIVES = ("predictions", "targets")


def contrastive_loss(
    prediction: torch.Tensor, target: torch.Tensor, negatives: str = "predictions"
) -> tuple[torch.Tensor, torch.Tensor]:
    """InfoNCE between the masked patches of a clip: dot products without temperature, negatives from the same clip.

    Args:
        prediction: (B, M, P) of the masked patches.
        target: (B, M, P) their pixels, in the same order.
        negatives: what a pair competes with. "predictions": for each target the predictions of the other patches, as
            in the official code; "targets": for each prediction the other targets, equation 1 of the paper.
    Returns:
        loss and accuracy (0-dim). Accuracy is the share of predictions whose own target has the highest probability
        among all targets, the probabilities being those of the loss. In float32, also under autocast.
    """
    with torch.autocast(prediction.device.type, enabled=False):
        similarity = target.float() @ prediction.float().transpose(1, 2)
    axis = 2 if negatives == "predictions" else 1
    loss = -similarity.log_softmax(axis).diagonal(dim1=1, dim2=2).mean()
    found = similarity.detach().softmax(axis).argmax(dim=1)
    return loss, (found == torch.arange(found.shape[1], device=found.device)).float().mean()


def reconstruction_loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared error (0-dim) of (B, M, P) predicted pixels, in float32."""
    return nn.functional.mse_loss(prediction.float(), target.float())


@dataclasses.dataclass
class SsastObjectiveConfig:
    """
    Args:
        task: "joint", "discriminative" or "generative".
        num_masked: masked patches of a clip, 400 of the 512 of ten seconds.
        evaluation_num_masked: the same in evaluations, whatever is trained with; clips that are too short for it are
            masked as in training. None = as in training.
        sampler: "clusters", "clusters_unbiased" or "uniform", see `cluster_masks.py`; None = clusters
            where a time step has several patches, uniform where it has one, as in the official code.
        negatives: of the discriminative loss, see `contrastive_loss`.
        generative_weight: of the mean squared error in the joint loss.
    """

    task: str = "joint"
    num_masked: int = 400
    evaluation_num_masked: int | None = 400
    sampler: str | None = None
    negatives: str = "predictions"
    generative_weight: float = 10.0

    def __post_init__(self):
        for name, choices in (("task", TASKS), ("negatives", NEGATIVES), ("sampler", (None, *SAMPLERS))):
            if getattr(self, name) not in choices:
                known = ", ".join(str(choice) for choice in choices if choice)
                raise ValueError(f"objective.{name} is {getattr(self, name)!r}: choose one of {known}")


class SsastObjective(Objective):
    """Masked patches of a clip, found (discriminative), reconstructed (generative), or both.

    The joint loss has two forward passes with masks of their own, the discriminative one first. A batch may hold
    `discriminative_bool_masked_pos` and `generative_bool_masked_pos` (B, L), time-major, in place of drawn masks.
    """

    config_class = SsastObjectiveConfig
    model_types = ("ssast",)

    def __init__(self, model: nn.Module, config: SsastObjectiveConfig | None = None):
        super().__init__(model, config)
        # A head without a loss gets no gradient, which training on several processes does not allow.
        model.discriminative_head.requires_grad_(self.config.task != "generative")
        model.generative_head.requires_grad_(self.config.task != "discriminative")

    def __call__(
        self, model: Callable, batch: dict, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """See `Objective`. Logs the terms, and of the discriminative one the accuracy."""
        return self.loss(model, batch, self.config.num_masked, generator)

    def evaluate(self, model: Callable, batch: dict, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """See `Objective`; with `evaluation_num_masked` patches."""
        num_time, num_frequency = self.grid(batch["input_values"])
        num_masked = self.config.evaluation_num_masked
        if num_masked is None or num_masked > num_time * num_frequency - UNMASKABLE:
            num_masked = self.config.num_masked
        return self.loss(model, batch, num_masked, generator)[1]

    def score(self, logs: dict[str, torch.Tensor]) -> float:
        """The accuracy, of the generative task the negative error."""
        return logs["accuracy"].item() if "accuracy" in logs else -logs["loss_generative"].item()

    def loss(
        self, model: Callable, batch: dict, num_masked: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss with `num_masked` patches of every clip masked, and what is to be logged."""
        config, logs, loss = self.config, {}, 0.0
        if config.task != "generative":
            mask = self.mask(batch, "discriminative_bool_masked_pos", num_masked, generator)
            output, target = self.forward(model, batch["input_values"], mask)
            loss, logs["accuracy"] = contrastive_loss(output.discriminative, target, config.negatives)
            logs["loss_discriminative"] = loss.detach()
        if config.task != "discriminative":
            mask = self.mask(batch, "generative_bool_masked_pos", num_masked, generator)
            output, target = self.forward(model, batch["input_values"], mask)
            error = reconstruction_loss(output.generative, target)
            loss = loss + (config.generative_weight * error if config.task == "joint" else error)
            logs["loss_generative"] = error.detach()
        return loss, {"loss": loss.detach()} | logs

    def forward(
        self, model: Callable, input_values: torch.Tensor, bool_masked_pos: torch.Tensor
    ) -> tuple[ModelOutput, torch.Tensor]:
        """What the model makes of masked clips, and the pixels (B, M, P) that were masked, in ascending order."""
        # Split here, where the mask still lies on the CPU: a GPU would have to wait for the number of masked patches.
        kept = kept_tokens(bool_masked_pos).to(input_values.device, non_blocking=True)
        output = model(input_values=input_values, kept_indices=kept)
        pixels = patchify(input_values, self.model_config.patch_size)
        return output, gather_tokens(pixels, masked_tokens(kept, pixels.shape[1]))

    def grid(self, input_values: torch.Tensor) -> tuple[int, int]:
        """(time steps, frequency patches) of clips (B, T, F)."""
        return self.model_config.num_steps(input_values.shape[1]), self.model_config.num_frequency_patches

    def mask(self, batch: dict, name: str, num_masked: int, generator: torch.Generator) -> torch.Tensor:
        """(B, L) bool, True = masked, time-major: what the batch has under `name`, or a new mask, on the CPU."""
        if name in batch:
            return batch[name]
        grid = self.grid(batch["input_values"])
        sampler = self.config.sampler or ("clusters" if grid[1] > 1 else "uniform")
        return SAMPLERS[sampler](len(batch["input_values"]), grid, num_masked, generator)
