"""Labelled clips that can be indexed, for fine-tuning and probing: rows, label sets, features."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import datasets
import torch
from torch.utils.data import Dataset
from transformers import SequenceFeatureExtractor

from modeling_sslam.audio_io import load_audio
from training.data.augment import (
    WAVEFORM_MIXUP_CONCENTRATION,
    draw_beta,
    hide_bands,
    mix_waveforms,
    random_noise_and_roll,
    random_roll_and_scale,
)
from training.data.crops import fit_from_anywhere, fit_from_the_middle
from training.data.processes import one_thread
from training.data.random_masks import hide_at_random
from training.data.rows import load_rows
from training.settings.augment import AugmentArguments
from training.settings.data import LABEL_SETS, LabelledDataArguments


@dataclasses.dataclass(frozen=True)
class LabelledRows:
    """Undecoded rows and their labels.

    Attributes:
        rows: with the encoded audio.
        names: the labels of each row.
    """

    rows: datasets.Dataset
    names: list[list[str]]


def load_labelled_rows(data: LabelledDataArguments) -> LabelledRows:
    """Rows and labels of `data`.

    Raises:
        ValueError: no rows, or what `load_rows` refuses.
    """
    rows = load_rows(data, columns=[data.label_column], streaming=False)
    if len(rows) == 0:
        raise ValueError(f"{data.path} has no rows with {data.filters}")
    labels = [str(label) for label in rows[data.label_column]]
    if not data.multi_label:
        return LabelledRows(rows, [[label] for label in labels])
    return LabelledRows(rows, [[name for name in label.split(data.label_separator) if name] for label in labels])


def label_names(data: LabelledDataArguments, names: Sequence[Sequence[str]]) -> list[str]:
    """The classes in the order of the classifier's outputs: those of `data.label_set`, or all in `names`, sorted."""
    if data.label_set is not None:
        return list(LABEL_SETS[data.label_set])
    return sorted({name for of_clip in names for name in of_clip})


def label_indices(names: Sequence[Sequence[str]], classes: Sequence[str]) -> list[list[int]]:
    """Class numbers of each clip.

    Raises:
        ValueError: labels that are not among the classes; all of them are listed.
    """
    number = {name: index for index, name in enumerate(classes)}
    if unknown := sorted({name for of_clip in names for name in of_clip} - set(number)):
        raise ValueError(f"labels that are not among the {len(classes)} classes: {', '.join(unknown)}")
    return [[number[name] for name in of_clip] for of_clip in names]


class ClipSource(Protocol):
    """Labelled clips by number: recorded ones, or soundscapes.

    Attributes:
        classes: of a classifier's outputs.
    """

    classes: list[str]

    def __len__(self) -> int: ...

    def clip(self, index: int, sampling_rate: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(N,) samples and target (C,) float. Raises ValueError where there is no audio."""
        ...


class RecordedClips:
    """Clips of rows.

    Args:
        labelled: rows with the encoded audio in `audio_column`, and their labels.
        classes: among which these labels are.
    Attributes:
        indices: class numbers of each clip.
    Raises:
        ValueError: labels that are not among the classes.
    """

    def __init__(self, labelled: LabelledRows, classes: list[str], audio_column: str):
        self.rows = labelled.rows.select_columns([audio_column])
        self.indices = label_indices(labelled.names, classes)
        self.classes = classes
        self.audio_column = audio_column

    def __len__(self) -> int:
        return len(self.indices)

    def clip(self, index: int, sampling_rate: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Samples and target of a clip, see `ClipSource`."""
        return load_audio(self.rows[index][self.audio_column], sampling_rate), self.target(index)

    def target(self, index: int) -> torch.Tensor:
        """(C,) float, 1 for each label of the clip."""
        return torch.zeros(len(self.classes)).index_fill_(0, torch.tensor(self.indices[index], dtype=torch.long), 1.0)

    def targets(self) -> torch.Tensor:
        """(N, C) targets of all clips."""
        return torch.stack([self.target(index) for index in range(len(self))])


class LabelledClips(Dataset):
    """Features and targets; decoding and augmentation happen in the `DataLoader` workers.

    An item is asked for by its index, or by (index, seed) from a `SeededSampler` to augment it.

    Args:
        source: of the clips.
        feature_extractor: pads or cuts to its target length and normalises.
        augment: what to do with a clip when augmenting; what is done to whole batches is left to others.
        target_length: frames instead of those of the extractor.
        crop: whether clips are normalised as a whole and then cut or wrapped to `target_length`, see `crops.py`; the
            extractor fits them otherwise.
    Raises:
        ValueError: `crop` without `target_length`.
    """

    def __init__(
        self,
        source: ClipSource,
        feature_extractor: SequenceFeatureExtractor,
        augment: AugmentArguments | None = None,
        target_length: int | None = None,
        crop: bool = False,
    ):
        if crop and target_length is None:
            raise ValueError("clips can only be cropped to a length: give target_length")
        self.source = source
        self.feature_extractor = feature_extractor
        self.augment = augment or AugmentArguments()
        self.target_length = target_length
        self.crop = crop

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: int | tuple[int, int]) -> dict:
        """What the extractor makes of the clip: `input_values` (T, F) or (T,), perhaps `attention_mask` (T,) where it
        fits clips; `labels` (C,) float, and the seed where one was given.

        Raises:
            ValueError: the clip cannot be decoded.
        """
        with one_thread():
            if isinstance(key, int):
                waveform, labels = self.clip(key)
                return self.features(waveform) | {"labels": labels}
            index, seed = key
            return self.augmented(index, torch.Generator().manual_seed(seed)) | {"seed": seed}

    def augmented(self, index: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Features and labels of a clip after everything that section `augment` does to single clips."""
        augment, (waveform, labels) = self.augment, self.clip(index)
        if augment.waveform_mixup and torch.rand((), generator=generator) < augment.waveform_mixup:
            partner = self.clip(int(torch.randint(len(self), (), generator=generator)))
            weight = draw_beta(WAVEFORM_MIXUP_CONCENTRATION, generator)
            waveform, labels = self.mixed((waveform, labels), partner, weight)
        if augment.roll:
            waveform = random_roll_and_scale(waveform - waveform.mean(), generator)
        features = self.features(waveform, generator)
        input_values = features["input_values"]
        if augment.frequency_mask or augment.time_mask:
            widths = augment.frequency_mask, augment.time_mask
            silence = self.feature_extractor.silence
            input_values = hide_bands(input_values[None], *widths, silence, generator)[0]
        if augment.noise:
            input_values = random_noise_and_roll(input_values, generator)
        if augment.random_masks:
            widest = augment.random_mask_bins, augment.random_mask_frames
            input_values = hide_at_random(
                input_values, augment.random_masks, augment.random_masks_probability, *widest, generator
            )
        return features | {"input_values": input_values, "labels": labels}

    @staticmethod
    def mixed(
        clip: tuple[torch.Tensor, torch.Tensor], partner: tuple[torch.Tensor, torch.Tensor], weight: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Samples (N,) and target (C,) of two clips mixed by waveform mixup."""
        (waveform, labels), (other, other_labels) = clip, partner
        return mix_waveforms(waveform, other, weight), weight * labels + (1 - weight) * other_labels

    def clip(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Samples (N,) of a clip at the extractor's rate, and its target (C,)."""
        return self.source.clip(index, self.feature_extractor.sampling_rate)

    def features(self, waveform: torch.Tensor, generator: torch.Generator | None = None) -> dict[str, torch.Tensor]:
        """What the extractor makes of a waveform, without the batch axis.

        Args:
            generator: says where to crop; None for the middle.
        """
        rate = self.feature_extractor.sampling_rate
        length = {"padding": "max_length", "max_length": self.target_length}
        if self.crop:
            length = {"padding": "longest", "truncation": False}
        features = self.feature_extractor(waveform, sampling_rate=rate, return_tensors="pt", **length)
        if self.crop:
            return {"input_values": self.cropped(features["input_values"][0], generator)}
        return {name: of_batch[0] for name, of_batch in features.items()}

    def cropped(self, features: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """(T, ...) -> (target_length, ...)."""
        if generator is None:
            return fit_from_the_middle(features, self.target_length)
        return fit_from_anywhere(features, self.target_length, self.augment.minimum_padding, generator)
