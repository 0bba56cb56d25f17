"""Reconstruction of spectrogram patches from masked clips: SSAM, AxLSTM, their transformer baseline, MW-MAE and MAE.

He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022; Yadav et al., "Masked Autoencoders with
Multi-Window Local-Global Attention Are Better Audio Learners", ICLR 2024; Yadav and Tan, "Audio Mamba", Interspeech
2024. Whether masked tokens know their place is the model's own configuration.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from modeling_sslam.tokens_masks import kept_tokens, masked_positions
from modeling_sslam.tokens_patches import patchify
from training.objectives.masks import shuffled_patches
from training.objectives.objective import Objective

LOSSES_ON = ("all", "masked")
TARGET_VARIANCES = ("unbiased", "population")
TARGET_EPS = 1e-6


@dataclasses.dataclass
class MaskedReconstructionConfig:
    """
    Args:
        mask_ratio: share of masked patches, rounded up to whole patches. The published models of SSAM and AxLSTM have
            0.5, those of MW-MAE 0.8.
        loss_on: "all" patches, visible ones too, which the official code of SSAM and AxLSTM trains on because the mask
            does not reach its loss; or the "masked" ones, as MW-MAE.
        normalize_target: standardise the cells of every target patch by themselves. No published model has it.
        target_variance: whether that takes the "unbiased" variance of the cells, as the code of SSAM, or that of a
            "population", as the code of MW-MAE.
    Raises:
        ValueError: an unknown choice.
    """

    mask_ratio: float = 0.5
    loss_on: str = "all"
    normalize_target: bool = False
    target_variance: str = "unbiased"

    def __post_init__(self):
        for field, choices in (("loss_on", LOSSES_ON), ("target_variance", TARGET_VARIANCES)):
            if getattr(self, field) not in choices:
                raise ValueError(f"objective.{field} is {getattr(self, field)!r}: choose one of {', '.join(choices)}")


class MaskedReconstructionObjective(Objective):
    """Mean squared error of the predicted patches, in float32."""

    config_class = MaskedReconstructionConfig
    model_types = ("ssam", "axlstm", "ssast_mae", "mwmae")

    def __call__(
        self, model: Callable, batch: dict, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """See `Objective`. A batch may hold its mask: `kept_indices` (B, K) or `bool_masked_pos` (B, L)."""
        input_values = batch["input_values"]
        kept = self.kept(batch, generator)
        prediction = model(input_values, kept_indices=kept).prediction
        # A mean over the cells of each patch: (B, L).
        errors = (prediction.float() - self.target(input_values)).square().mean(dim=2)
        masked = masked_positions(kept, errors.shape[1]).float()
        # Sums of products: to pick the masked ones would make a GPU wait for their number.
        masked_error = (errors * masked).sum() / masked.sum()
        visible_error = (errors * (1 - masked)).sum() / (1 - masked).sum()
        loss = errors.mean() if self.config.loss_on == "all" else masked_error
        return loss, {
            "loss": loss.detach(),
            "loss_masked": masked_error.detach(),
            "loss_visible": visible_error.detach(),
            "masked_fraction": masked.mean(),
        }

    def kept(self, batch: dict, generator: torch.Generator) -> torch.Tensor:
        """(B, K) patches that are not masked: the given ones, or new ones, on the device of the clips."""
        input_values = batch["input_values"]
        if "kept_indices" in batch:
            kept = batch["kept_indices"]
        elif "bool_masked_pos" in batch:
            kept = kept_tokens(batch["bool_masked_pos"])
        else:
            shape = len(input_values), self.model_config.num_patches(input_values.shape[1])
            noise = torch.rand(shape, generator=generator).to(input_values.device, non_blocking=True)
            kept, _ = shuffled_patches(noise, self.config.mask_ratio)
        return kept.to(input_values.device, non_blocking=True)

    def target(self, input_values: torch.Tensor) -> torch.Tensor:
        """(B, T, F) -> (B, L, P) float32 cells of every patch."""
        target = patchify(input_values.float(), self.model_config.patch_size)
        if not self.config.normalize_target:
            return target
        correction = int(self.config.target_variance == "unbiased")
        variance, mean = torch.var_mean(target, dim=2, correction=correction, keepdim=True)
        return (target - mean) * torch.rsqrt(variance + TARGET_EPS)
