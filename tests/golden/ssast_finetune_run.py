"""Golden case of whole fine-tuning runs of SSAST, by the trainer, the schedule and the averages of our recipes."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Iterator

import numpy
import torch
from safetensors.torch import load_file
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, TrainingArguments

from modeling_sslam import SsastForAudioClassification
from modeling_sslam.official.ssast import official_to_ours
from training.metrics.classification import multi_label_metrics, single_label_metrics
from training.optim.optimizer import build_optimizer, parameter_groups
from training.optim.schedules import EpochSchedule
from training.run.averaging import EpochMeans
from training.run.classification_trainer import ClassificationTrainer, RecipeSchedule, TrainingCollator
from training.settings.augment import AugmentArguments
from training.settings.finetuning import AverageArguments

from .registry import Check, Tensors, case, close
from .ssast_model import ssast_config, stripped

WARMUP, BLOCK = 1000, 50  # fixed in the official code
POOLINGS = {"ft_avgtok": "mean", "ft_cls": "cls"}
LOSSES = {"BCE": "bce_mean", "CE": "cross_entropy"}
METRICS = {"mAP": "mean_average_precision", "acc": "accuracy"}
RATE, LOSS, SCORE, METRIC, PARAMETER = 1e-9, 1e-4, 2e-3, 1e-3, 1e-3


class RecordingTrainer(ClassificationTrainer):
    """Also keeps loss and rates (of encoder and head) of every update."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.remove_callback(PrinterCallback)
        self.losses: list[float] = []
        self.rates: list[list[float]] = []

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        result = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if model.training:
            rate_of = {name: group["lr"] for group in self.optimizer.param_groups for name in group["names"]}
            self.rates.append([rate_of["ssast.norm.weight"], rate_of["classifier.dense.weight"]])
            self.losses.append(result.item())
        return result


def all_metrics(scores: numpy.ndarray, labels: numpy.ndarray) -> dict[str, float]:
    return multi_label_metrics(scores, labels) | single_label_metrics(scores, labels)


def clips(features: torch.Tensor, labels: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    return [{"input_values": x, "labels": y} for x, y in zip(features, labels, strict=True)]


@case("ssast/finetune_run")
def finetune_run(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(path, config, tensors, folder)
        trainer.train()
    yield close("losses", torch.tensor(trainer.losses), tensors["step_loss"], atol=LOSS)
    yield close("rates", torch.tensor(trainer.rates), tensors["step_lr"], atol=RATE)
    yield from epochs(trainer, config, tensors)
    weights = dict(trainer.model.named_parameters())
    for name, want in tensors.items():
        if name.startswith("final."):
            (ours, want), *_ = official_to_ours(stripped({name.removeprefix("final."): want}), ()).items()
            yield close(name, weights[ours], want, atol=PARAMETER)

    yield close("scores", scores(trainer), tensors["final_predictions"], atol=SCORE)
    yield close("mean of scores", trainer.means.scores.mean["scores"], tensors["cumulative_predictions"], atol=SCORE)
    if config["wa"]:
        trainer.means.load_mean_weights(trainer.model)
        averaged = scores(trainer)
        yield close("scores of mean weights", averaged, tensors["wa_predictions"], atol=SCORE)
        found = multi_label_metrics(averaged.numpy(), tensors["eval_labels"].numpy())
        got = torch.tensor([found[name] for name in ("mean_average_precision", "mean_auc", "d_prime")])
        yield close("metrics of mean weights", got, tensors["wa_result"][[0, 1, 4]], atol=METRIC)


def build_trainer(path: pathlib.Path, config: dict, tensors: Tensors, folder: str) -> RecordingTrainer:
    """The run that a case describes: clips in order, no augmentation, the last incomplete batch left out."""
    updates_per_epoch = len(tensors["train_x"]) // config["batch"]
    model = classifier(path, config)
    groups = parameter_groups(model, config["lr"], config["weight_decay"], head_factor=config["head_lr"])
    optimizer = build_optimizer(groups, tuple(config["betas"]), epsilon_after_correction=True, kind="adam")
    drops = config["lrscheduler_start"], config["lrscheduler_step"], config["lrscheduler_decay"]
    schedule = EpochSchedule(WARMUP if config["warmup"] else 0, BLOCK, updates_per_epoch, *drops)
    first, last = config["wa"] or (None, None)
    training = clips(tensors["train_x"], tensors["train_labels"])[: updates_per_epoch * config["batch"]]
    return RecordingTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=folder,
            num_train_epochs=config["epochs"],
            per_device_train_batch_size=config["batch"],
            max_grad_norm=0.0,
            eval_strategy="epoch",
            save_strategy="no",
            metric_for_best_model=METRICS[config["metric"]],
            report_to=[],
            remove_unused_columns=False,
            disable_tqdm=True,
            use_cpu=True,
        ),
        data_collator=TrainingCollator(AugmentArguments()),
        train_dataset=training,
        eval_dataset=clips(tensors["train_x"], tensors["eval_labels"]),
        optimizers=(optimizer, RecipeSchedule(optimizer, schedule)),
        sampler=SequentialSampler(training),
        loss=LOSSES[config["loss"]],
        means=EpochMeans(AverageArguments(scores=True, first_epoch=first, last_epoch=last), all_metrics),
    )


def classifier(path: pathlib.Path, config: dict) -> SsastForAudioClassification:
    stride = config["tstride"], config["fstride"]
    grid = [(config[f"input_{axis}dim"] - config[f"{axis}shape"]) // config[f"{axis}stride"] + 1 for axis in "tf"]
    fields = {"num_mel_bins": config["input_fdim"], "patch_stride": stride, "position_grid": grid}
    sizes = ssast_config(config, **fields, num_labels=config["label_dim"], pooling=POOLINGS[config["task"]])
    model = SsastForAudioClassification(sizes)
    model.load_state_dict(official_to_ours(stripped(load_file(path / "weights.safetensors")), sizes.patch_size))
    return model


def epochs(trainer: RecordingTrainer, config: dict, tensors: Tensors) -> Iterator[Check]:
    """Columns of the official log. Left out are those that we do not offer, as they mean little: precision and recall
    in the middle of a thinned-out curve, and the loss of scores that went through the sigmoid twice.
    """
    log = [line for line in trainer.state.log_history if "eval_loss" in line]
    names = {0: METRICS[config["metric"]], 1: "mean_auc", 4: "d_prime", 7: f"cumulative_{METRICS[config['metric']]}"}
    names[8] = "cumulative_mean_auc"
    for column, name in names.items():
        got = torch.tensor([line[f"eval_{name}"] for line in log])
        want = tensors["result_csv"][:, column]
        yield close(name, got.nan_to_num(), want.nan_to_num(), atol=METRIC)  # d' of a perfect ranking is infinite
    losses = torch.tensor(trainer.losses).unflatten(0, (config["epochs"], -1)).mean(dim=1)
    yield close("training loss", losses, tensors["result_csv"][:, 5], atol=LOSS)
    updates_per_epoch = len(trainer.losses) // config["epochs"]
    last_rates = torch.tensor(trainer.rates)[updates_per_epoch - 1 :: updates_per_epoch, 0]
    yield close("rate", last_rates, tensors["result_csv"][:, 9], atol=RATE)


@torch.no_grad()
def scores(trainer: RecordingTrainer) -> torch.Tensor:
    """(N, C) of the model as it is, on the evaluation clips."""
    features = torch.stack([clip["input_values"] for clip in trainer.eval_dataset])
    return trainer.model.eval()(features).logits.sigmoid()
