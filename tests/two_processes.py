"""Run by `tests/training/test_pretrain.py` under torchrun: gradients of an objective, each process on its clips."""

import sys

import torch
from safetensors.torch import load_file, save_file

from modeling_sslam import SslamConfig, SslamForPreTraining
from tests.pretraining import TINY
from training.objectives import build_objective
from training.pretrain import build_accelerator
from training.settings.recipe import build_arguments

STAGES = ("sslam_stage1", "sslam_stage2")


def build(stage: str):
    """A model without mask noise, its objective, and the accelerator of a pretraining run."""
    torch.manual_seed(0)
    model = SslamForPreTraining(SslamConfig(**TINY["model"], mask_noise_std=0.0))
    objective = build_objective(stage, {"class_loss_rows": 8, "clones": 2}, model)
    with torch.no_grad():  # a teacher that differs from the student
        for parameter in objective.teacher.model.parameters():
            parameter.mul_(1.1)
    return model, objective, build_accelerator(build_arguments({"run": {"output_dir": "unused"}}))


def part(batch: dict[str, torch.Tensor], index: int, parts: int) -> dict[str, torch.Tensor]:
    """The `index`-th of equal parts of the clips, with their masks; the mix windows are of the whole batch."""
    shared = {"mix_windows": batch["mix_windows"]}
    return shared | {name: batch[name].chunk(parts)[index] for name in ("input_values", "bool_masked_pos")}


def gradients(stage: str, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Gradients after one backward pass over this process's part of `batch`."""
    model, objective, accelerator = build(stage)
    wrapped = accelerator.prepare(model)
    own = part(batch, accelerator.process_index, accelerator.num_processes)
    accelerator.backward(objective(wrapped, own, torch.Generator())[0])
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def main(batch_file: str, output: str) -> None:
    batch = load_file(batch_file)
    for stage in STAGES:
        found = gradients(stage, batch)
        accelerator = build(stage)[2]
        if accelerator.is_main_process:
            found["num_processes"] = torch.tensor(accelerator.num_processes)
            save_file(found, f"{output}/{stage}.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
