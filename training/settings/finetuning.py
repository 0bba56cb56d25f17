"""Settings of a fine-tuning run: one dataclass a section."""

from __future__ import annotations

import dataclasses

from training.data.augment import AugmentArguments
from training.data.labelled import LabelledDataArguments
from training.run.averaging import AverageArguments
from training.settings.recipe import EvaluationArguments, OptimArguments


@dataclasses.dataclass
class ClassifierArguments:
    """The classifier.

    Attributes:
        init_from: `save_pretrained` folder of any of our models; its student encoder is taken, its decoder left out.
        head: "own", the classifier of the model's family, or "weighted_layers", which reads all layers
            (`training/probes/trained.py`).
        freeze_encoder: train the head only, its norm included. The encoder stays in training mode, as in the official
            linear evaluation, so `drop_path_rate` is in force; 0 gives a deterministic encoder.
        options: every other key of the section: fields of the model's configuration, such as `drop_path_rate`.
    """

    init_from: str = ""
    head: str = "own"
    freeze_encoder: bool = False
    options: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class FinetuneOptimArguments(OptimArguments):
    """The optimiser and the loss; `OptimArguments` with the defaults of fine-tuning, and:

    Attributes:
        schedule: "cosine", or "epochs", which multiplies the rate by `decay` after `decay_first` epochs and after each
            further `decay_every`.
        epochs: of the run, in place of `total_steps`.
        head_factor: of the learning rate of everything outside the encoder.
        layer_decay: factor of the learning rate from one encoder layer to the one below it.
        loss: "bce_per_label", "bce_per_clip", "bce_mean" or "cross_entropy", see `objectives/classification.py`.
        label_smoothing: of cross-entropy, in training only.
    """

    learning_rate: float = 5e-5
    floor: float = 1e-6
    warmup_steps: int = 4_000
    total_steps: int = 40_000
    epochs: int | None = None
    decay_first: int = 10
    decay_every: int = 5
    decay: float = 0.5
    clip_norm: float = 0.0
    head_factor: float = 1.0
    layer_decay: float = 0.65
    loss: str = "bce_per_label"
    label_smoothing: float = 0.0

    def __post_init__(self):
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"optim.epochs is {self.epochs}: it must be at least 1, or null for optim.total_steps")
        super().__post_init__()

    def num_updates(self, updates_per_epoch: int) -> int:
        """Of the whole run."""
        return self.total_steps if self.epochs is None else self.epochs * updates_per_epoch


@dataclasses.dataclass
class FinetuneRunArguments:
    """How the run is executed, watched and saved.

    Attributes:
        output_dir: the model and `results.json`; checkpoints and tensorboard files below it.
        seed: of the new head, the order of the clips and all augmentation.
        mixed_precision: "no", "bf16" or "fp16".
        log_every: in updates.
        evaluate_every: in updates; null for every epoch.
        metric: by which the best checkpoint is chosen, larger is better; null for mAP or accuracy, whichever fits.
        resume: true (latest checkpoint of `output_dir`), false, or a checkpoint folder.
    """

    output_dir: str = "outputs/finetune"
    seed: int = 1
    mixed_precision: str = "no"
    log_every: int = 100
    evaluate_every: int | None = None
    metric: str | None = None
    resume: bool | str = False


@dataclasses.dataclass
class FinetuneArguments:
    """All sections of a recipe. The model is chosen by the clips of `evaluation`; those of `test`, where the section
    sets them apart, are for the chosen model alone.
    """

    model: ClassifierArguments = dataclasses.field(default_factory=ClassifierArguments)
    data: LabelledDataArguments = dataclasses.field(default_factory=LabelledDataArguments)
    evaluation: EvaluationArguments = dataclasses.field(default_factory=EvaluationArguments)
    test: EvaluationArguments = dataclasses.field(default_factory=EvaluationArguments)
    augment: AugmentArguments = dataclasses.field(default_factory=AugmentArguments)
    optim: FinetuneOptimArguments = dataclasses.field(default_factory=FinetuneOptimArguments)
    average: AverageArguments = dataclasses.field(default_factory=AverageArguments)
    run: FinetuneRunArguments = dataclasses.field(default_factory=FinetuneRunArguments)

    def __post_init__(self):
        if self.augment.mixup_alpha and self.data.batch_size % 2:
            raise ValueError(
                f"data.batch_size is {self.data.batch_size}: mixup pairs the clips of a batch, so it must be even "
                "(augment.mixup_alpha=0 turns mixup off)"
            )
