"""Weights of MW-MAE in the layout of the official checkpoints, for comparison, and by the recorded rule."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from modeling_sslam import MwmaeForPreTraining
from modeling_sslam.official.mwmae import BIAS_TABLE, PREFIX, Place, places, to_ours

from .readme import weight_rule

POSITIONS = ("pos_embed", "decoder_pos_embed")


def to_official(table: Mapping[str, Place], ours: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The reverse of `to_ours`: whatever belongs to parameters, by official names and in the layout of Flax."""
    return {name: flax_layout(name, ours[place.name], place.row) for name, place in table.items()}


def flax_layout(name: str, tensor: torch.Tensor, row: int | None) -> torch.Tensor:
    if name.endswith(BIAS_TABLE):
        return tensor[row][:, None]
    if name.endswith("/kernel"):
        return tensor.permute(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T
    return tensor.clone()


def rule_weights(model: MwmaeForPreTraining, text: str) -> dict[str, torch.Tensor]:
    """All weights but the positions by the rule that a case states in its text."""
    rule, table = weight_rule(text, gains=("/scale",)), places(model.config)
    official = to_official(table, model.state_dict())
    for name, tensor in official.items():
        if name not in POSITIONS:
            official[name] = rule.value(f"{PREFIX}{name}", tensor.shape)
    return to_ours(table, official)
