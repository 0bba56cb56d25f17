"""Reads the official checkpoints of SSAM, AxLSTM and their transformer baseline: three layouts that differ in blocks.

A file is a dictionary with the entry `model`. It holds the encoder, the mask token and the prediction head, and the
fixed table of positions, which our models compute instead. Sizes are inferred from the shapes of the weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..configuration_axlstm import AxlstmConfig
from ..configuration_masked_patch import MaskedPatchConfig
from ..configuration_ssam import SsamConfig
from ..configuration_ssast_mae import SsastMaeConfig
from ..feature_extraction_power_mel import PowerMelFeatureExtractor
from ..modeling_axlstm import AxlstmForPreTraining
from ..modeling_masked_patch import MaskedPatchPreTrainedModel
from ..modeling_ssam import SsamForPreTraining
from ..modeling_ssast_mae import SsastMaeForPreTraining
from ..tokens_positions import time_frequency_table
from .file import OfficialFile, OfficialModel, check_fit, rename_weights

# (official name, our name); `#` is the number of a block. A name may be followed by `.weight` or `.bias`.
SHARED_NAMES = (
    ("cls_token", "encoder.embeddings.class_token"),
    ("mask_token", "mask_token"),
    ("patch_embed.proj", "encoder.embeddings.patch_embeddings.projection"),
    ("encoder_norm", "encoder.norm"),
)
POSITIONS = "pos_embed"
SSAST_MAE_BLOCK = (
    ("norm1", "norm1"),
    ("attn.qkv_layer", "attention.qkv"),
    ("attn.proj_layer", "attention.out_proj"),
    ("norm2", "norm2"),
    ("mlp.layer1", "mlp.fc1"),
    ("mlp.layer2", "mlp.fc2"),
)
SSAM_BLOCK = (
    ("norm", "norm"),
    ("mixer.A_log", "mixer.A_log"),
    ("mixer.D", "mixer.D"),
    ("mixer.in_proj", "mixer.in_proj"),
    ("mixer.conv1d", "mixer.conv1d"),
    ("mixer.x_proj", "mixer.x_proj"),
    ("mixer.dt_proj", "mixer.dt_proj"),
    ("mixer.out_proj", "mixer.out_proj"),
)
AXLSTM_BLOCK = (
    ("norm", "norm"),
    ("layer.learnable_skip", "layer.learnable_skip"),
    ("layer.proj_up", "layer.proj_up"),
    ("layer.q_proj", "layer.q_proj"),
    ("layer.k_proj", "layer.k_proj"),
    ("layer.v_proj", "layer.v_proj"),
    ("layer.conv1d.conv", "layer.conv1d"),
    ("layer.mlstm_cell.igate", "layer.mlstm_cell.igate"),
    ("layer.mlstm_cell.fgate", "layer.mlstm_cell.fgate"),
    ("layer.mlstm_cell.outnorm", "layer.mlstm_cell.outnorm"),
    ("layer.proj_down", "layer.proj_down"),
)
PUBLISHED_HEAD_SIZE = 64


def ssam_sizes(weights: Mapping[str, Tensor], num_attention_heads: int | None) -> dict:
    """Fields of `SsamConfig` that the shapes of block 0, under official names, tell."""
    inner_size, state_size = weights["blocks.0.mixer.A_log"].shape
    return {
        "expand": inner_size // weights["encoder_norm.weight"].shape[0],
        "state_size": state_size,
        "conv_kernel": weights["blocks.0.mixer.conv1d.weight"].shape[2],
        "time_step_rank": weights["blocks.0.mixer.dt_proj.weight"].shape[1],
    }


def axlstm_sizes(weights: Mapping[str, Tensor], num_attention_heads: int | None) -> dict:
    """Fields of `AxlstmConfig` likewise."""
    hidden_size, inner_size = weights["blocks.0.layer.proj_down.weight"].shape
    return {
        "expand": inner_size // hidden_size,
        "num_cell_heads": len(weights["blocks.0.layer.mlstm_cell.igate.bias"]),
        "projection_block_size": weights["blocks.0.layer.q_proj.weight"].shape[2],
        "conv_kernel": weights["blocks.0.layer.conv1d.conv.weight"].shape[2],
    }


def ssast_mae_sizes(weights: Mapping[str, Tensor], num_attention_heads: int | None) -> dict:
    """Fields of `SsastMaeConfig` likewise. No shape tells the heads: all published ones have 64 channels.

    Raises:
        ValueError: neither the width nor the argument tells the number of heads.
    """
    intermediate_size, hidden_size = weights["blocks.0.mlp.layer1.weight"].shape
    if num_attention_heads is None and hidden_size % PUBLISHED_HEAD_SIZE:
        raise ValueError(f"no shape tells the attention heads of width {hidden_size}: pass num_attention_heads")
    fields = {
        "num_attention_heads": num_attention_heads or hidden_size // PUBLISHED_HEAD_SIZE,
        "intermediate_size": intermediate_size,
        "qkv_bias": "blocks.0.attn.qkv_layer.bias" in weights,
    }
    head_blocks = {name.split(".")[1] for name in weights if name.startswith("pred.") and ".attn." in name}
    if head_blocks:
        width = len(weights["pred.0.weight"])
        fields |= {
            "prediction_num_layers": len(head_blocks),
            "prediction_hidden_size": width,
            "prediction_num_attention_heads": max(1, width // PUBLISHED_HEAD_SIZE),
        }
    return fields


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a family's files have of their own.

    Attributes:
        config_class, model_class: of ours.
        block: (official name, our name) of the weights within a block.
        sizes: official weights, and the heads that the caller gave -> fields of the configuration.
    """

    config_class: type[MaskedPatchConfig]
    model_class: type[MaskedPatchPreTrainedModel]
    block: tuple[tuple[str, str], ...]
    sizes: Callable[[Mapping[str, Tensor], int | None], dict]


# A name that only files of the family hold -> the family.
LAYOUTS = {
    "blocks.0.mixer.A_log": Layout(SsamConfig, SsamForPreTraining, SSAM_BLOCK, ssam_sizes),
    "blocks.0.layer.mlstm_cell.igate.bias": Layout(AxlstmConfig, AxlstmForPreTraining, AXLSTM_BLOCK, axlstm_sizes),
    "blocks.0.attn.qkv_layer.weight": Layout(SsastMaeConfig, SsastMaeForPreTraining, SSAST_MAE_BLOCK, ssast_mae_sizes),
}


def recognises(file: OfficialFile) -> bool:
    """Whether the names are those of one of the families."""
    return any(name in file.weights for name in LAYOUTS)


def read(file: OfficialFile, num_attention_heads: int | None = None) -> OfficialModel:
    """The pretrained model in a file of any of the families.

    Args:
        num_attention_heads: needed only for transformers whose heads do not have the published 64 channels.
    Raises:
        ValueError: unknown or missing names, shapes that do not fit (all are listed), unknown heads, or positions that
            are not the fixed table of these models.
    """
    layout = next(layout for name, layout in LAYOUTS.items() if name in file.weights)
    config = infer_config(layout, file.weights, num_attention_heads)
    weights = to_ours(config, file.weights)
    check_fit(layout.model_class, config, weights)
    extractor = PowerMelFeatureExtractor(num_mel_bins=config.num_mel_bins)
    return OfficialModel(config, layout.model_class, weights, extractor)


def to_ours(config: MaskedPatchConfig, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a pretraining model from official names to ours, without the table of positions."""
    learned = {name: tensor for name, tensor in weights.items() if name != POSITIONS}
    return rename_weights(learned, name_table(config))


def to_official(config: MaskedPatchConfig, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The reverse: weights of a pretraining model, or what belongs to them, from our names to official ones."""
    return rename_weights(weights, [(ours, official) for official, ours in name_table(config)])


def name_table(config: MaskedPatchConfig) -> list[tuple[str, str]]:
    """(official name, our name) of all weights of a pretraining model."""
    block = next(layout.block for layout in LAYOUTS.values() if layout.config_class is type(config))
    names = [*SHARED_NAMES, *((f"blocks.#.{official}", f"encoder.layers.#.{ours}") for official, ours in block)]
    num_layers = getattr(config, "prediction_num_layers", 0)
    if num_layers == 0:
        return [*names, ("pred.0", "prediction_head.dense"), ("pred.2", "prediction_head.output")]
    # A list of modules: projection, blocks, norm, and a list of the two linear layers and what lies between them.
    names += [("pred.0", "prediction_head.projection"), (f"pred.{num_layers + 1}", "prediction_head.norm")]
    for index in range(num_layers):
        names += [
            (f"pred.{index + 1}.{official}", f"prediction_head.layers.{index}.{ours}") for official, ours in block
        ]
    last = f"pred.{num_layers + 2}"
    return [*names, (f"{last}.0", "prediction_head.dense"), (f"{last}.2", "prediction_head.output")]


def infer_config(
    layout: Layout, weights: Mapping[str, Tensor], num_attention_heads: int | None = None
) -> MaskedPatchConfig:
    """Sizes from the shapes of weights under official names.

    Raises:
        ValueError: a weight that tells a size is missing, nothing tells the number of heads, or as `grid_size`.
    """
    try:
        hidden_size, _, *patch_size = weights["patch_embed.proj.weight"].shape
        num_time, num_frequency = grid_size(weights[POSITIONS], "cls_token" in weights)
        fields = layout.sizes(weights, num_attention_heads)
    except KeyError as error:
        raise ValueError(f"the checkpoint lacks {error.args[0]}") from None
    blocks = {name.split(".")[1] for name in weights if name.startswith("blocks.")}
    fields |= {
        "hidden_size": hidden_size,
        "num_hidden_layers": len(blocks),
        "patch_size": tuple(patch_size),
        "num_mel_bins": num_frequency * patch_size[1],
        "window_frames": num_time * patch_size[0],
        "use_class_token": "cls_token" in weights,
    }
    return layout.config_class(**fields)


def grid_size(positions: Tensor, has_class_token: bool) -> tuple[int, int]:
    """(time patches, frequency patches) of the grid whose fixed table a checkpoint holds.

    Args:
        positions: (1, L, D), or (1, 1 + L, D) with zeros for the class token first.
    Raises:
        ValueError: other positions, which our models do not have.
    """
    table = positions[0, int(has_class_token) :].float()
    for num_frequency in range(1, len(table) + 1):
        num_time, rest = divmod(len(table), num_frequency)
        if rest == 0:
            expected = time_frequency_table(num_time, num_frequency, table.shape[1])
            if torch.allclose(table, expected, rtol=0, atol=1e-5):
                return num_time, num_frequency
    raise ValueError(
        f"{POSITIONS} {tuple(positions.shape)} is not a fixed sine/cosine table of time-major patches, the only "
        "positions that these models have"
    )
