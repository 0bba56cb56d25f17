# Copyright 2026 The modeling_sslam authors. MIT licence.
"""EAT / SSLAM repositories of the hub in their own layout: our models, their parameter names.

Hub code and weights: `worstchan/EAT-*`, `ta012/SSLAM_*` (EAT, IJCAI 2024; SSLAM, ICLR 2025). Their parameter names are
translated by transformers' weight renaming while loading, and back while saving.
"""

import re
from collections.abc import Iterable

from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightRenaming

from .configuration_eat import EatConfig
from .modeling_sslam import SslamForAudioClassification, SslamForAudioFrameClassification, SslamModel
from .names_sslam import ENCODER_NAMES, ENCODER_PREFIX, HEAD_NAMES, HUB_PREFIX

# The classifier of a hub repository, where the model has none or another one.
HUB_HEAD = r"^" + re.escape(HUB_PREFIX) + "(" + "|".join(official for official, _ in HEAD_NAMES) + r")\."


class EatModel(SslamModel):
    """`SslamModel` from a hub repository: the encoder of either variant."""

    config: EatConfig
    _keys_to_ignore_on_load_unexpected = [*SslamModel._keys_to_ignore_on_load_unexpected, HUB_HEAD]


class EatForAudioClassification(SslamForAudioClassification):
    """`SslamForAudioClassification` from a hub repository; the "pretrain" variant has no classifier to load."""

    config: EatConfig


class EatForAudioFrameClassification(SslamForAudioFrameClassification):
    """`SslamForAudioFrameClassification` on the encoder of a hub repository; its head is always ours."""

    config: EatConfig
    _keys_to_ignore_on_load_unexpected = [*SslamModel._keys_to_ignore_on_load_unexpected, HUB_HEAD]


def hub_renamings(names: Iterable[tuple[str, str]]) -> list[WeightRenaming]:
    """Hub names to ours. transformers inverts them itself."""
    return [
        WeightRenaming(
            "^" + re.escape(HUB_PREFIX + official).replace(r"\#", r"(\d+)"),
            "^" + re.escape(ours).replace(r"\#", r"\1"),
        )
        for official, ours in names
    ]


NAMES_BEHIND_PREFIX = tuple((official, ENCODER_PREFIX + ours) for official, ours in ENCODER_NAMES)
for model_class, names in (
    (EatModel, ENCODER_NAMES),
    (EatForAudioClassification, NAMES_BEHIND_PREFIX + HEAD_NAMES),
    (EatForAudioFrameClassification, NAMES_BEHIND_PREFIX),
):
    register_checkpoint_conversion_mapping(model_class.__name__, hub_renamings(names), overwrite=True)

__all__ = ["EatForAudioClassification", "EatForAudioFrameClassification", "EatModel"]
