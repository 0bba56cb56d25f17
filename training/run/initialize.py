"""Model and feature extractor at the start of a run; the model newly drawn, or from a checkpoint, ours or official."""

from __future__ import annotations

import dataclasses
import json
import logging
import pathlib

from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForPreTraining,
    PreTrainedConfig,
    PreTrainedModel,
    SequenceFeatureExtractor,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING

import modeling_sslam  # noqa: F401  (registers the families)
from modeling_sslam.official.checkpoints import load_official
from training.run.checkpoint import TEACHER_FILE
from training.settings.data import ClipArguments
from training.settings.pretraining import ModelArguments

logger = logging.getLogger(__name__)

TeacherWeights = dict[str, Tensor] | None


def build_feature_extractor(data: ClipArguments, config: PreTrainedConfig) -> SequenceFeatureExtractor:
    """What turns waveforms into the model's input, in training as later in use: the extractor of the model's family.

    An extractor without statistics of a data set, which needs no length, gets none from random crops: whole clips are
    to be heard later.

    Raises:
        ValueError: statistics for a family that standardises every clip by itself.
    """
    extractor_class = FEATURE_EXTRACTOR_MAPPING[type(config)]
    statistics = {name: value for name, value in (("mean", data.mean), ("std", data.std)) if value is not None}
    if unknown := [name for name in statistics if name not in extractor_class.statistics]:
        raise ValueError(
            f"data.{' and data.'.join(unknown)}: {config.model_type} standardises every clip by itself, remove them"
        )
    hears_whole_clips = data.crops_anywhere and not extractor_class.statistics
    fields = {
        "sampling_rate": data.sampling_rate,
        "target_length": None if hears_whole_clips else data.target_length,
        **config.extractor_fields(),
        **statistics,
    }
    if extractor_class.PRESETS:
        return extractor_class.from_preset(data.normalization, **fields)
    return extractor_class(**fields)


def find_config_class(model_type: str, options: dict) -> type[PreTrainedConfig]:
    """The configuration class of a family, which has all fields in `options`.

    Raises:
        ValueError: unknown family or field.
    """
    if model_type not in CONFIG_MAPPING:
        raise ValueError(f"model.model_type is {model_type!r}, which no registered family has")
    config_class = CONFIG_MAPPING[model_type]
    of_every_model = {field.name for field in dataclasses.fields(PreTrainedConfig)}
    known = [field.name for field in dataclasses.fields(config_class) if field.name not in of_every_model]
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"unknown field of section model: {', '.join(unknown)}; known: {', '.join(known)}")
    return config_class


def build_config(model_type: str, options: dict) -> PreTrainedConfig:
    """The configuration of a new model of a family, with some of its fields; raises ValueError as above."""
    return find_config_class(model_type, options)(**options)


def build_model(
    arguments: ModelArguments, resume_from: pathlib.Path | None = None
) -> tuple[PreTrainedModel, TeacherWeights]:
    """The model to train, on the CPU, and weights for its teacher, None where that starts as the student's copy.

    Args:
        arguments: section `model` of the recipe. Its options replace those of the checkpoint in `init_from`.
        resume_from: checkpoint that will be loaded into the model; only its sizes are taken here.
    Raises:
        ValueError: unknown family or field, or weights that do not fit.
    """
    if resume_from is not None:
        return AutoModelForPreTraining.from_config(AutoConfig.from_pretrained(resume_from)), None
    if arguments.init_from is None:
        return AutoModelForPreTraining.from_config(build_config(arguments.model_type, arguments.options)), None
    find_config_class(arguments.model_type, arguments.options)
    source = pathlib.Path(arguments.init_from)
    if not source.exists():
        raise ValueError(f"model.init_from is {arguments.init_from!r}: there is no such file or folder")
    load = _load_ours if _is_ours(source, arguments.model_type) else _load_official
    model, teacher_weights = load(source, arguments.options)
    logger.info("weights from %s, teacher %s", source, "too" if teacher_weights else "starts as a copy of the student")
    return model, teacher_weights


def _is_ours(source: pathlib.Path, model_type: str) -> bool:
    config = source / "config.json"
    return config.exists() and json.loads(config.read_text()).get("model_type") == model_type


def _load_ours(source: pathlib.Path, options: dict) -> tuple[PreTrainedModel, TeacherWeights]:
    """From a checkpoint folder of a pretraining run, or a `save_pretrained` folder, which has no teacher."""
    config = _updated(AutoConfig.from_pretrained(source), options)
    model = AutoModelForPreTraining.from_pretrained(source, config=config, dtype="float32")
    teacher = source / TEACHER_FILE
    return model, load_file(teacher) if teacher.exists() else None


def _load_official(source: pathlib.Path, options: dict) -> tuple[PreTrainedModel, TeacherWeights]:
    """From an official file or folder. Where it has only the encoder, decoder or heads are newly drawn."""
    official = load_official(source)
    model = AutoModelForPreTraining.from_config(_updated(official.config, options))
    prefix = f"{model.base_model_prefix}."
    is_encoder = official.model_class is type(model.base_model)
    weights = {prefix * is_encoder + name: tensor for name, tensor in official.weights.items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    lost = [name for name in missing if name.startswith(prefix)] + unexpected
    if lost:
        raise ValueError(f"{source} does not fit a model for pretraining: {', '.join(lost)}")
    if missing:
        logger.warning("%s has only the encoder; newly drawn: %s", source, ", ".join(missing))
    return model, official.teacher


def _updated(config: PreTrainedConfig, options: dict) -> PreTrainedConfig:
    return type(config)(**(config.to_dict() | options))
