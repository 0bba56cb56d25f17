"""Probes of a frozen encoder: how much of the labels a small classifier finds in its features.

    python -m training.probe --model outputs/model --data clips.csv data.label_column=category \
        data.filters='{fold: [1, 2, 3]}' evaluation.filters='{fold: [4]}'

Features are computed once, and every probe is trained on the same ones. The baseline is the same model with random
weights.
"""

from __future__ import annotations

import argparse
import collections
import copy
import dataclasses
import functools
import json
import logging
import pathlib

import numpy
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import AutoFeatureExtractor, AutoModel, PreTrainedModel, SequenceFeatureExtractor

import modeling_sslam  # noqa: F401  (registers the families)
from modeling_sslam.hear.embeddings import HearModel
from training.data.labelled import (
    LabelledClips,
    LabelledDataArguments,
    LabelledRows,
    label_indices,
    label_names,
    load_labelled_rows,
)
from training.metrics.classification import classification_metrics
from training.probes.scenes import scene_embeddings
from training.probes.trained import AttentiveProbe, WeightedLayers, build_probe, layer_means, train_probe
from training.run.provenance import describe_run
from training.settings.recipe import EvaluationArguments, load_arguments

PROBES = ("linear_class_token", "linear_mean", "linear_scene", "attentive", "weighted_layers")
TRAINED_PROBES = {"attentive": AttentiveProbe, "weighted_layers": WeightedLayers}


@dataclasses.dataclass
class ProbeOptions:
    """What is trained on the features.

    Attributes:
        probes: comma-separated. "linear_class_token" and "linear_mean" are logistic regressions on the class token (or
            the mean of the special tokens) and on the mean of the patch tokens, "linear_scene" on the scene embedding
            of `modeling_sslam/hear/`, which hears whole clips, "attentive" learns which patch tokens to look at,
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


@dataclasses.dataclass(frozen=True)
class ProbeClips:
    """Clips with their targets, which all encoders share.

    Attributes:
        clips: undecoded.
        batch_size, num_workers: of decoding.
    """

    clips: LabelledClips
    batch_size: int
    num_workers: int

    @functools.cached_property
    def targets(self) -> torch.Tensor:
        """(N, C), 1 for each label of a clip."""
        return self.clips.targets()

    @functools.cached_property
    def features(self) -> dict[str, torch.Tensor]:
        """`input_values` (N, T, F) and `attention_mask` (N, T), decoded once."""
        loader = DataLoader(self.clips, self.batch_size, num_workers=self.num_workers, collate_fn=_stack)
        batches = list(tqdm(loader, desc="spectrograms", leave=False))
        return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}

    @property
    def spectrograms(self) -> torch.Tensor:
        """(N, T, F)."""
        return self.features["input_values"]

    @torch.inference_mode()
    def layers(self, model: PreTrainedModel, batch_size: int) -> torch.Tensor:
        """(N, layers, D) means over the real frames of what each layer of a frozen encoder gives, on the CPU."""
        model, means = model.eval(), []
        batches = zip(*(of_all.split(batch_size) for of_all in self.features.values()), strict=True)
        for batch in batches:
            features = {name: of_batch.to(model.device) for name, of_batch in zip(self.features, batch, strict=True)}
            means.append(layer_means(model, **features).cpu())
        return torch.cat(means)

    def scenes(self, model: PreTrainedModel) -> torch.Tensor:
        """(N, E) scene embeddings of the clips at their full lengths."""
        heard = HearModel(model, self.clips.feature_extractor)
        return scene_embeddings(heard, self.clips.rows, self.clips.audio_column, self.batch_size, self.num_workers)


@dataclasses.dataclass(frozen=True)
class ProbeData:
    """Training and evaluation clips of one task."""

    training: ProbeClips
    evaluation: ProbeClips
    multi_label: bool


def load_probe_data(
    data: LabelledDataArguments, evaluation: EvaluationArguments, feature_extractor: SequenceFeatureExtractor
) -> ProbeData:
    """Finds all clips and their targets. An extractor without a length for spectrograms takes `data.target_length`."""
    feature_extractor = copy.copy(feature_extractor)
    feature_extractor.return_attention_mask = True
    if feature_extractor.target_length is None:
        feature_extractor.target_length = data.target_length
    training, evaluation = load_labelled_rows(data), load_labelled_rows(evaluation.applied_to(data))
    classes = label_names(data, training.names)

    def clips(labelled: LabelledRows) -> ProbeClips:
        indices = label_indices(labelled.names, classes)
        clips = LabelledClips(labelled.rows, indices, len(classes), feature_extractor, data.audio_column)
        return ProbeClips(clips, data.batch_size, data.num_workers)

    return ProbeData(clips(training), clips(evaluation), data.multi_label)


def _stack(clips: list[dict]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([clip[name] for clip in clips]) for name in ("input_values", "attention_mask")}


@torch.inference_mode()
def extract_features(
    model: PreTrainedModel, input_values: torch.Tensor, batch_size: int, keep_patches: bool
) -> dict[str, torch.Tensor]:
    """Runs a frozen encoder over all clips; what it makes of them, by probe, float32 on the CPU.

    Args:
        input_values: (N, T, F).
        keep_patches: keep all patch tokens (N * L * D * 4 bytes).
    Returns:
        "linear_class_token": (N, D) mean of the special tokens, where the encoder has such; "linear_mean": (N, D) mean
        of the patch tokens; "attentive": (N, L, D), the patch tokens if they were kept.
    """
    model = model.eval()
    num_special = model.config.num_special_tokens
    features = collections.defaultdict(list)
    for batch in tqdm(input_values.split(batch_size), desc="features", leave=False):
        tokens = model(batch.to(model.device)).last_hidden_state.float().cpu()
        if num_special:
            features["linear_class_token"].append(tokens[:, :num_special].mean(dim=1))
        features["linear_mean"].append(tokens[:, num_special:].mean(dim=1))
        if keep_patches:
            features["attentive"].append(tokens[:, num_special:])
    return {name: torch.cat(batches) for name, batches in features.items()}


def probe_inputs(
    model: PreTrainedModel, clips: ProbeClips, names: list[str], batch_size: int
) -> dict[str, torch.Tensor]:
    """What each of the probes `names` is trained on; clips are decoded only as these need it."""
    inputs = {}
    if not set(names) <= {"linear_scene", "weighted_layers"}:
        inputs |= extract_features(model, clips.spectrograms, batch_size, keep_patches="attentive" in names)
    if "linear_scene" in names:
        inputs["linear_scene"] = clips.scenes(model)
    if "weighted_layers" in names:
        inputs["weighted_layers"] = clips.layers(model, batch_size)
    return inputs


def linear_probe(
    training: torch.Tensor,
    targets: torch.Tensor,
    evaluation: torch.Tensor,
    multi_label: bool,
    inverse_regularization: float,
) -> numpy.ndarray:
    """Logistic regression on standardised features; one a class when clips have several labels.

    Args:
        training, evaluation: (N, D) features.
        targets: (N, C) of the training clips.
    Returns:
        (N, C) probabilities of the evaluation clips.
    """
    classifier = LogisticRegression(C=inverse_regularization, max_iter=1000)
    if multi_label:
        probe = make_pipeline(StandardScaler(), OneVsRestClassifier(classifier))
        return probe.fit(training.numpy(), targets.numpy()).predict_proba(evaluation.numpy())
    probe = make_pipeline(StandardScaler(), classifier)
    probe.fit(training.numpy(), targets.argmax(dim=1).numpy())
    probabilities = numpy.zeros((len(evaluation), targets.shape[1]))
    probabilities[:, probe.classes_] = probe.predict_proba(evaluation.numpy())
    return probabilities


def probe_model(
    model: PreTrainedModel, data: ProbeData, options: ProbeOptions, batch_size: int = 64
) -> dict[str, dict[str, float]]:
    """Metrics of every probe in `options` on the evaluation clips.

    Returns:
        probe -> metric -> value.
    Raises:
        ValueError: a probe of the class token of an encoder that has none.
    """
    if "linear_class_token" in options.names and not model.config.num_special_tokens:
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a pretrained model and its feature extractor")
    parser.add_argument("--data", required=True, help="CSV file, folder or glob, see `DataArguments`")
    parser.add_argument("--output", type=pathlib.Path, help="also write the results as JSON")
    parser.add_argument("overrides", nargs="*", help="section.field=value; sections data, evaluation, probe")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    arguments = load_arguments(None, [f"data.path={options.data}", *options.overrides], ProbeArguments)
    model = AutoModel.from_pretrained(options.model, dtype="float32")
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    feature_extractor = AutoFeatureExtractor.from_pretrained(options.model)
    data = load_probe_data(arguments.data, arguments.evaluation, feature_extractor)
    encoders = {"pretrained": model, "random": random_twin(model, arguments.probe.seed)}
    results = {name: probe_model(encoder, data, arguments.probe) for name, encoder in encoders.items()}
    print(json.dumps(results, indent=2))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        run = describe_run(model=options.model, dataset=options.data)
        options.output.write_text(json.dumps(run | {"probe": results}, indent=2))


if __name__ == "__main__":
    main()
