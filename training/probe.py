"""Probes of a frozen encoder: how much of the labels a small classifier finds in its features.

    python -m training.probe --model outputs/model --data clips.csv data.label_column=category \
        data.filters='{fold: [1, 2, 3]}' evaluation.filters='{fold: [4]}'

Features are computed once, and every probe is trained on the same ones. The baseline is the same model with random
weights.
"""

from __future__ import annotations

import copy
import dataclasses
import json

import torch
from transformers import AutoFeatureExtractor, AutoModel, PreTrainedModel

import modeling_sslam  # noqa: F401  (registers the families)
from training.metrics.classification import classification_metrics
from training.probes.features import ProbeData, load_probe_data, probe_inputs
from training.probes.linear import linear_probe
from training.probes.trained import AttentiveProbe, WeightedLayers, build_probe, train_probe
from training.run.command import model_command, start_log, write_results
from training.settings.data import EvaluationArguments, LabelledDataArguments

PROBES = ("linear_class_token", "linear_mean", "linear_scene", "attentive", "weighted_layers")
TRAINED_PROBES = {"attentive": AttentiveProbe, "weighted_layers": WeightedLayers}


@dataclasses.dataclass
class ProbeOptions:
    """What is trained on the features.

    Attributes:
        probes: comma-separated. "linear_class_token" and "linear_mean" are logistic regressions on the class token (or
            the mean of the special tokens) and on the mean of the others, "linear_scene" on the scene embedding of
            `modeling_sslam/hear/`, which hears whole clips; "attentive" learns which tokens to look at,
            "weighted_layers" which layers (SUPERB; only real frames count).
        inverse_regularization: C of the logistic regression.
        epochs, learning_rate: of the last two.
        seed: of the random baseline and of the last two.
    """

    probes: str = "linear_class_token,linear_mean"
    inverse_regularization: float = 0.1
    epochs: int = 50
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self):
        if unknown := sorted(set(self.names) - set(PROBES)):
            raise ValueError(f"unknown probe {', '.join(unknown)}; choose from {', '.join(PROBES)}")

    @property
    def names(self) -> list[str]:
        return self.probes.split(",")


@dataclasses.dataclass
class ProbeArguments:
    """All sections."""

    data: LabelledDataArguments = dataclasses.field(default_factory=LabelledDataArguments)
    evaluation: EvaluationArguments = dataclasses.field(default_factory=EvaluationArguments)
    probe: ProbeOptions = dataclasses.field(default_factory=ProbeOptions)


def probe_model(
    model: PreTrainedModel, data: ProbeData, options: ProbeOptions, batch_size: int = 64
) -> dict[str, dict[str, float]]:
    """Metrics of every probe in `options` on the evaluation clips.

    Returns:
        probe -> metric -> value.
    Raises:
        ValueError: a probe of the class token of an encoder that has none.
    """
    if "linear_class_token" in options.names and not model.config.has_class_token:
        raise ValueError(f"{model.config.model_type} has no class token: leave linear_class_token out of probe.probes")
    training = probe_inputs(model, data.training, options.names, batch_size)
    evaluation = probe_inputs(model, data.evaluation, options.names, batch_size)
    targets = data.training.targets
    metrics = classification_metrics(data.multi_label)
    results = {}
    for name in options.names:
        inputs, held_out = training[name], evaluation[name]
        if name in TRAINED_PROBES:
            probe = build_probe(TRAINED_PROBES[name], inputs, targets, options.seed)
            schedule = options.epochs, options.learning_rate, options.seed
            scores = train_probe(probe, inputs, targets, held_out, data.multi_label, *schedule)
        else:
            scores = linear_probe(inputs, targets, held_out, data.multi_label, options.inverse_regularization)
        results[name] = metrics(scores, data.evaluation.targets.numpy())
    return results


def random_twin(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    """The same architecture with newly drawn weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModel.from_config(copy.deepcopy(model.config)).to(model.device)


def main() -> None:
    options, arguments = model_command(__doc__, ProbeArguments)
    start_log()
    model = AutoModel.from_pretrained(options.model, dtype="float32")
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    feature_extractor = AutoFeatureExtractor.from_pretrained(options.model)
    data = load_probe_data(arguments.data, arguments.evaluation, feature_extractor)
    encoders = {"pretrained": model, "random": random_twin(model, arguments.probe.seed)}
    results = {name: probe_model(encoder, data, arguments.probe) for name, encoder in encoders.items()}
    print(json.dumps(results, indent=2))
    if options.output:
        write_results(options.output, {"probe": results}, options.model, options.data)


if __name__ == "__main__":
    main()
