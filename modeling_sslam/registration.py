"""Makes a family of models known to transformers' Auto classes, and its saved folders loadable elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

import transformers
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    FeatureExtractionMixin,
    Pipeline,
    PreTrainedModel,
)
from transformers.pipelines import PIPELINE_REGISTRY


def register_family(
    config_class: type,
    models: Iterable[type[PreTrainedModel]],
    feature_extractor: type[FeatureExtractionMixin],
) -> None:
    """Registers a configuration, its extractor, and its models under the Auto classes of `config_class.auto_classes`.

    From then on `save_pretrained` of each also writes the code that `trust_remote_code=True` loads.

    Raises:
        KeyError: a model that `config_class.auto_classes` does not name.
    """
    AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
    config_class.register_for_auto_class()
    AutoFeatureExtractor.register(config_class, feature_extractor, exist_ok=True)
    feature_extractor.register_for_auto_class()
    auto_class_of = {reference: name for name, reference in config_class.auto_classes.items()}
    for model_class in models:
        auto_class = auto_class_of[f"{model_class.__module__.rpartition('.')[2]}.{model_class.__name__}"]
        getattr(transformers, auto_class).register(config_class, model_class, exist_ok=True)
        model_class.register_for_auto_class(auto_class)


def register_pipeline(task: str, pipeline_class: type[Pipeline]) -> None:
    """Makes `pipeline(task)` use `pipeline_class` for audio classifiers. transformers' own tasks stay as they are."""
    PIPELINE_REGISTRY.register_pipeline(
        task, pipeline_class=pipeline_class, pt_model=(AutoModelForAudioClassification,), type="audio"
    )
