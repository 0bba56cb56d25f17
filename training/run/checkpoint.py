"""Checkpoints of pretraining: one folder each, complete or not there, from which a run goes on exactly.

- `config.json`, `model.safetensors`, `preprocessor_config.json`: what `from_pretrained` loads
- `teacher.safetensors`: the teacher's encoder, of objectives that have one
- `optimizer.pt`, `trainer.pt`, `process_<rank>.pt`: moments; counters; place in the data and random states
- `recipe.yaml`: the resolved settings
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import shutil

import torch
import yaml
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import SequenceFeatureExtractor

from training.data.stream import BEGINNING, Position
from training.objectives import OBJECTIVES, Objective
from training.optim.schedules import Schedule
from training.settings.pretraining import PretrainArguments
from training.settings.recipe import build_arguments, dump_arguments, write_arguments

MODEL_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
TEACHER_FILE = "teacher.safetensors"
RECIPE_FILE = "recipe.yaml"

# Settings that do not change what is computed. `init_from` has had its effect by the time of the first checkpoint.
MAY_CHANGE = {
    "model.init_from",
    "data.num_workers",
    "run.output_dir",
    "run.gradient_checkpointing",
    "run.log_every",
    "run.checkpoint_every",
    "run.keep_checkpoints",
    "run.stop_after",
    "run.resume",
    "run.min_prediction_variance",
    "run.min_target_variance",
}


@dataclasses.dataclass
class TrainingState:
    """Everything that a checkpoint holds besides settings.

    Attributes:
        model: the unwrapped student.
        objective: see `training/objectives`; its teacher, where it has one, is saved too.
        optimizer: as prepared by Accelerate.
        schedule: of its rates.
        feature_extractor: saved beside the model.
        step: completed updates.
        position: place in this process's row stream.
    """

    model: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    feature_extractor: SequenceFeatureExtractor
    step: int = 0
    position: Position = BEGINNING


def save_checkpoint(state: TrainingState, arguments: PretrainArguments, accelerator: Accelerator) -> pathlib.Path:
    """Writes `<output_dir>/checkpoint_<step>`, called by all processes; then removes the oldest ones.

    The folder is written under another name and renamed, so that a crash never leaves half a checkpoint. All processes
    must see the same file system.
    """
    output = pathlib.Path(arguments.run.output_dir)
    folder, unfinished = output / f"checkpoint_{state.step:08d}", output / "unfinished_checkpoint"
    if accelerator.is_main_process:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        _save_shared(state, arguments, accelerator, unfinished)
    accelerator.wait_for_everyone()
    torch.save(_process_state(state, accelerator.device), unfinished / _process_file(accelerator.process_index))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
        for old in _checkpoints(output)[: -arguments.run.keep_checkpoints]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return folder


def load_checkpoint(
    folder: pathlib.Path, state: TrainingState, arguments: PretrainArguments, accelerator: Accelerator
) -> None:
    """Brings `state` to where it was when `folder` was saved, random states included.

    Raises:
        ValueError: the run has other settings or another number of processes; all differences are named.
    """
    trainer = _load(folder / "trainer.pt")
    _refuse_other_run(folder, arguments, trainer["num_processes"], accelerator.num_processes)
    state.model.load_state_dict(load_file(folder / MODEL_FILE))
    if state.objective.teacher is not None:
        state.objective.teacher.model.load_state_dict(load_file(folder / TEACHER_FILE))
    state.objective.load_state_dict(trainer["objective"])
    state.optimizer.load_state_dict(_load(folder / "optimizer.pt"))
    state.schedule.load_state_dict(trainer["schedule"])
    if accelerator.scaler is not None:
        accelerator.scaler.load_state_dict(trainer["scaler"])
    process = _load(folder / _process_file(accelerator.process_index))
    torch.set_rng_state(process["random_state"])
    if accelerator.device.type == "cuda":
        torch.cuda.set_rng_state(process["cuda_random_state"], accelerator.device)
    state.step = trainer["step"]
    state.position = Position(**process["position"])


def find_resume(arguments: PretrainArguments) -> pathlib.Path | None:
    """The checkpoint to go on from, None for a new run.

    Raises:
        ValueError: the given path is no checkpoint, or a new run would write among the checkpoints of another.
    """
    resume, output = arguments.run.resume, pathlib.Path(arguments.run.output_dir)
    if isinstance(resume, str):
        if not (pathlib.Path(resume) / "trainer.pt").exists():
            raise ValueError(f"run.resume is {resume!r}, which is not a checkpoint folder of a pretraining run")
        return pathlib.Path(resume)
    latest = latest_checkpoint(output)
    if latest is not None and not resume:
        raise ValueError(
            f"{output} already holds {latest.name}: set run.resume=true to go on from it, or another run.output_dir"
        )
    return latest


def latest_checkpoint(output_dir: str | pathlib.Path) -> pathlib.Path | None:
    """The newest checkpoint folder of a run, None when there is none."""
    found = _checkpoints(pathlib.Path(output_dir))
    return found[-1] if found else None


def differing_settings(saved: PretrainArguments, current: PretrainArguments) -> list[str]:
    """One line for each field that would change what is computed."""
    before, now = _flatten(saved), _flatten(current)
    return [
        f"{name}: the checkpoint has {before.get(name)!r}, this run {now.get(name)!r}"
        for name in sorted((before.keys() | now.keys()) - MAY_CHANGE)
        if before.get(name) != now.get(name)
    ]


def _refuse_other_run(folder: pathlib.Path, arguments: PretrainArguments, saved: int, current: int) -> None:
    """Raises ValueError when the settings or the number of processes (saved, current) differ."""
    differences = differing_settings(read_recipe(folder), arguments)
    if saved != current:
        differences.append(f"processes: the checkpoint has {saved}, this run {current}")
    if differences:
        raise ValueError(f"cannot go on exactly from {folder}, because settings differ:\n" + "\n".join(differences))


def read_recipe(folder: pathlib.Path) -> PretrainArguments:
    """The settings with which a checkpoint was made.

    Version 0.1 had the share of masked patches in the configuration of the model, with a default for each family. It
    is moved to where it is now, so that such a run goes on.
    """
    sections = yaml.safe_load((folder / RECIPE_FILE).read_text())
    model, objective = sections["model"], sections["objective"]
    former = json.loads((folder / CONFIG_FILE).read_text()) | model
    if "mask_ratio" in former and former.get("masking", "random") == "random":
        objective["mask_ratio"] = former["mask_ratio"]
        sections["model"] = {name: value for name, value in model.items() if name not in ("mask_ratio", "masking")}
    return build_arguments(sections)


def _save_shared(
    state: TrainingState, arguments: PretrainArguments, accelerator: Accelerator, folder: pathlib.Path
) -> None:
    state.model.save_pretrained(folder)
    state.feature_extractor.save_pretrained(folder)
    if state.objective.teacher is not None:
        save_file(state.objective.teacher.model.state_dict(), folder / TEACHER_FILE)
    torch.save(state.optimizer.state_dict(), folder / "optimizer.pt")
    trainer = {
        "step": state.step,
        "num_processes": accelerator.num_processes,
        "objective": state.objective.state_dict(),
        "schedule": state.schedule.state_dict(),
        "scaler": None if accelerator.scaler is None else accelerator.scaler.state_dict(),
    }
    torch.save(trainer, folder / "trainer.pt")
    write_arguments(arguments, folder / RECIPE_FILE)


def _process_state(state: TrainingState, device: torch.device) -> dict:
    """What differs between processes."""
    return {
        "position": dataclasses.asdict(state.position),
        "random_state": torch.get_rng_state(),
        "cuda_random_state": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def _process_file(rank: int) -> str:
    return f"process_{rank}.pt"


def _load(path: pathlib.Path) -> dict:
    return torch.load(path, map_location="cpu", weights_only=True)


def _checkpoints(output: pathlib.Path) -> list[pathlib.Path]:
    """Checkpoint folders, oldest first."""
    return sorted(path for path in output.glob("checkpoint_*") if re.fullmatch(r"checkpoint_\d{8}", path.name))


def _flatten(arguments: PretrainArguments) -> dict[str, object]:
    """Every field of every section; those of the objective with their defaults, so that only their values count."""
    sections, objective = dump_arguments(arguments), arguments.objective
    config_class = OBJECTIVES[objective.name].config_class
    sections["objective"] |= dataclasses.asdict(config_class(**objective.options))
    return {f"{section}.{field}": value for section, fields in sections.items() for field, value in fields.items()}
