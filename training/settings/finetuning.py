"""Settings of a fine-tuning run: one dataclass a section."""

from __future__ import annotations

import dataclasses

from training.settings.augment import AugmentArguments
from training.settings.data import FinetuneDataArguments, FinetuneEvaluationArguments
from training.settings.optim import FinetuneOptimArguments


@dataclasses.dataclass
class ClassifierArguments:
    """The classifier.

    Attributes:
        init_from: `save_pretrained` folder (or repository on the hub) of any of our models, of which the student
            encoder is taken and the decoder left out, or an official checkpoint, of which only the encoder is taken.
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
        softmax_metrics: where a clip has one label, also measure mAP, mean AUC and d' of the softmax scores.
        early_stop: evaluations in a row without an improvement of `metric`, however small, that end the run; null for
            none.
        resume: true (latest checkpoint of `output_dir`), false, or a checkpoint folder.
    """

    output_dir: str = "outputs/finetune"
    seed: int = 1
    mixed_precision: str = "no"
    log_every: int = 100
    evaluate_every: int | None = None
    metric: str | None = None
    softmax_metrics: bool = False
    early_stop: int | None = None
    resume: bool | str = False

    def __post_init__(self):
        if self.early_stop is not None and self.early_stop < 1:
            raise ValueError(f"run.early_stop is {self.early_stop}: it must be at least 1, or null for none")


@dataclasses.dataclass
class FinetuneArguments:
    """All sections of a recipe. The model is chosen by the clips of `evaluation`; those of `test`, where the section
    sets something, are for the chosen model alone. A section `test` that only sets `target_length` has the clips of
    `evaluation`.
    """

    model: ClassifierArguments = dataclasses.field(default_factory=ClassifierArguments)
    data: FinetuneDataArguments = dataclasses.field(default_factory=FinetuneDataArguments)
    evaluation: FinetuneEvaluationArguments = dataclasses.field(default_factory=FinetuneEvaluationArguments)
    test: FinetuneEvaluationArguments = dataclasses.field(default_factory=FinetuneEvaluationArguments)
    augment: AugmentArguments = dataclasses.field(default_factory=AugmentArguments)
    optim: FinetuneOptimArguments = dataclasses.field(default_factory=FinetuneOptimArguments)
    average: AverageArguments = dataclasses.field(default_factory=AverageArguments)
    run: FinetuneRunArguments = dataclasses.field(default_factory=FinetuneRunArguments)

    def __post_init__(self):
        augment = self.augment
        if augment.mixup_alpha and augment.mixup_pairs == "mirror" and self.data.batch_size % 2:
            raise ValueError(
                f"data.batch_size is {self.data.batch_size}: mixup pairs the clips of a batch, so it must be even "
                "(augment.mixup_alpha=0 turns mixup off)"
            )
        if augment.minimum_padding and self.data.fit != "crop":
            raise ValueError(
                f"augment.minimum_padding is {augment.minimum_padding}, but data.fit is {self.data.fit!r}, which pads "
                "with silence: set data.fit=crop"
            )
        if self.run.softmax_metrics and self.data.multi_label:
            raise ValueError(
                "run.softmax_metrics is for one label a clip, but data.label_separator says that clips have several, "
                "which are measured this way anyhow: leave it out"
            )

    def evaluation_data(self) -> FinetuneDataArguments:
        """The clips by which the model is chosen. Raises ValueError as `EvaluationArguments.applied_to`."""
        return self.evaluation.applied_to(self.data)

    def test_data(self) -> FinetuneDataArguments | None:
        """The clips for the chosen model alone, None where section `test` is empty; raises ValueError likewise."""
        if self.test == FinetuneEvaluationArguments():
            return None
        return self.test.applied_to(self.data) if self.test.chooses_clips else self.test.heard(self.evaluation_data())
