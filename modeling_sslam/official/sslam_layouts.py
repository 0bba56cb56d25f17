"""The four official layouts of SSLAM / EAT and ours, by the table of `names_sslam.py`.

The official layouts (fairseq pretrained, fairseq fine-tuned, hub pretrained, hub fine-tuned) differ only in prefixes
and in the name of one norm, so every official name is first brought to one short form and then looked up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from ..names_sslam import DECODER_NAMES, ENCODER_NAMES, ENCODER_PREFIX, HEAD_NAMES, HUB_PREFIX
from .file import rename_weights

TEACHER_KEY = "_ema"

# What each fairseq release writes before or instead of the short name.
FAIRSEQ_PREFIXES = r"^(model\.)?(modality_encoders\.IMAGE\.)?"
FAIRSEQ_PRE_NORM = "context_encoder.norm"


def official_to_ours(state_dict: Mapping[str, Tensor], prefix: str = ENCODER_PREFIX) -> dict[str, Tensor]:
    """Renames an official state dictionary (any of the four layouts, without `_ema`).

    Args:
        state_dict: official names, with or without the leading `model.`.
        prefix: what our encoder names start with: `"sslam."` for the models with a head, `""` for a bare `SslamModel`.
    Returns:
        The same tensors under the names of `SslamForPreTraining` or `SslamForAudioClassification`.
    Raises:
        ValueError: names that belong to none of the layouts; all of them are listed.
    """
    table = _with_prefix(ENCODER_NAMES, prefix) + DECODER_NAMES + HEAD_NAMES
    return rename_weights({_short_name(name): tensor for name, tensor in state_dict.items()}, table)


def ours_to_official_hub(state_dict: Mapping[str, Tensor], variant: str) -> dict[str, Tensor]:
    """Renames our state dictionary to the hub layout, the inverse of `official_to_ours` on hub files.

    Args:
        state_dict: of any of our models, with or without the prefix `sslam.`. The decoder is left out: the hub layout
            has none.
        variant: `"pretrain"` (encoder only) or `"finetune"` (encoder, `fc_norm` and `head`).
    Raises:
        ValueError: another variant, or names that the hub layout cannot hold.
    """
    if variant not in ("pretrain", "finetune"):
        raise ValueError(f"variant must be 'pretrain' or 'finetune', got {variant!r}")
    table = ENCODER_NAMES + (HEAD_NAMES if variant == "finetune" else ())
    encoder_and_head = {
        name.removeprefix(ENCODER_PREFIX): tensor
        for name, tensor in state_dict.items()
        if not name.startswith("decoder.")
    }
    return rename_weights(encoder_and_head, tuple((ours, f"{HUB_PREFIX}{official}") for official, ours in table))


def split_teacher(state_dict: Mapping) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
    """Separates the teacher that a fairseq checkpoint carries, nested (`{"_ema": {...}}`) or flat (`_ema.*`).

    Returns:
        Student and teacher (None where there is none), both with official names.
    """
    flat = f"{TEACHER_KEY}."
    student = {
        name: tensor for name, tensor in state_dict.items() if name != TEACHER_KEY and not name.startswith(flat)
    }
    teacher = dict(state_dict.get(TEACHER_KEY) or {})
    teacher.update({name.removeprefix(flat): state_dict[name] for name in state_dict if name.startswith(flat)})
    return student, teacher or None


def _short_name(name: str) -> str:
    return re.sub(FAIRSEQ_PREFIXES, "", name).replace(FAIRSEQ_PRE_NORM, "pre_norm")


def _with_prefix(table: tuple[tuple[str, str], ...], prefix: str) -> tuple[tuple[str, str], ...]:
    return tuple((official, prefix + ours) for official, ours in table)
