"""Watches a pretraining run: where its numbers go, and the stop when they show that it has collapsed."""

from __future__ import annotations

import json
import math
import pathlib
import time

import torch
from accelerate import Accelerator
from tqdm.auto import tqdm

from training.settings.pretraining import PretrainArguments

MIN_LOSS_SCALE = 1e-6  # of the official fp16 runs


class CollapseError(RuntimeError):
    """The run is lost: it predicts a constant, or no longer a number."""


class CollapseMonitor:
    """Stops a run whose loss is not finite or whose representations have collapsed.

    Self-distillation can end in teacher and student that agree on a constant. Its signs are the spread over tokens of
    the student's predictions and of the teacher's targets (mean over channels of `sqrt(variance + 1e-6)`, so that a
    constant has 0.001) and, for the reader of the log, the distance between the two. Objectives without a teacher log
    neither; of them only the loss is watched.

    Args:
        min_prediction_variance, min_target_variance: lowest spread that is tolerated. The official recipes have 0,
            which disables the stop; targets are normalised, so that healthy ones stay above 0.1.
    """

    def __init__(self, min_prediction_variance: float, min_target_variance: float):
        self.minimum = {"prediction_variance": min_prediction_variance, "target_variance": min_target_variance}

    def check(self, step: int, values: dict[str, float]) -> None:
        """Raises CollapseError when `values`, logged after update `step`, are those of a lost run."""
        if not math.isfinite(values["loss"]):
            raise CollapseError(
                f"the loss is {values['loss']} after update {step}: lower optim.learning_rate, or train in bf16 or "
                "float32 if this is fp16; the last checkpoint is from before"
            )
        for name, minimum in self.minimum.items():
            if values.get(name, math.inf) < minimum:
                distance = values.get("teacher_student_distance", math.nan)
                raise CollapseError(
                    f"{name} fell to {values[name]:.4g} after update {step}, below the minimum of {minimum:g} "
                    f"(teacher and student are {distance:.3g} apart): the model has collapsed to a constant. Lower "
                    f"optim.learning_rate or raise the teacher's decay; run.min_{name}=0 disables this stop"
                )


def check_loss_scale(scale: float) -> None:
    """Raises CollapseError when fp16 training has lowered its loss scale so far that no scale can help."""
    if scale < MIN_LOSS_SCALE:
        raise CollapseError(
            f"the fp16 loss scale fell to {scale:.2g}, below {MIN_LOSS_SCALE:g}: every update overflows. Lower "
            "optim.learning_rate, or set run.mixed_precision=bf16"
        )


class MetricsFile:
    """One JSON object a line: the update and what was logged after it.

    Args:
        path: the file; lines after update `start` are dropped, which a resumed run is about to write again.
        start: completed updates.
    """

    def __init__(self, path: pathlib.Path, start: int):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in read_metrics(path) if line["step"] <= start] if path.exists() else []
        path.write_text("".join(json.dumps(line) + "\n" for line in kept))

    def write(self, step: int, values: dict[str, float]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step} | values) + "\n")


def read_metrics(path: pathlib.Path) -> list[dict[str, float]]:
    """The lines of a `metrics.jsonl`, oldest first."""
    return [json.loads(line) for line in path.read_text().splitlines()]


class Reporter:
    """Numbers of a run to the progress bar, tensorboard and `metrics.jsonl`, past the collapse monitor.

    Args:
        start: completed updates.
    """

    def __init__(self, arguments: PretrainArguments, accelerator: Accelerator, start: int):
        run, optim = arguments.run, arguments.optim
        self.accelerator = accelerator
        self.clips_a_step = arguments.data.batch_size * optim.accumulation_steps * accelerator.num_processes
        self.monitor = CollapseMonitor(run.min_prediction_variance, run.min_target_variance)
        self.metrics = None
        if accelerator.is_main_process:
            self.metrics = MetricsFile(pathlib.Path(run.output_dir) / "metrics.jsonl", start)
        accelerator.init_trackers("tensorboard")
        total = min(optim.total_steps, run.stop_after or optim.total_steps)
        self.progress = tqdm(initial=start, total=total, disable=not accelerator.is_main_process, desc="updates")
        self.last_step, self.last_time = start, time.perf_counter()

    def report(self, step: int, logs: list[dict[str, torch.Tensor]], learning_rate: float, num_skipped: int) -> None:
        """The one place where the host waits for the device.

        Args:
            step: completed updates.
            logs: of each forward pass of the update.
            num_skipped: clips that this process could not decode.
        Raises:
            CollapseError: the run is lost.
        """
        values = average_logs(logs, self.accelerator)
        now = time.perf_counter()
        values["clips_per_second"] = self.clips_a_step * (step - self.last_step) / (now - self.last_time)
        values["learning_rate"] = learning_rate
        skipped = torch.tensor(num_skipped, device=self.accelerator.device)
        values["skipped_clips"] = int(self.accelerator.reduce(skipped, reduction="sum"))
        self.progress.set_postfix(loss=f"{values['loss']:.4g}")
        self.accelerator.log(values, step=step)
        if self.metrics is not None:
            self.metrics.write(step, values)
        self.monitor.check(step, values)
        self.last_step, self.last_time = step, now

    def close(self) -> None:
        self.progress.close()
        self.accelerator.end_training()


def average_logs(logs: list[dict[str, torch.Tensor]], accelerator: Accelerator) -> dict[str, float]:
    """Mean of each value over the forward passes that logged it, and over processes."""
    names = sorted({name for of_batch in logs for name in of_batch})
    means = []
    for name in names:
        logged = [of_batch[name].to(accelerator.device, torch.float32) for of_batch in logs if name in of_batch]
        means.append(torch.stack(logged).mean())
    return dict(zip(names, accelerator.reduce(torch.stack(means), reduction="mean").tolist(), strict=True))
