# Copyright 2026 The modeling_sslam authors. MIT licence.
"""Configuration of the official EAT / SSLAM hub repositories (`model_type` "eat"): their field names, our fields."""

from __future__ import annotations

from huggingface_hub.dataclasses import strict

from .audioset_labels import AUDIOSET_LABELS, audioset_id2label
from .configuration_sslam import SslamConfig

MODEL_VARIANTS = ("pretrain", "finetune")

# field of the hub's config.json -> field of ours
RENAMED_FIELDS = {
    "embed_dim": "hidden_size",
    "depth": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "patch_size": "patch_size",
    "mel_bins": "num_mel_bins",
    "max_length": "max_time_patches",
    "qkv_bias": "qkv_bias",
    "norm_eps": "layer_norm_eps",
    "end_drop_path_rate": "drop_path_rate",
}
# Options of the hub's code that every release leaves at this value; our encoder has no other.
FIXED_FIELDS = {
    "in_chans": 1,
    "drop_rate": 0.0,
    "attn_drop_rate": 0.0,
    "activation_dropout": 0.0,
    "post_mlp_drop": 0.0,
    "start_drop_path_rate": 0.0,
    "layer_norm_first": False,
    "norm_affine": True,
    "fixed_positions": True,
}


@strict
class EatConfig(SslamConfig):
    r"""
    `SslamConfig` that also understands the fields of a hub `config.json` (`embed_dim`, `depth`, `num_heads`, ...).

    The hub's classifier normalises with eps 1e-5, and ships no labels: with 527 classes AudioSet's are attached.

    Args:
        model_variant: "pretrain" (encoder only) or "finetune" (encoder and classifier).
        mlp_ratio, num_classes, and the keys of `RENAMED_FIELDS`: hub names, translated when the object is built.

    Raises:
        ValueError: an option of the hub's code that no release uses and our encoder does not have.
    """

    model_type = "eat"
    auto_classes = {
        "AutoConfig": "configuration_eat.EatConfig",
        "AutoModel": "modeling_eat.EatModel",
        "AutoModelForAudioClassification": "modeling_eat.EatForAudioClassification",
        "AutoModelForAudioFrameClassification": "modeling_eat.EatForAudioFrameClassification",
    }

    published_preset = "audioset"

    model_variant: str = "pretrain"
    classifier_norm_eps: float = 1e-5

    def __post_init__(self, **kwargs):
        self._refuse_unknown_architectures(kwargs)
        if {"embed_dim", "mlp_ratio"} & kwargs.keys():
            width = kwargs.get("embed_dim", self.hidden_size)
            self.intermediate_size = int(width * kwargs.pop("mlp_ratio", 4.0))
        for hub_name in RENAMED_FIELDS.keys() & kwargs.keys():
            setattr(self, RENAMED_FIELDS[hub_name], kwargs.pop(hub_name))
        num_classes = kwargs.pop("num_classes", None)
        if num_classes is not None and self.id2label is None:
            kwargs.setdefault("num_labels", num_classes)
            self._attach_audioset_labels(kwargs["num_labels"])
        super().__post_init__(**kwargs)

    def _refuse_unknown_architectures(self, kwargs: dict) -> None:
        if self.model_variant not in MODEL_VARIANTS:
            raise ValueError(f"model_variant is {self.model_variant!r}: choose one of {', '.join(MODEL_VARIANTS)}")
        fixed = FIXED_FIELDS | {"stride": kwargs.get("patch_size", self.patch_size)}
        for name, supported in fixed.items():
            value = kwargs.pop(name, supported)
            if value != supported:
                raise ValueError(f"{name} is {value!r}: the encoder supports only {supported!r}, as every release has")
        kwargs.pop("img_size", None)  # says which clip length was trained; any length works

    def _attach_audioset_labels(self, num_labels: int) -> None:
        if num_labels != len(AUDIOSET_LABELS):
            return
        self.id2label = audioset_id2label()
        self.label2id = {label: index for index, label in self.id2label.items()}
        self.problem_type = self.problem_type or "multi_label_classification"


def to_hub_config(config: SslamConfig, variant: str) -> dict:
    """The hub's `config.json` for one of our configurations, the inverse of `EatConfig(**fields)`.

    Labels and the eps before the classifier, which the hub's own code does not read, come along.
    """
    labels = {name: getattr(config, name) for name in ("id2label", "label2id", "problem_type", "classifier_norm_eps")}
    fields = {hub_name: getattr(config, name) for hub_name, name in RENAMED_FIELDS.items()}
    side, _ = config.patch_size  # the hub's code knows squares only
    return {
        "model_type": EatConfig.model_type,
        "architectures": ["EATModel"],
        "auto_map": {"AutoConfig": "configuration_eat.EATConfig", "AutoModel": "modeling_eat.EATModel"},
        "model_variant": variant,
        "num_classes": config.num_labels,
        "mlp_ratio": config.intermediate_size / config.hidden_size,
        **fields,
        "patch_size": side,
        "stride": side,
        **FIXED_FIELDS,
        **(labels if variant == "finetune" else {}),
    }


__all__ = ["EatConfig"]
