"""Classifiers to fine-tune: the encoder of a checkpoint with a new head."""

from __future__ import annotations

from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForAudioClassification, PreTrainedConfig

import modeling_sslam  # noqa: F401  (registers the families)
from training.probes.trained import WeightedLayersClassifier
from training.settings.finetuning import ClassifierArguments

HEADS = ("own", "weighted_layers")


def read_config(arguments: ClassifierArguments) -> PreTrainedConfig:
    """The configuration of the checkpoint with the fields that the recipe changes.

    Raises:
        ValueError: no checkpoint, or a field that the model does not have.
    """
    if not arguments.init_from:
        raise ValueError("model.init_from is empty: name the folder of a pretrained model")
    config = AutoConfig.from_pretrained(arguments.init_from)
    if unknown := sorted(name for name in arguments.options if not hasattr(config, name)):
        raise ValueError(f"unknown field of section model: {', '.join(unknown)}; see {type(config).__name__}")
    return type(config)(**(config.to_dict() | arguments.options))


def build_classifier(
    arguments: ClassifierArguments, config: PreTrainedConfig, classes: list[str], multi_label: bool
) -> nn.Module:
    """The encoder of a checkpoint with a new head, its classes written into its configuration.

    Raises:
        ValueError: an unknown head.
    """
    if arguments.head not in HEADS:
        raise ValueError(f"model.head is {arguments.head!r}: choose {' or '.join(HEADS)}")
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: index for index, name in enumerate(classes)}
    config.problem_type = "multi_label_classification" if multi_label else "single_label_classification"
    auto_class = AutoModelForAudioClassification if arguments.head == "own" else AutoModel
    model = auto_class.from_pretrained(
        arguments.init_from, config=config, dtype="float32", ignore_mismatched_sizes=True
    )
    if arguments.head == "weighted_layers":
        model = WeightedLayersClassifier(model, len(classes))
    model.base_model.requires_grad_(not arguments.freeze_encoder)
    return model
