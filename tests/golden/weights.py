"""Models for golden cases: sizes from the case's configuration, weights from its file or by the recorded rule."""

from __future__ import annotations

import pathlib
import re
import zlib

import torch
from safetensors.torch import load_file
from torch import nn

from modeling_sslam import SslamConfig
from modeling_sslam.names_sslam import DECODER_NAMES, ENCODER_NAMES, HEAD_NAMES
from modeling_sslam.official.sslam_layouts import official_to_ours, split_teacher

SHARED_CASES = pathlib.Path(__file__).resolve().parents[3] / "shared" / "golden" / "sslam"
BASE = {"embed_dim": 768, "depth": 12, "num_heads": 12}


def sslam_config(case: dict, **overrides) -> SslamConfig:
    """The configuration of a case; sizes that the case does not give are those of the base model."""
    sizes = BASE | case
    image = case.get("image", {})
    decoder = image.get("decoder", {})
    fields = {
        "hidden_size": sizes["embed_dim"],
        "num_hidden_layers": sizes["depth"],
        "num_attention_heads": sizes["num_heads"],
        "intermediate_size": int(sizes["embed_dim"] * sizes.get("mlp_ratio", 4.0)),
        "layer_norm_eps": sizes.get("norm_eps", 1e-6),
        "patch_size": image.get("patch_size", 16),
        "max_time_patches": image.get("max_length", 768),
        "mask_noise_std": 0.0,
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


def load_by_rule(model: nn.Module, prefix: str = "", head_prefix: str = "") -> None:
    """Fills `model` by the rule of the case READMEs: seeded by the CRC of each official name, whatever the order."""
    state = {}
    for name, tensor in model.state_dict().items():
        if name.endswith("position_embeddings"):
            state[name] = tensor
            continue
        official = fairseq_name(name)
        official = (head_prefix if official.startswith(("fc_norm", "head")) else prefix) + official
        generator = torch.Generator().manual_seed(zlib.crc32(official.encode()))
        value = torch.randn(tensor.shape, generator=generator) * 0.02
        is_norm = official.endswith(("norm.weight", "norm1.weight", "norm2.weight"))
        state[name] = value + 1.0 if is_norm else value
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


def real_clip(path: pathlib.Path, name: str) -> torch.Tensor:
    """(1, T, F) recorded spectrogram of the case `name`: beside `path`, or in the project's shared folder."""
    folders = (path.parent, SHARED_CASES)
    folder = next((folder for folder in folders if (folder / name).exists()), None)
    if folder is None:
        raise ValueError(f"{path} needs the case {name}, which is in none of {', '.join(map(str, folders))}")
    return load_file(folder / name / "io.safetensors")["fbank"]


def seeded_source(path: pathlib.Path) -> torch.Tensor | None:
    """(B, 1, T, F) source by the rule in the case's README, None where it gives no rule."""
    rule = re.search(r"torch\.randn\(([\d,]+), generator seeded (\d+)\)\*([\d.]+)", (path / "README.md").read_text())
    if rule is None:
        return None
    shape = [int(size) for size in rule[1].split(",")]
    source = torch.randn(shape, generator=torch.Generator().manual_seed(int(rule[2]))) * float(rule[3])
    offsets = torch.tensor([-0.3, 0.2, 0.0, 0.4])
    return source + offsets.repeat(-(-shape[0] // len(offsets)))[: shape[0], None, None, None]
