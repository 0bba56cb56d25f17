"""Makes a family of models known to transformers' Auto classes, and its saved folders loadable elsewhere."""

from __future__ import annotations

import importlib

import transformers
from transformers import AutoConfig, AutoFeatureExtractor, FeatureExtractionMixin, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_audio_encoder import AudioEncoderConfig


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


def register_pipeline(task: str, pipeline_class: type[Pipeline], auto_class: type) -> None:
    """Makes `pipeline(task)` use `pipeline_class` for models of an Auto class. transformers' own tasks stay."""
    PIPELINE_REGISTRY.register_pipeline(task, pipeline_class=pipeline_class, pt_model=(auto_class,), type="audio")
