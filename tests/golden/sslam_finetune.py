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

from .registry import Check, Tensors, case, close, exact
from .weights import load_by_rule, load_official, real_clip, sslam_config

POOLINGS = {"logits_cls": "cls", "logits_mean": "mean", "logits_linsoftmax": "linear_softmax"}
LABEL_SMOOTHING = 0.1
TINY, FULL_SIZE = 2e-5, 1e-4


@case("sslam/classifier")
@torch.no_grad()
def classifier(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    sizes = sslam_config(config, num_labels=config["num_classes"], classifier_norm_eps=config.get("fc_norm_eps", 1e-6))
    model = SslamForAudioClassification(sizes).eval()
    if "source" not in tensors:
        load_by_rule(model, prefix="model.")
        yield from full_size(model, real_clip(path, "fbank_inference_wav")[:, : config["target_length"]], tensors)
        return
    load_official(model, load_file(path / "weights.safetensors"))
    source = tensors["source"].squeeze(1)
    for name, pooling in POOLINGS.items():
        model.config.pooling = pooling
        yield close(name, model(source).logits, tensors[name], atol=TINY)
    model.config.pooling = "cls"
    yield from losses(model(source).logits, tensors)
    yield from mixed(model.train(), source, tensors)
    yield from hidden_bands((path / "README.md").read_text(), tensors)


def full_size(model: SslamForAudioClassification, clip: torch.Tensor, tensors: Tensors) -> Iterator[Check]:
    logits = model(clip).logits
    yield close("logits", logits, tensors["logits"], atol=FULL_SIZE)
    probabilities, index = logits.sigmoid().topk(tensors["top12_index"].shape[1])
    yield close("top probabilities", probabilities, tensors["top12_prob"], atol=FULL_SIZE)
    yield exact("top classes", index, tensors["top12_index"])


def losses(logits: torch.Tensor, tensors: Tensors) -> Iterator[Check]:
    """Loss elements and sample sizes for multi-label and one-hot targets, in training and in evaluation."""
    elements, sample_size = bce_per_label(logits, tensors["multi_label"])
    yield close("bce_elem", elements, tensors["bce_elem"], atol=TINY)
    yield close("bce_sample_size", sample_size.reshape(1), tensors["bce_sample_size"], atol=TINY)
    for name, smoothing in (("ce_smooth_train_elem", LABEL_SMOOTHING), ("ce_eval_elem", 0.0)):
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


def hidden_bands(readme: str, tensors: Tensors) -> Iterator[Check]:
    """SpecAugment from the recorded torch seed hides the recorded frames and mel bins."""
    seed = int(re.search(r"torch seed (\d+)", readme)[1])
    hidden_frames, hidden_bins = tensors["specaug_time_zero"], tensors["specaug_freq_zero"]
    batch_size, num_frames = hidden_frames.shape
    mask_ratio = float(re.search(r"time width max ([\d.]+)", readme)[1]) / num_frames
    clips = torch.ones(batch_size, num_frames, hidden_bins.shape[1])
    got = spec_augment(clips, mask_ratio, torch.Generator().manual_seed(seed))
    yield exact("specaug_time_zero", (got == 0).all(2), hidden_frames)
    yield exact("specaug_freq_zero", (got == 0).all(1), hidden_bins)
