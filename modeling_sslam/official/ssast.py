"""Reads the official SSAST checkpoints (Gong et al., AAAI 2022), pretrained or fine-tuned, `module.` in front or not.

The reference needs the pretraining file to load fine-tuned weights; here either file is enough. Only the two heads of
ImageNet's classes, which are random values that nothing uses, are left out. Sizes are inferred from the shapes.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..configuration_ssast import SsastConfig
from ..feature_extraction_kaldi_fbank import NORMALIZATION_PRESETS, KaldiFbankFeatureExtractor
from ..modeling_ssast import SsastForAudioClassification, SsastForPreTraining
from .file import OfficialFile, OfficialModel, check_fit, rename_weights

PREFIX = "module."
MARK = "v.dist_token"
UNUSED = ("v.head.", "v.head_dist.")
INPUT_BINS, INPUT_FRAMES = "p_input_fdim", "p_input_tdim"
CLASSIFIER = "mlp_head.1.weight"
POSITIONS = "v.pos_embed"
PATCHES = "v.patch_embed.proj.weight"
PUBLISHED_HEAD_SIZE = 64
PUBLISHED_BINS = 128
# Strides that the published fine-tuning uses for patch and for frame models: no shape tells them.
PATCH_STRIDE, FRAME_STRIDE = 10, 1

# (official name, our name); `#` is the number of a block. A name may be followed by `.weight` or `.bias`.
NAMES = (
    ("v.cls_token", "ssast.embeddings.class_token"),
    (MARK, "ssast.embeddings.distillation_token"),
    (POSITIONS, "ssast.embeddings.position_embeddings"),
    ("v.patch_embed.proj", "ssast.embeddings.patch_embeddings.projection"),
    ("v.blocks.#.norm1", "ssast.layers.#.norm1"),
    ("v.blocks.#.attn.qkv", "ssast.layers.#.attention.qkv"),
    ("v.blocks.#.attn.proj", "ssast.layers.#.attention.out_proj"),
    ("v.blocks.#.norm2", "ssast.layers.#.norm2"),
    ("v.blocks.#.mlp.fc1", "ssast.layers.#.mlp.fc1"),
    ("v.blocks.#.mlp.fc2", "ssast.layers.#.mlp.fc2"),
    ("v.norm", "ssast.norm"),
    ("mask_embed", "mask_token"),
    ("cpredlayer.0", "discriminative_head.dense"),
    ("cpredlayer.2", "discriminative_head.output"),
    ("gpredlayer.0", "generative_head.dense"),
    ("gpredlayer.2", "generative_head.output"),
    ("mlp_head.0", "classifier.norm"),
    ("mlp_head.1", "classifier.dense"),
)


def recognises(file: OfficialFile) -> bool:
    """Whether the names are those of SSAST (or of AST fine-tuned by the same authors, which is the same model)."""
    return MARK in file.weights or PREFIX + MARK in file.weights


def read(file: OfficialFile, num_attention_heads: int | None = None) -> OfficialModel:
    """The model in a file.

    A fine-tuned file does not say its stride. It is taken for the published one: 10 frames and bins for patch models,
    one frame for frame models; if patch models then have no whole number of time steps, their patches do not overlap.

    Args:
        num_attention_heads: needed only for models whose heads do not have the published 64 channels.
    Raises:
        ValueError: unknown or missing names, or shapes that do not fit (all are listed), unknown heads, or positions
            for no known stride.
    """
    weights = {name.removeprefix(PREFIX): tensor for name, tensor in file.weights.items()}
    model_class = SsastForAudioClassification if CLASSIFIER in weights else SsastForPreTraining
    config = infer_config(weights, num_attention_heads)
    ours = official_to_ours(weights, config.patch_size)
    check_fit(model_class, config, ours)
    return OfficialModel(config, model_class, ours, feature_extractor(config))


def official_to_ours(weights: Mapping[str, Tensor], patch_size: tuple[int, int]) -> dict[str, Tensor]:
    """Official weights without `module.` under our names and in our order of pixels.

    Args:
        patch_size: (frames, mel bins). Inside a patch the official code goes through the frames of the lowest bin
            first; ours goes through the bins of the first frame first, as tokens and spectrograms do.
    Raises:
        ValueError: unknown names; all of them are listed.
    """
    kept = {
        name: tensor
        for name, tensor in weights.items()
        if not name.startswith(UNUSED) and name not in (INPUT_BINS, INPUT_FRAMES)
    }
    ours = rename_weights(kept, NAMES)
    for name, tensor in ours.items():
        if name.endswith("patch_embeddings.projection.weight"):
            ours[name] = tensor.transpose(2, 3).contiguous()
        elif "_head.output." in name:
            ours[name] = tensor.unflatten(0, patch_size[::-1]).transpose(0, 1).flatten(0, 1).contiguous()
    return ours


def infer_config(weights: Mapping[str, Tensor], num_attention_heads: int | None = None) -> SsastConfig:
    """Sizes from the shapes of official weights without `module.`.

    Raises:
        ValueError: a weight that tells a size is missing, or nothing tells the number of heads.
    """
    if missing := [name for name in (PATCHES, POSITIONS, "v.blocks.0.mlp.fc1.weight") if name not in weights]:
        raise ValueError(f"the checkpoint lacks {', '.join(missing)}")
    hidden_size, _, patch_bins, patch_frames = weights[PATCHES].shape
    if num_attention_heads is None and hidden_size % PUBLISHED_HEAD_SIZE:
        raise ValueError(f"no shape tells the attention heads of width {hidden_size}: pass num_attention_heads")
    fields = {
        "hidden_size": hidden_size,
        "num_hidden_layers": len({name.split(".")[2] for name in weights if name.startswith("v.blocks.")}),
        "num_attention_heads": num_attention_heads or hidden_size // PUBLISHED_HEAD_SIZE,
        "intermediate_size": len(weights["v.blocks.0.mlp.fc1.weight"]),
        "qkv_bias": "v.blocks.0.attn.qkv.bias" in weights,
        "patch_size": (patch_frames, patch_bins),
    }
    if CLASSIFIER in weights:
        fields["num_labels"] = len(weights[CLASSIFIER])
    return SsastConfig(**fields, **_grid(weights, (patch_frames, patch_bins)))


def _grid(weights: Mapping[str, Tensor], patch_size: tuple[int, int]) -> dict:
    """Mel bins, stride, and the grid of the position table."""
    num_patches = weights[POSITIONS].shape[1] - 2
    if INPUT_BINS in weights:
        bins, strides = int(weights[INPUT_BINS]), [patch_size]
    else:
        bins = max(PUBLISHED_BINS, patch_size[1])
        is_frame = patch_size[1] == bins
        strides = [(FRAME_STRIDE, bins) if is_frame else (PATCH_STRIDE, PATCH_STRIDE), patch_size]
    all_rows = [(bins - patch_size[1]) // stride[1] + 1 for stride in strides]
    for stride, rows in zip(strides, all_rows, strict=True):
        if num_patches % rows == 0:
            return {"num_mel_bins": bins, "patch_stride": stride, "position_grid": (num_patches // rows, rows)}
    numbers = " or ".join(map(str, all_rows))
    raise ValueError(f"{POSITIONS} has {num_patches} patches, which {numbers} frequency patches do not divide")


def feature_extractor(config: SsastConfig) -> KaldiFbankFeatureExtractor:
    """With the statistics of pretraining, and those of the data set whose published clips have as many time steps."""
    for preset in ("ssast_audioset", "ssast_esc50", "ssast_speech_commands_v2"):
        frames = NORMALIZATION_PRESETS[preset]["target_length"]
        if config.num_steps(frames) == config.position_grid[0]:
            return KaldiFbankFeatureExtractor.from_preset(preset, num_mel_bins=config.num_mel_bins)
    frames = config.frames_of(config.position_grid[0])
    return KaldiFbankFeatureExtractor.from_preset(
        "ssast_audioset", num_mel_bins=config.num_mel_bins, target_length=frames
    )
