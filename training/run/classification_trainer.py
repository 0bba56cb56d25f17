"""`Trainer` of transformers with the batches, the samplers, the losses and the schedules of our recipes."""

from __future__ import annotations

import torch
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import Dataset, Sampler
from transformers import Trainer, TrainerCallback

from training.data.augment import random_mixup, random_permutation_mixup, spec_augment
from training.objectives.classification import get_loss
from training.optim.schedules import Schedule
from training.run.averaging import EpochMeans
from training.run.early_stop import watched_metric
from training.settings.augment import AugmentArguments


class TrainingCollator:
    """Stacks clips to a batch; clips that were augmented (they carry a seed) are also mixed and masked.

    The first clip's seed gives the draws of the whole batch.
    """

    def __init__(self, arguments: AugmentArguments):
        self.arguments = arguments

    def __call__(self, clips: list[dict]) -> dict[str, torch.Tensor]:
        """`input_values` (B, T, F), `labels` (B, C), and what else the clips have, such as `attention_mask` (B, T)."""
        batch = {name: torch.stack([clip[name] for clip in clips]) for name in clips[0] if name != "seed"}
        if "seed" in clips[0]:
            mixed = self.augment(batch["input_values"], batch["labels"], clips[0]["seed"])
            batch["input_values"], batch["labels"] = mixed
        return batch

    def augment(self, features: torch.Tensor, targets: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        options, generator = self.arguments, torch.Generator().manual_seed(seed)
        if options.mixup_alpha:
            mixed, targets = self.mix(features, targets, generator)
            features = mixed if options.mixup_inputs else features
        if options.mask_ratio:
            features = spec_augment(features, options.mask_ratio, generator)
        return features, targets

    def mix(
        self, features: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mixup of inputs and targets, in the pairs of the recipe."""
        options = self.arguments
        alpha, probability = options.mixup_alpha, options.mixup_probability
        if options.mixup_pairs == "mirror":
            return random_mixup(features, targets, alpha, probability, generator)
        return random_permutation_mixup(features, targets, alpha, probability, options.mixup_seed, generator)


class RecipeSchedule(LRScheduler):
    """A schedule of ours as a scheduler for `Trainer`: a rate (and an epsilon) for every group."""

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: Schedule):
        self.schedule = schedule
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        self.schedule.set_step(self.optimizer, self.last_epoch)
        return self.get_last_lr()

    def get_last_lr(self) -> list[float]:
        """The rates in force, which an evaluation may have changed since the last update."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict:
        """The number of updates and the schedule's own state; the rates are in the optimiser's."""
        return {"last_epoch": self.last_epoch, "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state_dict: dict) -> None:
        """Takes back what `state_dict` gave; the schedules of earlier versions had no state."""
        self.last_epoch = state_dict["last_epoch"]
        self.schedule.load_state_dict(state_dict.get("schedule", {}))


class ScheduleObserver(TrainerCallback):
    """Tells a schedule how good the model is after each evaluation, by the metric that picks the checkpoint."""

    def __init__(self, schedule: Schedule):
        self.schedule = schedule

    def on_evaluate(self, args, state, control, metrics: dict[str, float], **kwargs) -> None:
        score = metrics.get(watched_metric(args))
        if score is not None:  # other clips are measured too, when the run is over
            self.schedule.observe(score)


class ClassificationTrainer(Trainer):
    """`Trainer` with the sampler, the losses and the averages of the recipes.

    Differs from fairseq with gradient accumulation: each forward pass is divided by its own sample size, and the
    passes are averaged, instead of one division by the sample size of the whole update.
    """

    def __init__(
        self,
        *args,
        sampler: Sampler,
        loss: str,
        means: EpochMeans,
        label_smoothing: float = 0.0,
        test_dataset: Dataset | None = None,
        **kwargs,
    ):
        super().__init__(*args, callbacks=[means], compute_metrics=means.compute_metrics, **kwargs)
        self.add_callback(ScheduleObserver(self.lr_scheduler.schedule))
        self.sampler = sampler
        self.means = means
        self.test_dataset = test_dataset
        self.loss = get_loss(loss)
        self.label_smoothing = label_smoothing
        self.model_accepts_loss_kwargs = False  # the loss is ours, so Trainer is to average accumulated passes

    def _get_train_sampler(self, train_dataset=None) -> Sampler:
        return self.sampler

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Sum of the loss elements over the mean sample size of a process: gradients are averaged over processes."""
        outputs = model(**{name: values for name, values in inputs.items() if name != "labels"})
        smoothing = self.label_smoothing if model.training else 0.0
        elements, sample_size = self.loss(outputs.logits, inputs["labels"], smoothing)
        if model.training:
            sample_size = self.accelerator.reduce(sample_size, reduction="mean")
        loss = elements.sum() / sample_size.clamp(min=1.0)
        return (loss, outputs) if return_outputs else loss

    def measure(self) -> dict[str, float]:
        """Metrics of the model as it is: `eval_...`, and `test_...` where there are test clips.

        With a mean of scores also those of its last evaluation, `eval_cumulative_...`.
        """
        self.compute_metrics = self.means.metrics_of_model
        results = self.evaluate() | {f"eval_{name}": value for name, value in self.means.cumulative.items()}
        if self.test_dataset is not None:
            results |= self.evaluate(self.test_dataset, metric_key_prefix="test")
        return results
