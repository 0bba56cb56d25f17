"""Reads the official checkpoints of GISE-51's networks: `.pth`, a plain state dict, and the `.ckpt` of Lightning.

The architecture is inferred from names and numbers of blocks; all are as wide as published. A classifier may have any
number of classes; one of 51 has the vocabulary of GISE-51.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Callable, Mapping

from torch import Tensor

from ..configuration_spectrogram_cnn import (
    CIFAR_RESNET,
    DENSENET,
    EFFICIENTNET,
    RESNET,
    SpectrogramCnnConfig,
    kind_and_size,
)
from ..feature_extraction_linear_spectrogram import LinearSpectrogramFeatureExtractor
from ..gise51_labels import GISE51_LABELS
from ..layers_densenet import DEPTHS as DENSENET_DEPTHS
from ..layers_efficientnet import SCALES as EFFICIENTNET_SCALES
from ..layers_resnet import DEPTHS as RESNET_DEPTHS
from ..modeling_spectrogram_cnn import SpectrogramCnnForAudioClassification
from .file import OfficialFile, OfficialModel, check_fit

LIGHTNING_WEIGHTS, LIGHTNING_PREFIX = "state_dict", "net."
# Name of the first convolution and of the classifier, which only this kind of network has together -> the kind.
MARKS = {
    ("conv1.weight", "fc.weight"): RESNET,
    ("conv1.weight", "linear.weight"): CIFAR_RESNET,
    ("features.conv0.weight", "classifier.weight"): DENSENET,
    ("_conv_stem.weight", "_fc.weight"): EFFICIENTNET,
}
# Networks of a kind that a file may hold, by their full names.
CANDIDATES = {
    RESNET: [f"{RESNET}{depth}" for depth in RESNET_DEPTHS],
    DENSENET: [f"{DENSENET}{depth}" for depth in DENSENET_DEPTHS],
    EFFICIENTNET: [f"{EFFICIENTNET}-{size}" for size in EFFICIENTNET_SCALES],
}
# A block of any of the networks, up to its number within the stage or within the network.
BLOCK = re.compile(r"(layer\d\.\d+|features\.denseblock\d\.denselayer\d+|_blocks\.\d+)\.")
# Numbers of classes of the data sets whose clips have several: the mixtures of GISE-51, and AudioSet.
MULTI_LABEL_CLASSES = (len(GISE51_LABELS), 527)

Rows = tuple[tuple[str, Callable[..., str]], ...]

EFFICIENTNET_PARTS = {
    "_expand_conv": "expansion.convolution",
    "_bn0": "expansion.normalization",
    "_depthwise_conv": "depthwise.convolution",
    "_bn1": "depthwise.normalization",
    "_se_reduce": "gate.reduce",
    "_se_expand": "gate.expand",
    "_project_conv": "projection.convolution",
    "_bn2": "projection.normalization",
}


def recognises(file: OfficialFile) -> bool:
    """Whether the weights are those of one of these networks, with one input channel."""
    weights = official_weights(file.content)
    first = next((weights[first] for first, _ in _marks(weights)), None)
    return isinstance(first, Tensor) and first.ndim == 4 and first.shape[1] == 1


def read(file: OfficialFile, num_attention_heads: int | None = None) -> OfficialModel:
    """The classifier of a file.

    Args:
        num_attention_heads: has no meaning for these networks.
    Raises:
        ValueError: no published architecture; unknown or missing names, or shapes that do not fit (all are listed).
    """
    official = official_weights(file.content)
    config = infer_config(official)
    weights = to_ours(config, official)
    check_fit(SpectrogramCnnForAudioClassification, config, weights)
    return OfficialModel(config, SpectrogramCnnForAudioClassification, weights, LinearSpectrogramFeatureExtractor())


def official_weights(content: Mapping) -> dict[str, Tensor]:
    """The weights of a plain state dict, or of a Lightning checkpoint."""
    if LIGHTNING_WEIGHTS not in content:
        return dict(content)
    weights = content[LIGHTNING_WEIGHTS]
    return {
        name.removeprefix(LIGHTNING_PREFIX): tensor
        for name, tensor in weights.items()
        if name.startswith(LIGHTNING_PREFIX)
    }


def _marks(official: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    return [names for names in MARKS if all(name in official for name in names)]


def infer_config(official: Mapping[str, Tensor]) -> SpectrogramCnnConfig:
    """The configuration of weights under official names.

    Raises:
        ValueError: no published architecture.
    """
    names = _marks(official)[0]
    num_classes, hidden_size = official[names[1]].shape
    fields = {"architecture": _architecture(MARKS[names], official, hidden_size), "num_labels": num_classes}
    if num_classes == len(GISE51_LABELS):
        fields["id2label"] = dict(enumerate(GISE51_LABELS))
        fields["label2id"] = {label: index for index, label in enumerate(GISE51_LABELS)}
    if num_classes in MULTI_LABEL_CLASSES:
        fields["problem_type"] = "multi_label_classification"
    return SpectrogramCnnConfig(**fields)


def _architecture(kind: str, official: Mapping[str, Tensor], hidden_size: int) -> str:
    """The network of a kind that has so many blocks and channels; both together tell all published ones apart."""
    num_blocks = len({match[1] for name in official if (match := BLOCK.match(name))})
    candidates = CANDIDATES[kind] if kind in CANDIDATES else [f"{kind}{2 * num_blocks + 2}"]
    for architecture in candidates:
        sizes = SpectrogramCnnConfig(architecture=architecture).sizes
        if (sum(sizes.depths), sizes.channels[-1]) == (num_blocks, hidden_size):
            return architecture
    raise ValueError(
        f"no published {kind} has {num_blocks} blocks and {hidden_size} channels in the end: expected one of "
        f"{', '.join(candidates)}"
    )


def to_ours(config: SpectrogramCnnConfig, official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under our names.

    Raises:
        ValueError: names that belong to no layer; all of them are listed.
    """
    names = {name: our_name(config, name) for name in official}
    if unknown := [name for name, ours in names.items() if ours is None]:
        raise ValueError(f"{len(unknown)} names belong to no layer of {config.architecture}: {', '.join(unknown)}")
    return {ours: official[name] for name, ours in names.items()}


def our_name(config: SpectrogramCnnConfig, official: str) -> str | None:
    """Our name of a layer of the official code, or of a weight of it; None for what belongs to no layer."""
    kind, _ = kind_and_size(config.architecture)
    rows = {DENSENET: densenet_rows, EFFICIENTNET: efficientnet_rows}.get(kind, resnet_rows)
    for pattern, ours in rows(config.sizes.depths):
        if match := re.fullmatch(rf"{pattern}((?:\.[a-z_]+)?)", official):
            *groups, ending = match.groups()
            return ours(*groups) + ending
    return None


def block_name(stage: int | str, block: int | str) -> str:
    """Our name of a block; stages are counted from 1, as in most of the official names, blocks from 0."""
    return f"encoder.layers.{int(stage) - 1}.blocks.{block}"


def resnet_rows(depths: tuple[int, ...]) -> Rows:
    """Layers of ResNets and CIFAR-ResNets: an official name, and ours made of its groups."""
    block = r"layer(\d)\.(\d+)"
    parts = {"conv": "convolution", "bn": "normalization"}
    shortcut = ("convolution", "normalization")
    return (
        ("conv1", lambda: "encoder.stem.embedder.convolution"),
        ("bn1", lambda: "encoder.stem.embedder.normalization"),
        (
            rf"{block}\.(conv|bn)(\d)",
            lambda stage, number, part, layer: f"{block_name(stage, number)}.layer.{int(layer) - 1}.{parts[part]}",
        ),
        (
            rf"{block}\.downsample\.([01])",
            lambda stage, number, part: f"{block_name(stage, number)}.shortcut.{shortcut[int(part)]}",
        ),
        ("(?:fc|linear)", lambda: "classifier.dense"),
    )


def densenet_rows(depths: tuple[int, ...]) -> Rows:
    """The same of DenseNets, which also count blocks from 1; a transition belongs to the stage behind it."""
    return (
        (r"features\.conv0", lambda: "encoder.stem.embedder.convolution"),
        (r"features\.norm0", lambda: "encoder.stem.embedder.normalization"),
        (
            r"features\.denseblock(\d)\.denselayer(\d+)\.((?:norm|conv)\d)",
            lambda stage, number, part: f"{block_name(stage, int(number) - 1)}.{part}",
        ),
        (r"features\.transition(\d)\.(norm|conv)", lambda stage, part: f"encoder.layers.{stage}.transition.{part}"),
        (r"features\.norm5", lambda: f"encoder.layers.{len(depths) - 1}.head.norm"),
        ("classifier", lambda: "classifier.dense"),
    )


def efficientnet_rows(depths: tuple[int, ...]) -> Rows:
    """The same of EfficientNets, whose blocks are counted through all stages."""
    ends = list(itertools.accumulate(depths))
    head = f"encoder.layers.{len(depths) - 1}.head"

    def block(number: str) -> str:
        stage = bisect.bisect_right(ends, int(number))
        return block_name(stage + 1, int(number) - ends[stage] + depths[stage])

    return (
        ("_conv_stem", lambda: "encoder.stem.convolution"),
        ("_bn0", lambda: "encoder.stem.normalization"),
        (
            rf"_blocks\.(\d+)\.({'|'.join(EFFICIENTNET_PARTS)})",
            lambda number, part: f"{block(number)}.{EFFICIENTNET_PARTS[part]}",
        ),
        ("_conv_head", lambda: f"{head}.convolution"),
        ("_bn1", lambda: f"{head}.normalization"),
        ("_fc", lambda: "classifier.dense"),
    )
