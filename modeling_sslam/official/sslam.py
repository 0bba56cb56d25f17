"""Reads the official SSLAM / EAT checkpoints: two layouts of fairseq (`.pt`), two of the hub (safetensors).

What each holds, and where their norm before the classifier differs, is known from the published files (SSLAM, ICLR
2025; EAT, IJCAI 2024). Sizes are inferred from the shapes of the weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from torch import Tensor

from ..audioset_labels import AUDIOSET_LABELS, audioset_id2label
from ..configuration_eat import EatConfig
from ..configuration_sslam import SslamConfig
from ..feature_extraction_kaldi_fbank import KaldiFbankFeatureExtractor
from ..modeling_sslam import SslamForAudioClassification, SslamForPreTraining, SslamModel, SslamPreTrainedModel
from ..names_sslam import ENCODER_PREFIX
from .file import CONFIG_FILE, OfficialFile, OfficialModel, check_fit
from .sslam_layouts import official_to_ours, split_teacher

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

FAIRSEQ_NAMES = "modality_encoders.IMAGE."
HUB_NAME = "model.pre_norm.weight"


def recognises(file: OfficialFile) -> bool:
    """Whether the names are those of one of the four layouts."""
    return HUB_NAME in file.weights or any(FAIRSEQ_NAMES in name for name in file.weights)


def read(file: OfficialFile, num_attention_heads: int | None = None) -> OfficialModel:
    """The model in a file of any of the four layouts.

    Args:
        num_attention_heads: needed only where neither the file nor its width (768 or 1024) tells it.
    Raises:
        ValueError: unknown or missing names, or shapes that do not fit (all are listed), or unknown heads.
    """
    official_student, official_teacher = split_teacher(file.weights)
    weights = official_to_ours(official_student)
    config = infer_config(weights, _known_fields(file), num_attention_heads)
    model_class = architecture(weights)
    if model_class is SslamModel:
        weights = {name.removeprefix(ENCODER_PREFIX): tensor for name, tensor in weights.items()}
    check_fit(model_class, config, weights)
    teacher = None
    if official_teacher is not None:
        teacher = official_to_ours(official_teacher, prefix="")
        check_fit(SslamModel, config, teacher)
    return OfficialModel(config, model_class, weights, KaldiFbankFeatureExtractor.from_preset("audioset"), teacher)


def _known_fields(file: OfficialFile) -> dict:
    """What the file itself, or a configuration beside it, says of our configuration's fields."""
    if HUB_NAME not in file.weights:
        cfg = file.content.get("cfg")
        return {"classifier_norm_eps": FAIRSEQ_CLASSIFIER_NORM_EPS} | _fairseq_heads(cfg)
    fields = {"classifier_norm_eps": HUB_CLASSIFIER_NORM_EPS}
    config_file = file.path.parent / CONFIG_FILE
    if config_file.is_file():
        config = EatConfig(**json.loads(config_file.read_text()))
        names = ["num_attention_heads", "num_mel_bins", "layer_norm_eps", "classifier_norm_eps"]
        if config.num_labels == len(file.weights.get("model.head.weight", ())):
            names += LABEL_FIELDS
        fields |= {name: getattr(config, name) for name in names}
    return fields


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
    (hidden_size, _, *patch_size), positions, mlp = (student[name].shape for name in SIZE_WEIGHTS)
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
        "patch_size": tuple(patch_size),
        "max_time_patches": positions[1] // (fields["num_mel_bins"] // patch_size[1]),
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
    if "classifier.dense.weight" not in student:
        return {}
    num_labels = len(student["classifier.dense.weight"])
    if num_labels != len(AUDIOSET_LABELS):
        return {"num_labels": num_labels}
    id2label = audioset_id2label()
    label2id = {label: index for index, label in id2label.items()}
    return dict(zip(LABEL_FIELDS, (id2label, label2id, "multi_label_classification"), strict=True))


def architecture(student: Mapping[str, Tensor]) -> type[SslamPreTrainedModel]:
    """The class of ours that has just these weights."""
    if any(name.startswith("classifier.") for name in student):
        return SslamForAudioClassification
    return SslamForPreTraining if any(name.startswith("decoder.") for name in student) else SslamModel
