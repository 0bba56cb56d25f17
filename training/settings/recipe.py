"""Settings of a pretraining run: one dataclass a section, read from a YAML recipe and `section.field=value` overrides.

Reading is strict: an unknown key or a value of the wrong type is an error that names the alternatives.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import typing

import yaml


@dataclasses.dataclass
class ModelArguments:
    """Which model is trained, and from which weights.

    Attributes:
        model_type: family, as in transformers' `model_type`.
        init_from: checkpoint to start from: a checkpoint folder of a pretraining run, a `save_pretrained` folder, or
            an official checkpoint (file or folder). Optimiser, schedules and step count start anew.
        options: every other key of the section: fields of the family's configuration class.
    """

    model_type: str = "sslam"
    init_from: str | None = None
    options: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class ObjectiveArguments:
    """What is minimised.

    Attributes:
        name: objective, see `training/objectives/__init__.py`.
        options: every other key of the section: fields of that objective.
    """

    name: str = "sslam_stage1"
    options: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class DataArguments:
    """Where the clips come from and how they become spectrograms.

    Attributes:
        format: "hub" (data set of parquet or tar files), "parquet", "webdataset", "folder" or "csv".
        path: hub name, glob of parquet or tar files, folder of audio files, or CSV file.
        name, split: configuration and split of a hub data set.
        audio_column: column with the audio; in tar files that is the file extension.
        file_column: column of a CSV with the file name.
        audio_root: folder to which these names are relative; that of the CSV where not given.
        filters: column name -> values of the rows to keep, as in `{fold: [1, 2, 3]}`.
        shuffle_buffer: rows from which the next one is drawn. Rows of tar and parquet files hold the encoded audio
            (a buffer of 1000 is about 300 MB), those of folders and CSV files only the path. 0 keeps the order.
        sampling_rate: in Hz, to which clips are resampled.
        normalization: preset of the spectrogram's mean and standard deviation, see `NORMALIZATION_PRESETS`. Without
            effect for families that standardise every clip by itself.
        mean, std: these statistics, instead of the preset's.
        target_length: frames of 10 ms.
        crop: "first": shorter clips are padded, of longer ones the first frames are taken; "random": clips are cut
            anywhere, after they were normalised as a whole, and shorter ones repeated. Pretraining only.
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
    shuffle_buffer: int = 1000
    sampling_rate: int = 16000
    normalization: str = "audioset"
    mean: float | None = None
    std: float | None = None
    target_length: int = 1024
    crop: str = "first"
    batch_size: int = 12
    num_workers: int = 4

    def __post_init__(self):
        if self.crop not in ("first", "random"):
            raise ValueError(f"data.crop is {self.crop!r}: choose first or random")


Data = typing.TypeVar("Data", bound=DataArguments)


@dataclasses.dataclass
class OptimArguments:
    """The optimiser, its schedule, and clipping; see `training/optim/` and `training/optim/schedules.py`.

    Attributes:
        optimizer: "adamw", or "adam", whose weight decay is part of the gradient.
        schedule: "cosine", or "plateau", which halves the rate when evaluations stop improving.
        learning_rate, floor: peak and lowest rate; "plateau" has no floor.
        warmup_steps, total_steps: optimiser updates.
        warmup_block: updates between two rises of the rate during the warm-up of "plateau".
        patience: evaluations in a row without an improvement that "plateau" lets pass.
        accumulation_steps: forward passes an update.
        clip_norm: limit of the global gradient norm, 0 for none.
        exclude_bias_and_norm: whether biases and norms escape weight decay. The official code means to exclude them
            but does not.
        epsilon_after_correction: whether `epsilon` is added after the second moment was corrected for its start, as
            PyTorch and Optax do, or before, as in fairseq, with which SSLAM and EAT were trained.
    """

    optimizer: str = "adamw"
    schedule: str = "cosine"
    learning_rate: float = 5e-4
    floor: float = 0.0
    warmup_steps: int = 53_333
    total_steps: int = 400_000
    warmup_block: int = 50
    patience: int = 2
    accumulation_steps: int = 1
    weight_decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    clip_norm: float = 4.0
    exclude_bias_and_norm: bool = False
    epsilon_after_correction: bool = False

    def __post_init__(self):
        if not 0 <= self.warmup_steps < self.total_steps:
            raise ValueError(
                f"optim.warmup_steps is {self.warmup_steps}: it must be at least 0 and less than "
                f"optim.total_steps, which is {self.total_steps}"
            )
        if self.schedule != "cosine" and self.warmup_steps % self.warmup_block:
            raise ValueError(
                f"optim.warmup_steps is {self.warmup_steps}: schedule {self.schedule!r} needs a multiple of "
                f"optim.warmup_block, which is {self.warmup_block}"
            )


@dataclasses.dataclass
class EvaluationArguments:
    """Clips that are not trained on, where they differ from the training clips.

    Attributes:
        path, split: instead of those of section `data`; null for the same.
        filters: column name -> values of the rows to keep.
    """

    path: str | None = None
    split: str | None = None
    filters: dict = dataclasses.field(default_factory=dict)

    def applied_to(self, data: Data) -> Data:
        """The settings of the evaluation clips.

        Raises:
            ValueError: nothing sets them apart from the training clips.
        """
        changes = {
            name: value for name, value in (("path", self.path), ("split", self.split)) if value is not None
        } | {"filters": self.filters}
        if all(getattr(data, name) == value for name, value in changes.items()):
            raise ValueError("evaluation and training clips are the same: set evaluation.path, .split or .filters")
        return dataclasses.replace(data, **changes)


@dataclasses.dataclass
class HeldOutArguments(EvaluationArguments):
    """Evaluation during pretraining, with the same masks every time; and:

    Attributes:
        every: updates between two evaluations; 0 for none.
    """

    every: int = 0


@dataclasses.dataclass
class RunArguments:
    """How the run is executed, watched and saved.

    Attributes:
        output_dir: folder of checkpoints, `metrics.jsonl` and tensorboard files.
        seed: of the initial weights, the shuffling, and every mask, mixture and noise.
        mixed_precision: "no", "bf16" or "fp16".
        gradient_checkpointing: recompute activations in the backward pass, to save memory.
        log_every, checkpoint_every: in updates.
        keep_checkpoints: how many of the latest are kept.
        stop_after: update after which to stop although the schedule goes on.
        resume: true (latest checkpoint of `output_dir`, if there is one), false, or a checkpoint folder.
        min_prediction_variance, min_target_variance: limits of the collapse monitor, see `training/run/monitor.py`;
            0 disables.
    """

    output_dir: str = "outputs/pretrain"
    seed: int = 1
    mixed_precision: str = "no"
    gradient_checkpointing: bool = False
    log_every: int = 100
    checkpoint_every: int = 5000
    keep_checkpoints: int = 2
    stop_after: int | None = None
    resume: bool | str = False
    min_prediction_variance: float = 0.01
    min_target_variance: float = 0.01


@dataclasses.dataclass
class PretrainArguments:
    """All sections of a recipe."""

    model: ModelArguments = dataclasses.field(default_factory=ModelArguments)
    objective: ObjectiveArguments = dataclasses.field(default_factory=ObjectiveArguments)
    data: DataArguments = dataclasses.field(default_factory=DataArguments)
    evaluation: HeldOutArguments = dataclasses.field(default_factory=HeldOutArguments)
    optim: OptimArguments = dataclasses.field(default_factory=OptimArguments)
    run: RunArguments = dataclasses.field(default_factory=RunArguments)

    def __post_init__(self):
        positive = {
            "data.target_length": self.data.target_length,
            "data.batch_size": self.data.batch_size,
            "optim.total_steps": self.optim.total_steps,
            "optim.accumulation_steps": self.optim.accumulation_steps,
            "run.log_every": self.run.log_every,
            "run.checkpoint_every": self.run.checkpoint_every,
            "run.keep_checkpoints": self.run.keep_checkpoints,
        }
        for name, value in positive.items():
            if value < 1:
                raise ValueError(f"{name} is {value}: it must be at least 1")
        if self.optim.schedule == "plateau" and not self.evaluation.every:
            raise ValueError("optim.schedule is 'plateau', which watches evaluations: set evaluation.every")


class _RecipeLoader(yaml.SafeLoader):
    """Safe YAML in which `5e-4` is a number, as in YAML 1.2 (PyYAML alone reads it as text)."""


_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


Arguments = typing.TypeVar("Arguments")


def load_arguments(
    recipe: str | pathlib.Path | None,
    overrides: list[str] | tuple[str, ...] = (),
    arguments_class: type[Arguments] = PretrainArguments,
) -> Arguments:
    """Reads a recipe and applies `section.field=value` overrides, whose values are YAML.

    Args:
        recipe: YAML file, or None for the defaults.
        arguments_class: dataclass with one dataclass a section.
    Raises:
        ValueError: unknown section or field, value of the wrong type, or an override of another form.
        FileNotFoundError: there is no such recipe.
    """
    sections = {} if recipe is None else yaml.load(pathlib.Path(recipe).read_text(), _RecipeLoader) or {}
    if not isinstance(sections, dict):
        raise ValueError(f"{recipe} holds a {type(sections).__name__}: it must be a mapping of sections")
    for override in overrides:
        _apply_override(sections, override)
    return build_arguments(sections, arguments_class)


def build_arguments(
    sections: dict[str, dict | None], arguments_class: type[Arguments] = PretrainArguments
) -> Arguments:
    """The arguments from one mapping a section, as `dump_arguments` makes them. Raises ValueError as above."""
    known = typing.get_type_hints(arguments_class)
    _refuse_unknown("section", sections, known)
    return arguments_class(**{name: _build_section(name, known[name], sections[name] or {}) for name in sections})


def dump_arguments(arguments: Arguments) -> dict[str, dict]:
    """The complete settings as one mapping a section, defaults included; `build_arguments` reads them back."""
    sections = dataclasses.asdict(arguments)
    for section in sections.values():
        section.update(section.pop("options", {}))
    return sections


def write_arguments(arguments: Arguments, path: pathlib.Path) -> None:
    """Writes the complete settings as a recipe that repeats the run."""
    path.write_text(yaml.safe_dump(dump_arguments(arguments), sort_keys=False))


def _apply_override(sections: dict, override: str) -> None:
    keys, equals, value = override.partition("=")
    section, dot, field = keys.partition(".")
    if not (equals and dot and field):
        raise ValueError(f"override {override!r} is not of the form section.field=value")
    sections[section] = (sections.get(section) or {}) | {field: yaml.load(value, _RecipeLoader)}


def _build_section(name: str, section_class: type, values: dict):
    """An instance of the section; keys without a field of their own go to `options` where the section has that."""
    if not isinstance(values, dict):
        raise ValueError(f"section {name} is {values!r}: it must be a mapping of fields")
    types = typing.get_type_hints(section_class)
    takes_options = types.pop("options", None) is not None
    own = {key: value for key, value in values.items() if key in types}
    options = {key: value for key, value in values.items() if key not in types}
    if not takes_options:
        _refuse_unknown(f"field of section {name}", options, types)
    own = {key: _coerce(f"{name}.{key}", value, types[key]) for key, value in own.items()}
    return section_class(**own, options=options) if takes_options else section_class(**own)


def _coerce(name: str, value: object, wanted: type) -> object:
    """`value` when it is of the wanted type (an integer also serves as a float)."""
    choices = typing.get_args(wanted) or (wanted,)
    if type(value) in choices:
        return value
    if float in choices and type(value) is int:
        return float(value)
    names = " or ".join("null" if choice is type(None) else choice.__name__ for choice in choices)
    raise ValueError(f"{name} is {value!r} ({type(value).__name__}): it must be {names}")


def _refuse_unknown(what: str, given: typing.Iterable[str], known: typing.Iterable[str]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"unknown {what}: {', '.join(map(str, unknown))}; known: {', '.join(known)}")
