"""Fine-tuning and linear evaluation of a classifier with transformers' `Trainer`.

    python -m training.finetune --config training/recipes/finetune_as20k.yaml model.init_from=... data.path=...

The recipes are those of SSLAM (Alex et al., ICLR 2025) and EAT (Chen et al., IJCAI 2024).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import pathlib
import sys

if not __package__:  # started as a file: Python then looks for modules beside it instead of in the repository
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import torch
from torch.optim.lr_scheduler import LRScheduler
from transformers import (
    AutoConfig,
    AutoModelForAudioClassification,
    PreTrainedConfig,
    PreTrainedModel,
    SequenceFeatureExtractor,
    Trainer,
    TrainingArguments,
    set_seed,
)

import modeling_sslam  # noqa: F401  (registers the families)
from training.arguments import OptimArguments, load_arguments, write_arguments
from training.augment import random_mixup, spec_augment
from training.initialize import build_feature_extractor
from training.labelled_data import (
    EvaluationArguments,
    LabelledClips,
    LabelledDataArguments,
    SeededSampler,
    inverse_frequency_weights,
    label_indices,
    label_names,
    load_labelled_rows,
)
from training.losses import get_loss
from training.metrics import build_compute_metrics
from training.optim import build_optimizer, parameter_groups, set_step
from training.provenance import describe_run

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class ClassifierArguments:
    """The classifier.

    Attributes:
        init_from: `save_pretrained` folder of any of our models; its student encoder is taken, its decoder left out.
        freeze_encoder: train the head only, its norm included. The encoder stays in training mode, as in the official
            linear evaluation, so `drop_path_rate` is in force; 0 gives a deterministic encoder.
        options: every other key of the section: fields of the model's configuration, such as `drop_path_rate`.
    """

    init_from: str = ""
    freeze_encoder: bool = False
    options: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class AugmentArguments:
    """Augmentation of the training clips, see `training/augment.py`.

    Attributes:
        roll: circular shift and gain of the waveform.
        noise: noise and shift of the spectrogram.
        mixup_alpha: of the Beta distribution of the mixing weight; 0 for no mixup.
        mixup_probability: share of the batches that are mixed.
        mask_ratio: widest SpecAugment band as a share of its axis; 0 for none.
    """

    roll: bool = False
    noise: bool = False
    mixup_alpha: float = 0.0
    mixup_probability: float = 0.9
    mask_ratio: float = 0.0


@dataclasses.dataclass
class FinetuneOptimArguments(OptimArguments):
    """AdamW and loss; `OptimArguments` with the defaults of fine-tuning, and:

    Attributes:
        layer_decay: factor of the learning rate from one encoder layer to the one below it.
        loss: "bce_per_label", "bce_per_clip" or "cross_entropy", see `training/losses.py`.
        label_smoothing: of cross-entropy, in training only.
    """

    learning_rate: float = 5e-5
    floor: float = 1e-6
    warmup_steps: int = 4_000
    total_steps: int = 40_000
    clip_norm: float = 0.0
    layer_decay: float = 0.65
    loss: str = "bce_per_label"
    label_smoothing: float = 0.0


@dataclasses.dataclass
class FinetuneRunArguments:
    """How the run is executed, watched and saved.

    Attributes:
        output_dir: the best model and `results.json`; checkpoints and tensorboard files below it.
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
    """All sections of a recipe."""

    model: ClassifierArguments = dataclasses.field(default_factory=ClassifierArguments)
    data: LabelledDataArguments = dataclasses.field(default_factory=LabelledDataArguments)
    evaluation: EvaluationArguments = dataclasses.field(default_factory=EvaluationArguments)
    augment: AugmentArguments = dataclasses.field(default_factory=AugmentArguments)
    optim: FinetuneOptimArguments = dataclasses.field(default_factory=FinetuneOptimArguments)
    run: FinetuneRunArguments = dataclasses.field(default_factory=FinetuneRunArguments)

    def __post_init__(self):
        if self.augment.mixup_alpha and self.data.batch_size % 2:
            raise ValueError(
                f"data.batch_size is {self.data.batch_size}: mixup pairs the clips of a batch, so it must be even "
                "(augment.mixup_alpha=0 turns mixup off)"
            )


class TrainingCollator:
    """Stacks clips to a batch; clips that were augmented (they carry a seed) are also mixed and masked.

    The first clip's seed gives the draws of the whole batch.
    """

    def __init__(self, arguments: AugmentArguments):
        self.arguments = arguments

    def __call__(self, clips: list[dict]) -> dict[str, torch.Tensor]:
        """`input_values` (B, T, F) and `labels` (B, C)."""
        features = torch.stack([clip["input_values"] for clip in clips])
        targets = torch.stack([clip["labels"] for clip in clips])
        if "seed" in clips[0]:
            features, targets = self.augment(features, targets, clips[0]["seed"])
        return {"input_values": features, "labels": targets}

    def augment(self, features: torch.Tensor, targets: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        options, generator = self.arguments, torch.Generator().manual_seed(seed)
        if options.mixup_alpha:
            features, targets = random_mixup(
                features, targets, options.mixup_alpha, options.mixup_probability, generator
            )
        if options.mask_ratio:
            features = spec_augment(features, options.mask_ratio, generator)
        return features, targets


class RecipeSchedule(LRScheduler):
    """`set_step` of the official recipes as a scheduler for `Trainer`: a rate (and an epsilon) for every group."""

    def __init__(self, optimizer: torch.optim.Optimizer, warmup: int, total: int):
        self.warmup = warmup
        self.total = total
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        set_step(self.optimizer, self.last_epoch, self.warmup, self.total)
        return [group["lr"] for group in self.optimizer.param_groups]


class ClassificationTrainer(Trainer):
    """`Trainer` with the sampler and the losses of the recipes.

    Differs from fairseq with gradient accumulation: each forward pass is divided by its own sample size, and the
    passes are averaged, instead of one division by the sample size of the whole update.
    """

    def __init__(self, *args, sampler: SeededSampler, loss: str, label_smoothing: float, **kwargs):
        super().__init__(*args, **kwargs)
        self.sampler = sampler
        self.loss = get_loss(loss)
        self.label_smoothing = label_smoothing
        self.model_accepts_loss_kwargs = False  # the loss is ours, so Trainer is to average accumulated passes

    def _get_train_sampler(self, train_dataset=None) -> SeededSampler:
        return self.sampler

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Sum of the loss elements over the mean sample size of a process: gradients are averaged over processes."""
        outputs = model(input_values=inputs["input_values"])
        smoothing = self.label_smoothing if model.training else 0.0
        elements, sample_size = self.loss(outputs.logits, inputs["labels"], smoothing)
        if model.training:
            sample_size = self.accelerator.reduce(sample_size, reduction="mean")
        loss = elements.sum() / sample_size.clamp(min=1.0)
        return (loss, outputs) if return_outputs else loss


def read_config(arguments: ClassifierArguments) -> PreTrainedConfig:
    """The configuration of the checkpoint with the fields that the recipe changes.

    Raises:
        ValueError: no checkpoint, or a field that the model does not have.
    """
    if not arguments.init_from:
        raise ValueError("model.init_from is empty: name the folder of a pretrained model")
    config = AutoConfig.from_pretrained(arguments.init_from)
    if unknown := sorted(name for name in arguments.options if not hasattr(config, name)):
        raise ValueError(f"unknown field of section model: {', '.join(unknown)}; see {type(config).__name__}")
    for name, value in arguments.options.items():
        setattr(config, name, value)
    return config


def build_classifier(
    arguments: ClassifierArguments, config: PreTrainedConfig, classes: list[str], multi_label: bool
) -> PreTrainedModel:
    """The encoder of a checkpoint with a new head, its classes written into its configuration."""
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: index for index, name in enumerate(classes)}
    config.problem_type = "multi_label_classification" if multi_label else "single_label_classification"
    model = AutoModelForAudioClassification.from_pretrained(
        arguments.init_from, config=config, dtype="float32", ignore_mismatched_sizes=True
    )
    model.base_model.requires_grad_(not arguments.freeze_encoder)
    return model


def build_clips(
    arguments: FinetuneArguments, feature_extractor: SequenceFeatureExtractor
) -> tuple[LabelledClips, LabelledClips, list[str]]:
    """Training clips, evaluation clips, and the classes."""
    data, augment = arguments.data, arguments.augment
    training, evaluation = load_labelled_rows(data), load_labelled_rows(arguments.evaluation.applied_to(data))
    classes = label_names(data, training.names)

    def clips(labelled, **augmentation) -> LabelledClips:
        indices = label_indices(labelled.names, classes)
        return LabelledClips(
            labelled.rows, indices, len(classes), feature_extractor, data.audio_column, **augmentation
        )

    return clips(training, roll=augment.roll, noise=augment.noise), clips(evaluation), classes


def build_training_arguments(arguments: FinetuneArguments) -> TrainingArguments:
    """The recipe in `Trainer`'s terms."""
    data, optim, run = arguments.data, arguments.optim, arguments.run
    every = "epoch" if run.evaluate_every is None else "steps"
    return TrainingArguments(
        output_dir=run.output_dir,
        seed=run.seed,
        max_steps=optim.total_steps,
        per_device_train_batch_size=data.batch_size,
        per_device_eval_batch_size=data.batch_size,
        gradient_accumulation_steps=optim.accumulation_steps,
        max_grad_norm=optim.clip_norm,
        dataloader_num_workers=data.num_workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        bf16=run.mixed_precision == "bf16",
        fp16=run.mixed_precision == "fp16",
        logging_steps=run.log_every,
        report_to=["tensorboard"],
        eval_strategy=every,
        save_strategy=every,
        eval_steps=run.evaluate_every,
        save_steps=run.evaluate_every or 500,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model=run.metric or ("mean_average_precision" if data.multi_label else "accuracy"),
        greater_is_better=True,
    )


def build_trainer(arguments: FinetuneArguments) -> ClassificationTrainer:
    """Everything that a run needs, ready to train."""
    data, optim, run = arguments.data, arguments.optim, arguments.run
    set_seed(run.seed)
    config = read_config(arguments.model)
    feature_extractor = build_feature_extractor(data, config)
    training, evaluation, classes = build_clips(arguments, feature_extractor)
    model = build_classifier(arguments.model, config, classes, data.multi_label)
    groups = parameter_groups(
        model, optim.learning_rate, optim.weight_decay, optim.floor, optim.layer_decay, optim.exclude_bias_and_norm
    )
    optimizer = build_optimizer(groups, (optim.beta1, optim.beta2), optim.epsilon, optim.epsilon_after_correction)
    trainer_arguments = build_training_arguments(arguments)
    sampler = SeededSampler(
        len(training),
        run.seed,
        multiple=data.batch_size * optim.accumulation_steps * trainer_arguments.world_size,
        weights=None if data.epoch_size is None else inverse_frequency_weights(training.indices),
        epoch_size=data.epoch_size,
    )
    return ClassificationTrainer(
        model=model,
        args=trainer_arguments,
        data_collator=TrainingCollator(arguments.augment),
        train_dataset=training,
        eval_dataset=evaluation,
        processing_class=feature_extractor,
        compute_metrics=build_compute_metrics(data.multi_label),
        optimizers=(optimizer, RecipeSchedule(optimizer, optim.warmup_steps, optim.total_steps)),
        sampler=sampler,
        loss=optim.loss,
        label_smoothing=optim.label_smoothing,
    )


def finetune(arguments: FinetuneArguments) -> dict[str, float]:
    """Trains, keeps the best checkpoint, saves it with its extractor, and evaluates it.

    Returns:
        the metrics of the saved model on the evaluation clips.
    """
    trainer = build_trainer(arguments)
    trainer.train(resume_from_checkpoint=arguments.run.resume or None)
    results = trainer.evaluate()
    trainer.save_model()
    if trainer.is_world_process_zero():
        output = pathlib.Path(arguments.run.output_dir)
        write_arguments(arguments, output / "recipe.yaml")
        run = describe_run(model=arguments.run.output_dir, dataset=arguments.data.path)
        (output / "results.json").write_text(json.dumps(run | {"finetune": results}, indent=2))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="recipe, a YAML file")
    parser.add_argument("overrides", nargs="*", help="section.field=value, replaces a field of the recipe")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    results = finetune(load_arguments(options.config, options.overrides, FinetuneArguments))
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
