"""Classifiers to fine-tune: the encoder of a checkpoint, or a new one, with a new head."""

from __future__ import annotations

import logging
import pathlib

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForAudioClassification, PreTrainedConfig, PreTrainedModel
from transformers.utils import CONFIG_NAME

import modeling_sslam  # noqa: F401  (registers the families)
from modeling_sslam.official.checkpoints import load_official
from modeling_sslam.official.file import PICKLE_ENDINGS
from training.probes.trained import WeightedLayersClassifier
from training.run.initialize import build_config
from training.settings.finetuning import ClassifierArguments

logger = logging.getLogger(__name__)

HEADS = ("own", "weighted_layers")
WEIGHT_ENDINGS = (*PICKLE_ENDINGS, ".safetensors")  # of files that are not there, which are no repositories either


def read_config(arguments: ClassifierArguments) -> PreTrainedConfig:
    """The configuration of the checkpoint with the fields that the recipe changes, or that of a new model.

    Differs from the official code of GISE-51: a checkpoint that is not there is an error, not random weights.

    Raises:
        ValueError: neither checkpoint nor family, or both; a checkpoint that is not there, or an official file of no
            known layout; or a field that the model does not have.
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
    config = _config_of(arguments.init_from)
    if unknown := sorted(name for name in arguments.options if not hasattr(config, name)):
        raise ValueError(f"unknown field of section model: {', '.join(unknown)}; see {type(config).__name__}")
    return type(config)(**(config.to_dict() | arguments.options))


def build_classifier(
    arguments: ClassifierArguments, config: PreTrainedConfig, classes: list[str], multi_label: bool
) -> nn.Module:
    """The encoder of a checkpoint, or a new one, with a new head, its classes written into its configuration.

    The head is new also where the checkpoint is a classifier of as many classes.

    Raises:
        ValueError: an unknown head, or an encoder that the recipe changes into one without these weights.
    """
    if arguments.head not in HEADS:
        raise ValueError(f"model.head is {arguments.head!r}: choose {' or '.join(HEADS)}")
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: index for index, name in enumerate(classes)}
    config.problem_type = "multi_label_classification" if multi_label else "single_label_classification"
    auto_class = AutoModelForAudioClassification if arguments.head == "own" else AutoModel
    model = auto_class.from_config(config)
    if _is_official(arguments.init_from):
        _load_official_encoder(model, arguments.init_from)
    elif arguments.init_from:
        _load_encoder(model, arguments.init_from)
    if arguments.head == "weighted_layers":
        model = WeightedLayersClassifier(model, len(classes))
    model.base_model.requires_grad_(not arguments.freeze_encoder)
    return model


def _config_of(source: str) -> PreTrainedConfig:
    """The configuration of an official checkpoint, of a folder of ours, or of a repository on the hub; see above."""
    if _is_official(source):
        return load_official(source).config
    if pathlib.Path(source).suffix in WEIGHT_ENDINGS and not pathlib.Path(source).exists():
        raise ValueError(f"model.init_from is {source!r}: there is no such file")
    try:
        return AutoConfig.from_pretrained(source)
    except OSError as error:
        raise ValueError(f"model.init_from is {source!r}: there is no such file, folder or repository") from error


def _is_official(source: str) -> bool:
    """Whether a checkpoint is an official file, or a folder with one, instead of a folder of `save_pretrained`."""
    path = pathlib.Path(source)
    return bool(source) and path.exists() and not (path / CONFIG_NAME).is_file()


def _load_official_encoder(model: PreTrainedModel, source: str) -> None:
    """Gives a model the encoder of an official checkpoint; what else that has is left out."""
    official, encoder = load_official(source), model.base_model
    weights, prefix = official.weights, f"{encoder.base_model_prefix}."
    if official.model_class is not type(encoder):
        weights = {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
    _fill_encoder(model, weights, source)


def _load_encoder(model: PreTrainedModel, source: str) -> None:
    """Gives a model the encoder of a folder of ours, or of a repository on the hub; what else that has is left out."""
    encoder, report = AutoModel.from_pretrained(
        source, config=model.config, dtype="float32", output_loading_info=True, ignore_mismatched_sizes=True
    )
    newly_drawn = {*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])}
    weights = {name: weight for name, weight in encoder.state_dict().items() if name not in newly_drawn}
    _fill_encoder(model, weights, source)


def _fill_encoder(model: PreTrainedModel, weights: dict[str, Tensor], source: str) -> None:
    try:
        model.base_model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"the encoder of {source} does not fit the fields of section model: {error}") from error
    logger.info("encoder from %s, a new classifier", source)
