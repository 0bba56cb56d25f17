"""Reads the official SSLAM / EAT checkpoints: two layouts of fairseq (`.pt`), two of the hub (safetensors).

What each holds, and where their norm before the classifier differs, is known from the published files (SSLAM, ICLR
2025; EAT, IJCAI 2024). Sizes are inferred from the shapes of the weights.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping

import torch
from safetensors.torch import load_file
from torch import Tensor

from .audioset_labels import AUDIOSET_LABELS, audioset_id2label
from .checkpoint_keys import ENCODER_PREFIX, official_to_ours, split_teacher
from .configuration_eat import EatConfig
from .configuration_sslam import SslamConfig
from .modeling_sslam import SslamForAudioClassification, SslamForPreTraining, SslamModel, SslamPreTrainedModel
from .restricted_pickle import load_restricted

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
PICKLE_ENDINGS = (".pt", ".pth", ".bin")

FAIRSEQ_CLASSIFIER_NORM_EPS = 1e-6
HUB_CLASSIFIER_NORM_EPS = 1e-5
LABEL_FIELDS = ("id2label", "label2id", "problem_type")
PUBLISHED_HEADS = {768: 12, 1024: 16}  # width -> attention heads, which no shape tells
# Weights whose shapes tell the sizes: of patches and width, of the position table, of the feed-forward branch.
SIZE_WEIGHTS = (
    "sslam.embeddings.patch_embeddings.projection.weight",
    "sslam.embeddings.position_embeddings",
    "sslam.layers.0.mlp.fc1.weight",
)

# Beginnings of parameter names that people confuse with ours, and what has them.
OTHER_LAYOUTS = {
    "sslam.": "a checkpoint of this package, which loads with from_pretrained as it is",
    "embeddings.class_token": "a checkpoint of this package, which loads with from_pretrained as it is",
    "audio_spectrogram_transformer.": "an Audio Spectrogram Transformer of transformers",
    "module.v.": "an AST or SSAST of the original code",
    "cls_token": "a ViT or AudioMAE of timm",
    "mask_emb": "a wav2vec 2.0 or data2vec of fairseq",
}


@dataclasses.dataclass(frozen=True)
class OfficialCheckpoint:
    """What an official file holds.

    Attributes:
        student: official names, without the teacher.
        teacher: the exponential moving average of a pretraining run, or None.
        known_fields: what the file itself says of our configuration's fields.
    """

    student: dict[str, Tensor]
    teacher: dict[str, Tensor] | None
    known_fields: dict


def load_official(
    path: str | os.PathLike, num_attention_heads: int | None = None
) -> tuple[SslamConfig, dict[str, Tensor], dict[str, Tensor] | None]:
    """Reads any of the four official layouts.

    Args:
        path: a `.pt` file of fairseq, a safetensors file of the hub, or the folder of either.
        num_attention_heads: needed only where neither the file nor its width (768 or 1024) tells it.
    Returns:
        Configuration; weights of the student under the names of `SslamForPreTraining` (without the decoder, where the
        file has none) or `SslamForAudioClassification`; weights of the teacher under those of `SslamModel`, or None.
    Raises:
        ValueError: not one of the layouts; unknown or missing names, or shapes that do not fit (all are listed); a
            pickle that would run code.
    """
    checkpoint = read_official(pathlib.Path(path))
    student = official_to_ours(checkpoint.student)
    config = infer_config(student, checkpoint.known_fields, num_attention_heads)
    model_class = architecture(student)
    check_fit(model_class, config, student, prefix=ENCODER_PREFIX if model_class is SslamModel else "")
    if checkpoint.teacher is None:
        return config, student, None
    teacher = official_to_ours(checkpoint.teacher, prefix="")
    check_fit(SslamModel, config, teacher)
    return config, student, teacher


def read_official(path: pathlib.Path) -> OfficialCheckpoint:
    """Opens a file or folder and says which layout it has. Raises ValueError when it has none."""
    path = _weights_file(path)
    if path.suffix == ".safetensors":
        return _read_hub(load_file(path), path.parent)
    content = load_restricted(path)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a dictionary of weights")
    weights = content.get("model", content)
    if not isinstance(weights, Mapping):
        raise ValueError(f"{path} is no official checkpoint: its entry 'model' is a {type(weights).__name__}")
    student, teacher = split_teacher(weights)
    if any("modality_encoders.IMAGE." in name for name in student):
        fields = {"classifier_norm_eps": FAIRSEQ_CLASSIFIER_NORM_EPS}
        return OfficialCheckpoint(student, teacher, fields | _fairseq_heads(content.get("cfg")))
    return _read_hub(student, path.parent)


def _weights_file(path: pathlib.Path) -> pathlib.Path:
    """The one file of weights that a path means."""
    if path.is_file():
        return path
    if (path / WEIGHTS_FILE).is_file():
        return path / WEIGHTS_FILE
    pickles = [file for file in path.glob("*") if file.suffix in PICKLE_ENDINGS]
    if len(pickles) != 1:
        found = ", ".join(file.name for file in pickles) or "no pickled weights"
        raise ValueError(f"{path} has no {WEIGHTS_FILE}, but {found}: name one file")
    return pickles[0]


def _read_hub(weights: dict[str, Tensor], folder: pathlib.Path) -> OfficialCheckpoint:
    if "model.pre_norm.weight" not in weights:
        raise ValueError(f"not one of the official SSLAM / EAT layouts: {_describe(weights)}")
    fields = {"classifier_norm_eps": HUB_CLASSIFIER_NORM_EPS}
    config_file = folder / CONFIG_FILE
    if config_file.is_file():
        config = EatConfig(**json.loads(config_file.read_text()))
        names = ["num_attention_heads", "num_mel_bins", "layer_norm_eps", "classifier_norm_eps"]
        if config.num_labels == len(weights.get("model.head.weight", ())):
            names += LABEL_FIELDS
        fields |= {name: getattr(config, name) for name in names}
    return OfficialCheckpoint(weights, None, fields)


def _describe(weights: Mapping[str, Tensor]) -> str:
    """Names what a foreign state dictionary looks like."""
    for beginning, description in OTHER_LAYOUTS.items():
        if any(name.startswith(beginning) for name in weights):
            return f"it looks like {description}"
    return f"it holds {', '.join(list(weights)[:3]) or 'nothing'}"


def _fairseq_heads(cfg: object) -> dict:
    """Attention heads from a `cfg` that is a plain dictionary; fine-tuned files hold that of pretraining inside."""
    model = cfg.get("model") if isinstance(cfg, Mapping) else None
    if not isinstance(model, Mapping):
        return {}
    if isinstance(model.get("pretrained_model_args"), Mapping):
        return _fairseq_heads(model["pretrained_model_args"])
    return {"num_attention_heads": model["num_heads"]} if isinstance(model.get("num_heads"), int) else {}


def infer_config(
    student: Mapping[str, Tensor], known_fields: Mapping, num_attention_heads: int | None = None
) -> SslamConfig:
    """Sizes from the shapes of weights under our names.

    Raises:
        ValueError: a weight that tells a size is missing, or nothing tells the number of heads.
    """
    if missing := [name for name in SIZE_WEIGHTS if name not in student]:
        raise ValueError(f"the checkpoint lacks {', '.join(missing)} (our names)")
    (hidden_size, _, patch_size, _), positions, mlp = (student[name].shape for name in SIZE_WEIGHTS)
    fields = {"num_mel_bins": SslamConfig.num_mel_bins} | _label_fields(student) | dict(known_fields)
    heads = num_attention_heads or fields.get("num_attention_heads") or PUBLISHED_HEADS.get(hidden_size)
    if heads is None:
        raise ValueError(f"no shape tells the attention heads of width {hidden_size}: pass num_attention_heads")
    fields |= {
        "hidden_size": hidden_size,
        "num_attention_heads": heads,
        "num_hidden_layers": 1 + max(int(name.split(".")[2]) for name in student if name.startswith("sslam.layers.")),
        "intermediate_size": mlp[0],
        "qkv_bias": "sslam.layers.0.attention.qkv.bias" in student,
        "patch_size": patch_size,
        "max_time_patches": positions[1] // (fields["num_mel_bins"] // patch_size),
    }
    return SslamConfig(**fields, **_decoder_fields(student, hidden_size))


def _decoder_fields(student: Mapping[str, Tensor], hidden_size: int) -> dict:
    first = student.get("decoder.layers.0.conv.weight")
    if first is None:
        return {"decoder_hidden_size": hidden_size}
    width, channels_per_group, kernel_size, _ = first.shape
    return {
        "decoder_hidden_size": width,
        "decoder_num_layers": sum(name.endswith("conv.weight") for name in student),
        "decoder_kernel_size": kernel_size,
        "decoder_groups": hidden_size // channels_per_group,
    }


def _label_fields(student: Mapping[str, Tensor]) -> dict:
    """AudioSet's names and its problem type for 527 outputs; numbered labels for any other."""
    if "classifier.weight" not in student:
        return {}
    num_labels = len(student["classifier.weight"])
    if num_labels != len(AUDIOSET_LABELS):
        return {"num_labels": num_labels}
    id2label = audioset_id2label()
    label2id = {label: index for index, label in id2label.items()}
    return dict(zip(LABEL_FIELDS, (id2label, label2id, "multi_label_classification"), strict=True))


def architecture(student: Mapping[str, Tensor]) -> type[SslamPreTrainedModel]:
    """The class of ours that has just these weights."""
    if any(name.startswith(("norm.", "classifier.")) for name in student):
        return SslamForAudioClassification
    return SslamForPreTraining if any(name.startswith("decoder.") for name in student) else SslamModel


def check_fit(
    model_class: type[SslamPreTrainedModel], config: SslamConfig, weights: Mapping[str, Tensor], prefix: str = ""
) -> None:
    """Raises ValueError listing every missing or surplus name and every shape that a model does not have.

    Args:
        prefix: what `weights` have before the names of the model.
    """
    with torch.device("meta"):
        expected = {prefix + name: tensor.shape for name, tensor in model_class(config).state_dict().items()}
    problems = [f"{name} is missing" for name in expected if name not in weights]
    problems += [f"{name} is unknown" for name in weights if name not in expected]
    problems += [
        f"{name} is {tuple(weights[name].shape)} instead of {tuple(shape)}"
        for name, shape in expected.items()
        if name in weights and weights[name].shape != shape
    ]
    if problems:
        raise ValueError(f"the checkpoint does not fit {model_class.__name__} (our names): {'; '.join(problems)}")
