"""What probes are trained on: labelled clips, decoded once, and what a frozen encoder makes of them."""

from __future__ import annotations

import collections
import copy
import dataclasses
import functools

import torch
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import PreTrainedModel, SequenceFeatureExtractor

from modeling_sslam.hear.embeddings import HearModel
from training.data.labelled import LabelledClips, LabelledRows, RecordedClips, label_names, load_labelled_rows
from training.probes.scenes import scene_embeddings
from training.probes.trained import layer_means
from training.settings.data import EvaluationArguments, LabelledDataArguments


@dataclasses.dataclass(frozen=True)
class ProbeClips:
    """Clips with their targets, which all encoders share.

    Attributes:
        source: the clips, undecoded, and their labels.
        clips: their features.
        batch_size, num_workers: of decoding.
    """

    source: RecordedClips
    clips: LabelledClips
    batch_size: int
    num_workers: int

    @functools.cached_property
    def targets(self) -> torch.Tensor:
        """(N, C), 1 for each label of a clip."""
        return self.source.targets()

    @functools.cached_property
    def features(self) -> dict[str, torch.Tensor]:
        """`input_values` (N, T, F) or (N, T) and `attention_mask` (N, T), decoded once."""
        loader = DataLoader(self.clips, self.batch_size, num_workers=self.num_workers, collate_fn=_stack)
        batches = list(tqdm(loader, desc="clips", leave=False))
        return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}

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
        return scene_embeddings(heard, self.source.rows, self.source.audio_column, self.batch_size, self.num_workers)


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
        source = RecordedClips(labelled, classes, data.audio_column)
        return ProbeClips(source, LabelledClips(source, feature_extractor), data.batch_size, data.num_workers)

    return ProbeData(clips(training), clips(evaluation), data.multi_label)


def _stack(clips: list[dict]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([clip[name] for clip in clips]) for name in ("input_values", "attention_mask")}


@torch.inference_mode()
def extract_features(
    model: PreTrainedModel, input_values: torch.Tensor, batch_size: int, keep_tokens: bool
) -> dict[str, torch.Tensor]:
    """Runs a frozen encoder over all clips; what it makes of them, by probe, float32 on the CPU.

    Args:
        input_values: (N, T, F) or (N, T).
        keep_tokens: keep all content tokens (N * L * D * 4 bytes).
    Returns:
        "linear_class_token": (N, D) mean of the special tokens, where the encoder has such; "linear_mean": (N, D) mean
        of the others, padding included; "attentive": (N, L, D) these, if they were kept.
    """
    model = model.eval()
    features = collections.defaultdict(list)
    for batch in tqdm(input_values.split(batch_size), desc="features", leave=False):
        special, content, _ = model.tokens(model(batch.to(model.device)))
        if special.shape[1]:
            features["linear_class_token"].append(special.float().cpu().mean(dim=1))
        content = content.float().cpu()
        features["linear_mean"].append(content.mean(dim=1))
        if keep_tokens:
            features["attentive"].append(content)
    return {name: torch.cat(batches) for name, batches in features.items()}


def probe_inputs(
    model: PreTrainedModel, clips: ProbeClips, names: list[str], batch_size: int
) -> dict[str, torch.Tensor]:
    """What each of the probes `names` is trained on; clips are decoded only as these need it."""
    inputs = {}
    if not set(names) <= {"linear_scene", "weighted_layers"}:
        inputs |= extract_features(model, clips.features["input_values"], batch_size, "attentive" in names)
    if "linear_scene" in names:
        inputs["linear_scene"] = clips.scenes(model)
    if "weighted_layers" in names:
        inputs["weighted_layers"] = clips.layers(model, batch_size)
    return inputs
