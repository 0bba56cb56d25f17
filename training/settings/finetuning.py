"""Settings of a fine-tuning run: one dataclass a section."""

from __future__ import annotations

import dataclasses

from training.settings.augment import AugmentArguments
from training.settings.data import EvaluationArguments, LabelledDataArguments
from training.settings.optim import FinetuneOptimArguments


@dataclasses.dataclass
class ClassifierArguments:
    """The classifier.

    Attributes:
        init_from: `save_pretrained` folder of any of our models; its student encoder is taken, its decoder left out.
        model_type: family of a classifier that starts from random weights, where `init_from` is empty.
        head: "own", the classifier of the model's family, or "weighted_layers", which reads all layers
            (`training/probes/trained.py`).
        freeze_encoder: train the head only, its norm included. The encoder stays in training mode, as in the official
            linear evaluation, so `drop_path_rate` is in force; 0 gives a deterministic encoder.
        options: every other key of the section: fields of the model's configuration, such as `drop_path_rate`.
    """

    init_from: str = ""
    model_type: str | None = None
    head: str = "own"
    freeze_encoder: bool = False
    options: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class AverageArguments:
    """Section `average` of a recipe.

    Attributes:
        scores: at every evaluation, also measure the mean of the scores of all models evaluated so far (checkpoint
            ensemble), as `cumulative_...`.
        first_epoch, last_epoch: the saved model has the mean of the weights after these epochs and all between them;
            null for the best checkpoint.
    """

    scores: bool = False
    first_epoch: int | None = None
    last_epoch: int | None = None

    def __post_init__(self):
        if (self.first_epoch is None) != (self.last_epoch is None):
            raise ValueError("average.first_epoch and average.last_epoch go together: set both or none")
        if self.first_epoch is not None and not 1 <= self.first_epoch <= self.last_epoch:
            raise ValueError(
                f"average.first_epoch is {self.first_epoch} and average.last_epoch {self.last_epoch}: epochs count "
                "from 1, and the first one must not be after the last one"
            )


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
