"""Makes a family of models known to transformers' Auto classes, and its saved folders loadable elsewhere."""

from __future__ import annotations

import importlib
from typing import cast

import transformers
from transformers import AutoConfig, AutoFeatureExtractor, FeatureExtractionMixin, Pipeline
from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_audio_encoder import AudioEncoderConfig
from .feature_extraction_base import AudioFeatureExtractor


def register_family(config_class: type[AudioEncoderConfig], feature_extractor: type[FeatureExtractionMixin]) -> None:
    """Registers a configuration, its extractor, and its models, all of which `config_class.auto_classes` names.

    The modules that hold the models lie beside that of the configuration. From then on `save_pretrained` of each also
    writes the code that `trust_remote_code=True` loads.

    Raises:
        ImportError, AttributeError: a model that `config_class.auto_classes` names is not there.
    """
    AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
    config_class.register_for_auto_class()
    AutoFeatureExtractor.register(config_class, feature_extractor, exist_ok=True)
    feature_extractor.register_for_auto_class()
    package = config_class.__module__.rpartition(".")[0]
    for auto_class, reference in config_class.auto_classes.items():
        if auto_class == "AutoConfig":
            continue
        module, _, name = reference.rpartition(".")
        model_class = getattr(importlib.import_module(f"{package}.{module}".removeprefix(".")), name)
        getattr(transformers, auto_class).register(config_class, model_class, exist_ok=True)
        model_class.register_for_auto_class(auto_class)


def default_extractor(config: AudioEncoderConfig) -> AudioFeatureExtractor:
    """The extractor of a folder that has none, where the family's published folders have none and all want the same.

    Raises:
        ValueError: a model of another kind, whose extractor nobody can guess.
    """
    if config.published_preset is None:
        raise ValueError(
            f"no feature extractor was found beside this {config.model_type} model: pass `feature_extractor=`, or "
            "save one into its folder"
        )
    extractor_class = cast(type[AudioFeatureExtractor], FEATURE_EXTRACTOR_MAPPING[type(config)])
    extractor = extractor_class.from_preset(config.published_preset, **config.extractor_fields())
    if config.longest_clip is not None:
        extractor.target_length = min(extractor.target_length or config.longest_clip, config.longest_clip)
    return extractor


def register_pipeline(task: str, pipeline_class: type[Pipeline], auto_class: type) -> None:
    """Makes `pipeline(task)` use `pipeline_class` for models of an Auto class. transformers' own tasks stay."""
    PIPELINE_REGISTRY.register_pipeline(task, pipeline_class=pipeline_class, pt_model=(auto_class,), type="audio")
