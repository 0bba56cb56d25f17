"""Section `data` of the recipes: where clips come from, how they become what a model hears, and their labels."""

from __future__ import annotations

import dataclasses
import typing

from modeling_sslam.audioset_labels import AUDIOSET_LABELS
from modeling_sslam.gise51_labels import GISE51_LABELS

SOUNDSCAPES = "soundscapes"  # a format
CROPS = ("first", "random")
FITS = ("extractor", "crop")
LABEL_SETS = {"audioset": AUDIOSET_LABELS, "gise51": GISE51_LABELS}


@dataclasses.dataclass
class ClipArguments:
    """Where the clips come from and how they become the input of a model.

    Attributes:
        format: "hub" (data set of parquet or tar files), "parquet", "webdataset", "folder" or "csv"; for pretraining
            and fine-tuning also "soundscapes", which are made while a model trains, without end and never the same.
        path: hub name, glob of parquet or tar files, folder of audio files, CSV file, or recipe of soundscapes (a YAML
            file, see `training/settings/synthesis.py`).
        name, split: configuration and split of a hub data set.
        audio_column: column with the audio; in tar files that is the file extension.
        file_column: column of a CSV with the file name.
        audio_root: folder to which these names are relative; that of the CSV where not given.
        filters: column name -> values of the rows to keep, as in `{fold: [1, 2, 3]}`.
        sampling_rate: in Hz, to which clips are resampled.
        normalization: preset of the spectrogram's mean and standard deviation, see the extractor's `PRESETS`. Without
            effect for families that standardise every clip by itself.
        mean, std: these statistics, instead of the preset's.
        target_length: frames of the extractor: 10 ms each for spectrograms, samples for models that hear waveforms.
        batch_size: clips a process and forward pass.
        num_workers: processes that decode. The order of the clips does not depend on it.
    """

    format: str = "hub"
    path: str = ""
    name: str | None = None
    split: str = "train"
    audio_column: str = "audio"
    file_column: str = "filename"
    audio_root: str | None = None
    filters: dict = dataclasses.field(default_factory=dict)
    sampling_rate: int = 16000
    normalization: str = "audioset"
    mean: float | None = None
    std: float | None = None
    target_length: int = 1024
    batch_size: int = 12
    num_workers: int = 4

    @property
    def crops_anywhere(self) -> bool:
        """Whether clips are cut anywhere, instead of by the extractor at their beginning."""
        return False


@dataclasses.dataclass
class DataArguments(ClipArguments):
    """Clips of pretraining; all of `ClipArguments`, and:

    Attributes:
        shuffle_buffer: rows from which the next one is drawn. Rows of tar and parquet files hold the encoded audio
            (a buffer of 1000 is about 300 MB), those of folders and CSV files only the path. 0 keeps the order.
        crop: "first": shorter clips are padded, of longer ones the first frames are taken; "random": clips are cut
            anywhere, after they were normalised as a whole, and shorter ones repeated.
    """

    shuffle_buffer: int = 1000
    crop: str = "first"

    def __post_init__(self):
        if self.crop not in CROPS:
            raise ValueError(f"data.crop is {self.crop!r}: choose {' or '.join(CROPS)}")

    @property
    def crops_anywhere(self) -> bool:
        return self.crop == "random"


@dataclasses.dataclass
class LabelledDataArguments(ClipArguments):
    """Labelled clips of fine-tuning and probing; all of `ClipArguments`, and:

    Attributes:
        label_column: column with the label or labels. Folders of audio files have the column `folder`.
        label_separator: what joins several labels of one clip; null for one label a clip. Soundscapes need neither:
            their labels are the classes of their events.
        label_set: "audioset" for its 527 classes in the published order, "gise51" for its 51; null for the labels of
            the training clips, sorted.
        epoch_size: clips an epoch drawn with probabilities inverse to the frequency of their labels, without
            replacement; null for a random permutation of all clips.
    """

    format: str = "csv"
    batch_size: int = 48
    label_column: str = "label"
    label_separator: str | None = None
    label_set: str | None = None
    epoch_size: int | None = None

    def __post_init__(self):
        if self.label_set not in (None, *LABEL_SETS):
            raise ValueError(f"data.label_set is {self.label_set!r}: choose {', '.join(LABEL_SETS)} or null")
        if self.epoch_size is not None and self.format == SOUNDSCAPES:
            raise ValueError(
                f"data.epoch_size is {self.epoch_size}: it draws from clips that are there; an epoch of soundscapes "
                "has output.num_soundscapes of their recipe"
            )

    @property
    def multi_label(self) -> bool:
        return self.label_separator is not None or self.format == SOUNDSCAPES


@dataclasses.dataclass
class FinetuneDataArguments(LabelledDataArguments):
    """Clips of fine-tuning; all of `LabelledDataArguments`, and:

    Attributes:
        fit: how clips get `target_length`. "extractor": the extractor cuts them at their end or pads them with
            silence. "crop" (GISE-51): they are normalised as a whole; of longer ones a part is taken, from anywhere in
            training and from the middle in evaluation, and shorter ones are repeated to both sides. All frames then
            count as real.
    """

    fit: str = "extractor"

    def __post_init__(self):
        super().__post_init__()
        if self.fit not in FITS:
            raise ValueError(f"data.fit is {self.fit!r}: choose {' or '.join(FITS)}")

    @property
    def crops_anywhere(self) -> bool:
        return self.fit == "crop"


Data = typing.TypeVar("Data", bound=ClipArguments)


@dataclasses.dataclass
class EvaluationArguments:
    """Clips that are not trained on, where they differ from the training clips.

    Attributes:
        format, path, split: instead of those of section `data`; null for the same.
        filters: column name -> values of the rows to keep.
    """

    format: str | None = None
    path: str | None = None
    split: str | None = None
    filters: dict = dataclasses.field(default_factory=dict)

    def applied_to(self, data: Data) -> Data:
        """The settings of the evaluation clips.

        Raises:
            ValueError: nothing sets them apart from the training clips.
        """
        given = {"format": self.format, "path": self.path, "split": self.split}
        changes = {name: value for name, value in given.items() if value is not None} | {"filters": self.filters}
        if all(getattr(data, name) == value for name, value in changes.items()):
            raise ValueError("evaluation and training clips are the same: set evaluation.path, .split or .filters")
        return dataclasses.replace(data, **changes)


@dataclasses.dataclass
class FinetuneEvaluationArguments(EvaluationArguments):
    """Clips that are not trained on, and how much of them is heard; all of `EvaluationArguments`, and:

    Attributes:
        target_length: frames instead of those of section `data`; null for the same. Where `data.fit` is "crop" and
            clips are of one length, theirs gives whole clips, and twice that every clip twice.
    """

    target_length: int | None = None

    def __post_init__(self):
        if self.target_length is not None and self.target_length < 1:
            raise ValueError(f"target_length is {self.target_length}: it must be at least 1, or null for that of data")

    @property
    def chooses_clips(self) -> bool:
        """Whether the section sets clips apart, or only says how much of them is heard."""
        return any(value is not None for value in (self.format, self.path, self.split)) or bool(self.filters)

    def applied_to(self, data: FinetuneDataArguments) -> FinetuneDataArguments:
        return self.heard(super().applied_to(data))

    def heard(self, data: FinetuneDataArguments) -> FinetuneDataArguments:
        """The same clips, as much of them as this section says."""
        return data if self.target_length is None else dataclasses.replace(data, target_length=self.target_length)
