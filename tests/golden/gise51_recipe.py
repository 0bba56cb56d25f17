"""Cases of GISE-51's recipe: what happens to a clip and to a batch on the way to the network, and the metrics."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import torch
from torch import nn

from training.data.augment import mix_clips, seeded_mixing_weights
from training.data.crops import cut, fill_with_minimum, fit_from_the_middle, wrap
from training.data.random_masks import Band, Mask, hide
from training.metrics.classification import multi_label_metrics, single_label_metrics
from training.objectives.classification import cross_entropy

from .metrics import ranking_metrics
from .registry import Check, Tensors, case, close, exact

MIXED = {"atol": 1e-6}
METRIC = {"atol": 1e-6}
PADDINGS = {"wrap": wrap, "minimum": fill_with_minimum}


def as_clip(image: torch.Tensor) -> torch.Tensor:
    """(F, T) of the official code -> (T, F)."""
    return image.T


def mask_of(draws: dict) -> Mask:
    """A pair of bands with the values that the official transform drew."""
    return Mask(
        Band(draws["freq_fraction"], draws["freq_start_draw"]), Band(draws["time_fraction"], draws["time_start_draw"])
    )


def bounds(band: slice) -> list[int]:
    return [band.start, band.stop]


@case("gise51/augment")
def augmentation(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    for example in config["train_examples"]:
        yield from training_clip(example, config, tensors)
    for example in config["eval_examples"]:
        clip = fit_from_the_middle(as_clip(tensors[example["input"]]), example["size"])
        yield exact(example["output"], clip, as_clip(tensors[example["output"]]))
    yield from several_labels(config, tensors)
    yield from one_label(config, tensors)
    yield from collated(tensors)


def training_clip(example: dict, config: dict, tensors: Tensors) -> Iterator[Check]:
    """One way through the chain of training, with the recorded draws."""
    name, size = example["output"], config["train_size"]
    clip = PADDINGS[example["pad_mode"]](as_clip(tensors[example["input"]]), size)
    clip = cut(clip, size, example["crop_start"])
    yield exact(f"{name}, whether it is masked", example["apply_draw"] < config["spec_prob"], example["apply"])
    masks = [mask_of(draws) for draws in example["masks"]]
    num_frames, num_bins = clip.shape
    for mask, draws in zip(masks, example["masks"], strict=True):
        yield exact(f"{name}, bins of a mask", bounds(mask.bins.within(num_bins)), draws["freq"])
        yield exact(f"{name}, frames of a mask", bounds(mask.frames.within(num_frames)), draws["time"])
    yield exact(name, hide(clip, masks) if example["apply"] else clip, as_clip(tensors[name]))


def mixing_weights(config: dict, num_clips: int) -> torch.Tensor:
    return seeded_mixing_weights(config["mixup_alpha"], config["mixup_seed"], num_clips)


def several_labels(config: dict, tensors: Tensors) -> Iterator[Check]:
    """Mixup where a clip has several labels."""
    of = {name.removeprefix("mixup/"): tensor for name, tensor in tensors.items() if name.startswith("mixup/")}
    weights = mixing_weights(config, len(of["x"]))
    yield exact("mixup weights", weights, of["lam"])
    for name in ("x", "y"):
        yield close(f"mixed {name}", mix_clips(of[name], weights, of["perm"]), of[f"mixed_{name}"], **MIXED)


def one_label(config: dict, tensors: Tensors) -> Iterator[Check]:
    """Mixup of the same inputs where a clip has one label; its loss is cross-entropy against mixed targets."""
    prefix = "mixup_class/"
    of = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    weights = mixing_weights(config, len(of["label"]))
    yield exact("labels of the partners", of["label"][of["perm"]], of["label_b"])
    mixed = mix_clips(tensors["mixup/x"], weights, of["perm"])
    yield close("mixed x of one label", mixed, of["mixed_x"], **MIXED)
    targets = nn.functional.one_hot(of["label"], of["pred"].shape[1]).float()
    elements, size = cross_entropy(of["pred"], mix_clips(targets, weights, of["perm"]))
    yield close("loss of one label", elements.sum() / size, of["loss"], **MIXED)


def collated(tensors: Tensors) -> Iterator[Check]:
    """Longest first, with zeros behind. The package has no use for it: its clips are of one length."""
    names = sorted(
        (name for name in tensors if name.startswith("collate/item")), key=lambda name: int(name.partition("item")[2])
    )
    order = sorted(names, key=lambda name: tensors[name].shape[1], reverse=True)
    padded = nn.utils.rnn.pad_sequence([as_clip(tensors[name]) for name in order], batch_first=True)
    yield exact("collated inputs", padded.transpose(1, 2)[:, None], tensors["collate/inputs"])
    targets = torch.stack([tensors[name.replace("item", "target")] for name in order])
    yield exact("collated targets", targets, tensors["collate/targets"])


@case("gise51/metrics")
def metrics(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    scores, labels = tensors["score"].numpy(), tensors["target"].numpy()
    chosen = config["class_indices"]
    if chosen is None:
        chosen = list(range(labels.shape[1]))
    found = ranking_metrics(scores[:, chosen], labels[:, chosen])
    found["val_mAP"] = multi_label_metrics(scores, labels)["mean_average_precision"]
    if config["type"] == "multiclass":
        found["accuracy"] = single_label_metrics(scores, labels)["accuracy"]
    for name, got in found.items():
        yield close(name, torch.tensor(got, dtype=torch.float64), tensors[name], **METRIC)
