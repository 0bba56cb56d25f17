"""Golden cases of fine-tuning: poolings and head, losses, mixup, SpecAugment."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import torch
from safetensors.torch import load_file

from modeling_sslam import SslamForAudioClassification
from training.data.augment import mixup, spec_augment
from training.objectives.classification import bce_per_label, cross_entropy

from .inputs import input_of, text_of
from .readme import key_prefix, numbers
from .registry import Check, Tensors, case, check_options, close, exact
from .weights import load_by_rule, load_official, sslam_config

POOLINGS = {"logits_cls": "cls", "logits_mean": "mean", "logits_linsoftmax": "linear_softmax"}
TINY, FULL_SIZE = 2e-5, 1e-4


@case("sslam/classifier")
@torch.no_grad()
def classifier(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    text = text_of(path)
    clips = input_of(path, tensors, ["source"])[:, : config["target_length"]]
    sizes = sslam_config(
        config,
        num_mel_bins=clips.shape[2],
        num_labels=config["num_classes"],
        classifier_norm_eps=config.get("fc_norm_eps", 1e-6),
    )
    model, weights = SslamForAudioClassification(sizes).eval(), path / "weights.safetensors"
    if weights.exists():
        load_official(model, load_file(weights))
    else:
        load_by_rule(path, model, prefix=key_prefix(text))
    if "logits" in tensors:
        model.config.pooling = pooling_of(config)
        yield from full_size(model, clips, tensors)
    for name, pooling in POOLINGS.items():
        if name in tensors:
            model.config.pooling = pooling
            yield close(name, model(clips).logits, tensors[name], atol=TINY)
    model.config.pooling = "cls"
    if "multi_label" in tensors:
        yield from fine_tuning(model, clips, config, text, tensors)


def fine_tuning(
    model: SslamForAudioClassification, clips: torch.Tensor, config: dict, text: str, tensors: Tensors
) -> Iterator[Check]:
    """Losses, mixup and SpecAugment."""
    (smoothing,) = numbers(text, "smoothing N")
    yield from losses(model(clips).logits, smoothing, tensors)
    check_options(config, start_drop_path_rate=0.0, end_drop_path_rate=0.0)
    yield from mixed(model.train(), clips, tensors)
    yield from hidden_bands(text, tensors)


def pooling_of(config: dict) -> str:
    """Our name of the pooling that a case gives by the official one (class token, mean, linear softmax)."""
    mode = config.get("prediction_mode", "cls").lower()
    known = {"class": "cls", "cls": "cls", "mean": "mean", "lin": "linear_softmax"}
    found = next((ours for official, ours in known.items() if official in mode), None)
    if found is None:
        raise ValueError(f"prediction_mode is {mode!r}: expected one with {', '.join(known)} in it")
    return found


def full_size(model: SslamForAudioClassification, clip: torch.Tensor, tensors: Tensors) -> Iterator[Check]:
    logits = model(clip).logits
    yield close("logits", logits, tensors["logits"], atol=FULL_SIZE)
    for name, want in tensors.items():
        if match := re.fullmatch(r"(top\d+)_index", name):
            probabilities, index = logits.sigmoid().topk(want.shape[1])
            yield close("top probabilities", probabilities, tensors[f"{match[1]}_prob"], atol=FULL_SIZE)
            yield exact("top classes", index, want)


def losses(logits: torch.Tensor, label_smoothing: float, tensors: Tensors) -> Iterator[Check]:
    """Loss elements and sample sizes for multi-label and one-hot targets, in training and in evaluation."""
    elements, sample_size = bce_per_label(logits, tensors["multi_label"])
    yield close("bce_elem", elements, tensors["bce_elem"], atol=TINY)
    yield close("bce_sample_size", sample_size.reshape(1), tensors["bce_sample_size"], atol=TINY)
    for name, smoothing in (("ce_smooth_train_elem", label_smoothing), ("ce_eval_elem", 0.0)):
        elements, sample_size = cross_entropy(logits, tensors["single_label"], smoothing)
        yield close(name, elements, tensors[name], atol=TINY)
        yield close(f"{name} sample size", sample_size.reshape(1), tensors["ce_sample_size"], atol=TINY)
    correct = (logits.argmax(1) == tensors["single_label"].argmax(1)).sum()
    yield exact("correct", correct.reshape(1), tensors["correct"])


def mixed(model: SslamForAudioClassification, source: torch.Tensor, tensors: Tensors) -> Iterator[Check]:
    """Mixup of clips and labels with the recorded weight; the model is in training mode."""
    features, targets = mixup(source, tensors["multi_label"], tensors["mixup_lambda"].item())
    elements, sample_size = bce_per_label(model(features).logits, targets)
    yield close("mixup_bce_elem", elements, tensors["mixup_bce_elem"], atol=TINY)
    yield close("mixup_sample_size", sample_size.reshape(1), tensors["mixup_sample_size"], atol=TINY)


def hidden_bands(text: str, tensors: Tensors) -> Iterator[Check]:
    """SpecAugment from the recorded torch seed hides the recorded frames and mel bins."""
    (seed,) = numbers(text, "torch seed N")
    most_frames, most_bins = numbers(text, "time width max N, frequency width max N")
    hidden_frames, hidden_bins = tensors["specaug_time_zero"], tensors["specaug_freq_zero"]
    batch_size, num_frames = hidden_frames.shape
    mask_ratio, num_bins = most_frames / num_frames, hidden_bins.shape[1]
    yield exact("widest band of mel bins", mask_ratio * num_bins, most_bins)
    clips = torch.ones(batch_size, num_frames, num_bins)
    got = spec_augment(clips, mask_ratio, torch.Generator().manual_seed(int(seed)))
    yield exact("specaug_time_zero", (got == 0).all(2), hidden_frames)
    yield exact("specaug_freq_zero", (got == 0).all(1), hidden_bins)
