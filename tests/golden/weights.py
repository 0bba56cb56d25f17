"""Models for golden cases: sizes from the case's configuration, weights from its file or by the recorded rule."""

from __future__ import annotations

import pathlib
import re

import torch
from safetensors.torch import load_file
from torch import nn

from modeling_sslam import SslamConfig
from modeling_sslam.names_sslam import DECODER_NAMES, ENCODER_NAMES, HEAD_NAMES
from modeling_sslam.official.sslam_layouts import official_to_ours, split_teacher

from .inputs import text_of
from .readme import weight_rule
from .registry import check_options

BASE = {"embed_dim": 768, "depth": 12, "num_heads": 12}

# What the official code can be told besides, and this package cannot.
OPTIONS = {"layer_norm_first": False}
IMAGE_OPTIONS = {"in_chans": 1, "num_extra_tokens": 1, "prenet_depth": 0}


def sslam_config(case: dict, **overrides) -> SslamConfig:
    """The configuration of a case; sizes that the case does not give are those of the base model."""
    sizes = BASE | case
    image = case.get("image", {})
    decoder = image.get("decoder", {})
    check_options(case, **OPTIONS)
    check_options(image, **IMAGE_OPTIONS)
    fields = {
        "hidden_size": sizes["embed_dim"],
        "num_hidden_layers": sizes["depth"],
        "num_attention_heads": sizes["num_heads"],
        "intermediate_size": int(sizes["embed_dim"] * sizes.get("mlp_ratio", 4.0)),
        "layer_norm_eps": sizes.get("norm_eps", 1e-6),
        "patch_size": image.get("patch_size", 16),
        "max_time_patches": image.get("max_length", 768),
        "mask_noise_std": image.get("mask_noise_std", 0.0),
        "decoder_hidden_size": decoder.get("decoder_dim", sizes["embed_dim"]),
        "decoder_num_layers": decoder.get("decoder_layers", 6),
        "decoder_kernel_size": decoder.get("decoder_kernel", 3),
        "decoder_groups": decoder.get("decoder_groups", 16),
    }
    return SslamConfig(**(fields | overrides))


def fairseq_name(name: str) -> str:
    """Our parameter name -> the name in fairseq checkpoints (without `model.`)."""
    name = name.removeprefix("sslam.")
    for official, ours in ENCODER_NAMES + DECODER_NAMES + HEAD_NAMES:
        pattern = re.escape(ours).replace(r"\#", r"(\d+)") + r"(\.weight|\.bias)?"
        if match := re.fullmatch(pattern, name):
            *block, ending = match.groups()
            official = official.replace("#", *block) if block else official
            official = official.replace("pre_norm", "context_encoder.norm") + (ending or "")
            in_blocks = official.startswith(("blocks.", "fc_norm", "head"))
            return official if in_blocks else f"modality_encoders.IMAGE.{official}"
    raise ValueError(f"{name} has no official name")


def load_by_rule(path: pathlib.Path, model: nn.Module, prefix: str = "", head_prefix: str = "") -> None:
    """Fills `model` by the rule that the README of a case states; positions are computed."""
    rule, state = weight_rule(text_of(path)), {}
    for name, tensor in model.state_dict().items():
        if name.endswith("position_embeddings"):
            state[name] = tensor
            continue
        official = fairseq_name(name)
        official = (head_prefix if official.startswith(("fc_norm", "head")) else prefix) + official
        state[name] = rule.value(official, tensor.shape)
    model.load_state_dict(state)


def load_official(model: nn.Module, state: dict[str, torch.Tensor], prefix: str = "sslam.") -> None:
    """Loads official names into `model`; a missing position table keeps the computed one, anything else must fit."""
    ours = official_to_ours(state, prefix)
    missing, unexpected = model.load_state_dict(ours, strict=False)
    missing = [name for name in missing if not name.endswith("position_embeddings")]
    if missing or unexpected:
        raise ValueError(f"weights do not fit: missing {missing}, unexpected {unexpected}")


def student_and_teacher(path: pathlib.Path) -> tuple[dict, dict | None] | None:
    """Official student and teacher weights of a case, None where the case is filled by rule."""
    file = path / "weights.safetensors"
    return split_teacher(load_file(file)) if file.exists() else None
