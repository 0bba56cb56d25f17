# Copyright 2026 The modeling_sslam authors. MIT licence.
"""EAT / SSLAM repositories of the hub in their own layout: our models, their parameter names.

Hub code and weights: `worstchan/EAT-*`, `ta012/SSLAM_*` (EAT, IJCAI 2024; SSLAM, ICLR 2025). Their parameter names are
translated by transformers' weight renaming while loading, and back while saving.
"""

import re

from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightRenaming

from .configuration_eat import EatConfig
from .modeling_sslam import SslamForAudioClassification, SslamForAudioFrameClassification, SslamModel
from .names_sslam import ENCODER_NAMES, ENCODER_PREFIX, HEAD_NAMES, HUB_PREFIX


class EatModel(SslamModel):
    """`SslamModel` from a hub repository: the encoder of either variant."""

    config: EatConfig


class EatForAudioClassification(SslamForAudioClassification):
    """`SslamForAudioClassification` from a hub repository; the "pretrain" variant has no classifier to load."""

    config: EatConfig


class EatForAudioFrameClassification(SslamForAudioFrameClassification):
    """`SslamForAudioFrameClassification` on the encoder of a hub repository; its head is always ours."""

    config: EatConfig


def hub_renamings(prefix: str) -> list[WeightRenaming]:
    """Hub names to ours, with `prefix` before the names of the encoder. transformers inverts them itself."""
    names = [(official, prefix + ours) for official, ours in ENCODER_NAMES] + list(HEAD_NAMES)
    return [
        WeightRenaming(
            "^" + re.escape(HUB_PREFIX + official).replace(r"\#", r"(\d+)"),
            "^" + re.escape(ours).replace(r"\#", r"\1"),
        )
        for official, ours in names
    ]


register_checkpoint_conversion_mapping(EatModel.__name__, hub_renamings(prefix=""), overwrite=True)
register_checkpoint_conversion_mapping(
    EatForAudioClassification.__name__, hub_renamings(prefix=ENCODER_PREFIX), overwrite=True
)

register_checkpoint_conversion_mapping(
    EatForAudioFrameClassification.__name__, hub_renamings(prefix=ENCODER_PREFIX), overwrite=True
)

__all__ = ["EatForAudioClassification", "EatForAudioFrameClassification", "EatModel"]
