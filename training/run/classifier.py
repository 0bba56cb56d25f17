"""Classifiers to fine-tune: the encoder of a checkpoint, or a new one, with a new head."""

from __future__ import annotations

from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForAudioClassification, PreTrainedConfig

import modeling_sslam  # noqa: F401  (registers the families)
from training.probes.trained import WeightedLayersClassifier
from training.run.initialize import build_config
from training.settings.finetuning import ClassifierArguments

HEADS = ("own", "weighted_layers")


def read_config(arguments: ClassifierArguments) -> PreTrainedConfig:
    """The configuration of the checkpoint with the fields that the recipe changes, or that of a new model.

    Raises:
        ValueError: neither checkpoint nor family, or both; or a field that the model does not have.
    """
    if arguments.init_from and arguments.model_type:
        raise ValueError(
            f"model.model_type is {arguments.model_type!r}, but model.init_from brings a model: remove one of them"
        )
    if arguments.model_type:
        return build_config(arguments.model_type, arguments.options)
    if not arguments.init_from:
        raise ValueError(
            "model.init_from and model.model_type are empty: name the folder of a pretrained model, or a family to "
            "train from random weights"
        )
    config = AutoConfig.from_pretrained(arguments.init_from)
    if unknown := sorted(name for name in arguments.options if not hasattr(config, name)):
        raise ValueError(f"unknown field of section model: {', '.join(unknown)}; see {type(config).__name__}")
    return type(config)(**(config.to_dict() | arguments.options))


def build_classifier(
    arguments: ClassifierArguments, config: PreTrainedConfig, classes: list[str], multi_label: bool
) -> nn.Module:
    """The encoder of a checkpoint, or a new one, with a new head, its classes written into its configuration.

    Raises:
        ValueError: an unknown head.
    """
    if arguments.head not in HEADS:
        raise ValueError(f"model.head is {arguments.head!r}: choose {' or '.join(HEADS)}")
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: index for index, name in enumerate(classes)}
    config.problem_type = "multi_label_classification" if multi_label else "single_label_classification"
    auto_class = AutoModelForAudioClassification if arguments.head == "own" else AutoModel
    if arguments.init_from:
        model = auto_class.from_pretrained(
            arguments.init_from, config=config, dtype="float32", ignore_mismatched_sizes=True
        )
    else:
        model = auto_class.from_config(config)
    if arguments.head == "weighted_layers":
        model = WeightedLayersClassifier(model, len(classes))
    model.base_model.requires_grad_(not arguments.freeze_encoder)
    return model
