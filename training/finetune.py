"""Fine-tuning and linear evaluation of a classifier with transformers' `Trainer`.

    python -m training.finetune --config training/recipes/finetune_as20k.yaml model.init_from=... data.path=...

The recipes are those of SSLAM (Alex et al., ICLR 2025), EAT (Chen et al., IJCAI 2024), SSAST (Gong et al., AAAI 2022),
of SUPERB's utterance tasks (Yang et al., Interspeech 2021) and of GISE-51 (Yadav and Foster, arXiv 2103.12306, 2021).
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys

if not __package__:  # started as a file: Python then looks for modules beside it instead of in the repository
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import torch
from transformers import SequenceFeatureExtractor, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from training.data.labelled import ClipSource, LabelledClips, RecordedClips, label_names, load_labelled_rows
from training.data.sampling import FreshSampler, SeededSampler, inverse_frequency_weights
from training.metrics.classification import classification_metrics
from training.optim.optimizer import build_optimizer, parameter_groups
from training.optim.schedules import build_schedule
from training.run.averaging import EpochMeans, sigmoid_scores, softmax_scores
from training.run.classification_trainer import ClassificationTrainer, RecipeSchedule, TrainingCollator
from training.run.classifier import build_classifier, read_config
from training.run.command import recipe_command, start_log, write_results
from training.run.early_stop import EarlyStop
from training.run.initialize import build_feature_extractor
from training.settings.augment import AugmentArguments
from training.settings.data import SOUNDSCAPES, FinetuneDataArguments
from training.settings.finetuning import FinetuneArguments
from training.settings.recipe import write_arguments
from training.soundscapes.stream import SoundscapeClips, load_generator


@dataclasses.dataclass(frozen=True)
class FinetuneClips:
    """Clips to train on, those by which the model is chosen, and where there are, those for the chosen model alone."""

    training: LabelledClips
    evaluation: LabelledClips
    test: LabelledClips | None
    classes: list[str]


def build_clips(arguments: FinetuneArguments, feature_extractor: SequenceFeatureExtractor) -> FinetuneClips:
    """The clips of all data sections; the classes are those of the training clips or of `data.label_set`."""
    data, chosen_by, test = arguments.data, arguments.evaluation_data(), arguments.test_data()
    source = open_source(data)

    def clips(of: FinetuneDataArguments, source: ClipSource, augment: AugmentArguments | None = None) -> LabelledClips:
        return LabelledClips(
            source, feature_extractor, augment, target_length=of.target_length, crop=of.crops_anywhere
        )

    return FinetuneClips(
        clips(data, source, arguments.augment),
        clips(chosen_by, open_source(chosen_by, source.classes)),
        None if test is None else clips(test, open_source(test, source.classes)),
        source.classes,
    )


def open_source(data: FinetuneDataArguments, classes: list[str] | None = None) -> ClipSource:
    """The clips of a data section; without `classes`, theirs are those of the clips themselves or of `label_set`."""
    if data.format == SOUNDSCAPES:
        generator = load_generator(data)
        return SoundscapeClips(generator, classes or label_names(data, [generator.classes]))
    labelled = load_labelled_rows(data)
    return RecordedClips(labelled, classes or label_names(data, labelled.names), data.audio_column)


def build_sampler(source: ClipSource, data: FinetuneDataArguments, seed: int, multiple: int) -> SeededSampler:
    """The clips of each epoch, a multiple of an update's; soundscapes are new in every epoch."""
    if isinstance(source, RecordedClips):
        weights = None if data.epoch_size is None else inverse_frequency_weights(source.indices)
        return SeededSampler(len(source), seed, multiple, weights, data.epoch_size)
    return FreshSampler(len(source), seed, multiple)


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
        label_names=["labels"],
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
        restore_callback_states_from_checkpoint=run.early_stop is not None,
    )


def build_trainer(arguments: FinetuneArguments) -> ClassificationTrainer:
    """Everything that a run needs, ready to train."""
    data, optim, run = arguments.data, arguments.optim, arguments.run
    set_seed(run.seed)
    config = read_config(arguments.model)
    feature_extractor = build_feature_extractor(data, config)
    if arguments.model.head == "weighted_layers":
        feature_extractor.return_attention_mask = True  # only real frames count
    clips = build_clips(arguments, feature_extractor)
    model = build_classifier(arguments.model, config, clips.classes, data.multi_label)
    model.base_model.prepare_for_clips(data.target_length)
    groups = parameter_groups(
        model,
        optim.learning_rate,
        optim.weight_decay,
        optim.floor,
        optim.layer_decay,
        optim.exclude_bias_and_norm,
        optim.head_factor,
    )
    betas = optim.beta1, optim.beta2
    optimizer = build_optimizer(groups, betas, optim.epsilon, optim.epsilon_after_correction, optim.optimizer)
    trainer_arguments = build_training_arguments(arguments)
    clips_an_update = data.batch_size * optim.accumulation_steps * trainer_arguments.world_size
    sampler = build_sampler(clips.training.source, data, run.seed, clips_an_update)
    updates_per_epoch = len(sampler) // clips_an_update
    trainer_arguments.max_steps = optim.num_updates(updates_per_epoch)
    schedule = build_schedule(optim, optimizer, trainer_arguments.max_steps, updates_per_epoch)
    scores_of = softmax_scores if run.softmax_metrics else sigmoid_scores
    trainer = ClassificationTrainer(
        model=model,
        args=trainer_arguments,
        data_collator=TrainingCollator(arguments.augment),
        train_dataset=clips.training,
        eval_dataset=clips.evaluation,
        test_dataset=clips.test,
        processing_class=feature_extractor,
        optimizers=(optimizer, RecipeSchedule(optimizer, schedule)),
        sampler=sampler,
        loss=optim.loss,
        label_smoothing=optim.label_smoothing,
        means=EpochMeans(arguments.average, classification_metrics(data.multi_label, run.softmax_metrics), scores_of),
    )
    if run.early_stop is not None:
        trainer.add_callback(EarlyStop(run.early_stop))
    return trainer


def finetune(arguments: FinetuneArguments) -> dict[str, float]:
    """Trains, keeps the best checkpoint (or the mean of several), saves it with its extractor, and evaluates it.

    Returns:
        the metrics of the saved model, see `ClassificationTrainer.measure`.
    """
    trainer = build_trainer(arguments)
    resume = arguments.run.resume
    resume = get_last_checkpoint(arguments.run.output_dir) if resume is True else resume or None
    if resume:
        trainer.means.resume(pathlib.Path(resume))
    trainer.train(resume_from_checkpoint=resume)
    if arguments.average.first_epoch is not None:
        trainer.means.load_mean_weights(trainer.model)
    results = trainer.measure()
    trainer.save_model()
    if trainer.is_world_process_zero():
        output = pathlib.Path(arguments.run.output_dir)
        write_arguments(arguments, output / "recipe.yaml")
        write_results(output / "results.json", {"finetune": results}, arguments.run.output_dir, arguments.data.path)
    return results


def main() -> None:
    arguments = recipe_command(__doc__, FinetuneArguments)
    start_log()
    print(json.dumps(finetune(arguments), indent=2))


if __name__ == "__main__":
    main()
