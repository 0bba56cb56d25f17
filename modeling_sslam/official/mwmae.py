"""Reads the official checkpoints of MW-MAE and MAE: Flax parameter trees, float32 or bfloat16.

A file holds a whole training state, of which `params` is read. Sizes are inferred from shapes, windows from the
lengths of the bias tables. Both tables of positions were trained, so they are loaded like any other weight.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..configuration_mwmae import NUM_GLOBAL_HEADS, MwmaeConfig, published_windows
from ..feature_extraction_power_mel import PowerMelFeatureExtractor
from ..modeling_mwmae import MwmaeForPreTraining
from .file import OfficialFile, OfficialModel, check_fit

PREFIX = "params/"
NUM_MEL_BINS = 80  # of the one front end; trained positions do not tell the grid
# Width of a published encoder -> attention heads.
PUBLISHED_HEADS = {192: 3, 384: 6, 512: 8, 768: 12, 1024: 16, 1280: 16}
BIAS_TABLE = "relative_position_bias_table"

TENSORS = (
    ("pos_embed", "encoder.embeddings.position_embeddings"),
    ("decoder_pos_embed", "decoder.position_embeddings"),
    ("mask_token", "decoder.mask_token"),
)
CLASS_TOKEN = ("cls_token", "encoder.embeddings.class_token")
LAYERS = (
    ("patch_embed/proj", "encoder.embeddings.patch_embeddings.projection"),
    ("decoder_embed", "decoder.embed"),
    ("decoder_pred", "decoder.projection"),
)
NORMS = (("encoder_norm", "encoder.norm"), ("decoder_norm", "decoder.norm"))
BLOCK_LAYERS = (("Mlp_0/Dense_0", "mlp.fc1"), ("Mlp_0/Dense_1", "mlp.fc2"))
BLOCK_NORMS = (("LayerNorm_0", "norm1"), ("LayerNorm_1", "norm2"))
ATTENTION = (("Attention_0/Dense_0", "attention.qkv"), ("Attention_0/Dense_1", "attention.out_proj"))
WINDOW_ATTENTION = (("wmha_block/qkv", "attention.qkv"), ("wmha_block/proj", "attention.out_proj"))


class Place(NamedTuple):
    """Where an official weight belongs.

    Attributes:
        name: ours.
        row: of our weight, which holds the tables of several heads; None for all of it.
    """

    name: str
    row: int | None = None


def recognises(file: OfficialFile) -> bool:
    """Whether the tree is that of the official encoder and decoder."""
    return "patch_embed/proj/kernel" in official_weights(file.content)


def read(file: OfficialFile, num_attention_heads: int | None = None) -> OfficialModel:
    """The pretrained model of a file.

    Args:
        num_attention_heads: of the encoder, needed only for widths that were never published: no shape tells it.
    Raises:
        ValueError: unknown or missing names, shapes that do not fit (all are listed), or sizes that nothing tells.
    """
    official = official_weights(file.content)
    config = infer_config(official, num_attention_heads)
    weights = to_ours(places(config), official)
    check_fit(MwmaeForPreTraining, config, weights)
    extractor = PowerMelFeatureExtractor(num_mel_bins=config.num_mel_bins)
    return OfficialModel(config, MwmaeForPreTraining, weights, extractor)


def official_weights(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Names below `params` with their weights in float32, from a tree or from names with slashes."""
    weights = {}
    for name, tensor in _flatten(content):
        if name.startswith(PREFIX) and isinstance(tensor, Tensor):
            weights[name.removeprefix(PREFIX)] = tensor.float()
    return weights


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def places(config: MwmaeConfig) -> dict[str, Place]:
    """Where each official weight of a model belongs."""
    table = {official: Place(ours) for official, ours in TENSORS + (CLASS_TOKEN,) * config.num_special_tokens}
    table |= _layer_places(LAYERS, NORMS)
    for stack, sizes in (("encoder", config.encoder_sizes), ("decoder", config.decoder_sizes)):
        for official, place in block_places(sizes.window_sizes).items():
            for index in range(sizes.num_hidden_layers):
                ours = Place(f"{stack}.layers.{index}.{place.name}", place.row)
                table[f"{stack}_block_{index:02}/{official}"] = ours
    return {name: place for name, place in table.items() if config.qkv_bias or not place.name.endswith("qkv.bias")}


def block_places(window_sizes: tuple[int, ...]) -> dict[str, Place]:
    """The same within a block, given the windows of its heads."""
    attention = WINDOW_ATTENTION if any(window_sizes) else ATTENTION
    table = _layer_places(attention + BLOCK_LAYERS, BLOCK_NORMS)
    groups = itertools.groupby(enumerate(window_sizes), key=lambda head_and_window: head_and_window[1])
    for group, (window, heads) in enumerate(groups):
        for row, (head, _) in enumerate(heads):
            if window:
                ours = Place(f"attention.groups.{group}.{BIAS_TABLE}", row)
                table[f"wmha_block/attn_heads_{head}/{BIAS_TABLE}"] = ours
    return table


def _layer_places(layers: Iterable[tuple[str, str]], norms: Iterable[tuple[str, str]]) -> dict[str, Place]:
    """Weight and bias of linear layers, convolutions and norms."""
    table = {}
    for official_weight, pairs in (("kernel", layers), ("scale", norms)):
        for official, ours in pairs:
            table |= {
                f"{official}/{official_weight}": Place(f"{ours}.weight"),
                f"{official}/bias": Place(f"{ours}.bias"),
            }
    return table


def to_ours(table: Mapping[str, Place], official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under our names and in PyTorch's layout.

    Args:
        table: as `places` or `block_places` makes it.
    Raises:
        ValueError: unknown or missing names; all of them are listed.
    """
    problems = [f"{name} is missing" for name in sorted(table.keys() - official.keys())]
    problems += [f"{name} is unknown" for name in sorted(official.keys() - table.keys())]
    if problems:
        raise ValueError(f"the checkpoint does not fit the sizes inferred from it: {'; '.join(problems)}")
    weights: dict[str, Tensor] = {}
    for name, place in table.items():
        tensor = torch_layout(name, official[name])
        if place.row is not None:
            tensor = torch.cat([weights[place.name], tensor]) if place.row else tensor
        weights[place.name] = tensor
    return weights


def torch_layout(name: str, tensor: Tensor) -> Tensor:
    """Kernels end with their outputs; PyTorch's start with them. A bias table becomes a row."""
    if name.endswith("/kernel"):
        return tensor.permute(3, 2, 0, 1).contiguous() if tensor.ndim == 4 else tensor.T.contiguous()
    return tensor.T.contiguous() if name.endswith(BIAS_TABLE) else tensor


def infer_config(official: Mapping[str, Tensor], num_attention_heads: int | None = None) -> MwmaeConfig:
    """Sizes and windows from weights under official names.

    Raises:
        ValueError: a weight that tells a size is missing, nothing tells the encoder's heads, or the number of
            positions does not fit 80 mel bins.
    """
    try:
        patch_frames, patch_bins, _, hidden_size = official["patch_embed/proj/kernel"].shape
        num_positions = official["pos_embed"].shape[1]
        decoder_hidden_size = official["decoder_embed/kernel"].shape[1]
        intermediate_size, decoder_intermediate_size = (
            official[f"{stack}_block_00/Mlp_0/Dense_0/kernel"].shape[1] for stack in ("encoder", "decoder")
        )
    except KeyError as error:
        raise ValueError(f"the checkpoint lacks {error.args[0]}") from None
    has_class_token = "cls_token" in official
    num_patches, num_frequency = num_positions - has_class_token, NUM_MEL_BINS // patch_bins
    if num_patches % num_frequency:
        raise ValueError(
            f"{num_patches} positions are no grid with {num_frequency} patches along {NUM_MEL_BINS} mel bins"
        )
    heads = num_attention_heads or PUBLISHED_HEADS.get(hidden_size)
    if heads is None:
        raise ValueError(f"no shape tells the attention heads of width {hidden_size}: pass num_attention_heads")
    return MwmaeConfig(
        hidden_size=hidden_size,
        num_hidden_layers=_num_blocks(official, "encoder"),
        num_attention_heads=heads,
        intermediate_size=intermediate_size,
        patch_size=(patch_frames, patch_bins),
        num_mel_bins=NUM_MEL_BINS,
        window_frames=num_patches // num_frequency * patch_frames,
        use_class_token=has_class_token,
        encoder_window_sizes=_windows(official, "encoder", heads),
        decoder_hidden_size=decoder_hidden_size,
        decoder_num_layers=_num_blocks(official, "decoder"),
        decoder_intermediate_size=decoder_intermediate_size,
        decoder_window_sizes=_windows(official, "decoder", len(published_windows(num_patches))),
    )


def _num_blocks(official: Mapping[str, Tensor], stack: str) -> int:
    return len({name.split("/")[0] for name in official if name.startswith(f"{stack}_block_")})


def _windows(official: Mapping[str, Tensor], stack: str, num_heads: int) -> tuple[int, ...]:
    """Windows of a stack's heads, from the tables of its first block; a head without one attends to all tokens.

    Args:
        num_heads: that a stack of this size is published with. Where there are windowed heads behind these, two global
            ones are taken to follow, as in all published models: they leave no trace in a file.
    """
    windows = {}
    for name, tensor in official.items():
        if name.startswith(f"{stack}_block_00/") and name.endswith(BIAS_TABLE):
            head = name.split("/")[-2].removeprefix("attn_heads_")
            windows[int(head)] = (len(tensor) + 1) // 2
    if windows and max(windows) >= num_heads:
        num_heads = max(windows) + 1 + NUM_GLOBAL_HEADS
    return tuple(windows.get(head, 0) for head in range(num_heads))
