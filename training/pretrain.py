"""Self-supervised pretraining on one or many processes.

accelerate launch training/pretrain.py --config training/recipes/sslam_stage1_base.yaml data.path=... [run.seed=2]
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import sys

if not __package__:  # started as a file: Python then looks for modules beside it instead of in the repository
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, GradScalerKwargs
from accelerate.logging import get_logger
from transformers.utils.logging import disable_progress_bar

from training.data.rows import load_rows
from training.data.seeding import seeded_generator
from training.data.stream import BEGINNING, Batches, ClipStream, Position, RowBatches
from training.data.views import ClipFeatures, RandomCrop
from training.objectives import build_objective
from training.optim.optimizer import build_optimizer, parameter_groups
from training.optim.schedules import build_schedule
from training.run.checkpoint import TrainingState, find_resume, load_checkpoint, save_checkpoint
from training.run.command import recipe_command, start_log
from training.run.held_out import HeldOutClips
from training.run.initialize import build_feature_extractor, build_model
from training.run.monitor import Reporter, check_loss_scale
from training.settings.data import SOUNDSCAPES, ClipArguments
from training.settings.pretraining import PretrainArguments
from training.soundscapes.stream import SoundscapeBatches, load_generator

logger = get_logger(__name__)  # of the main process only


def pretrain(arguments: PretrainArguments) -> pathlib.Path:
    """Trains to the end of the schedule (or `run.stop_after`). Returns the folder of the last checkpoint.

    Raises:
        ValueError: settings or data that cannot be used, see the message.
        CollapseError: the run is lost.
    """
    run, optim = arguments.run, arguments.optim
    accelerator = build_accelerator(arguments)
    resume_from = find_resume(arguments)

    torch.manual_seed(run.seed)  # the same in all processes, for the initial weights
    model, teacher_weights = build_model(arguments.model, resume_from)
    if run.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    model.to(accelerator.device).train()
    objective = build_objective(arguments.objective.name, arguments.objective.options, model).to(accelerator.device)
    if teacher_weights is not None:
        objective.teacher.model.load_state_dict(teacher_weights)
    groups = parameter_groups(
        model, optim.learning_rate, optim.weight_decay, optim.floor, exclude_bias_and_norm=optim.exclude_bias_and_norm
    )
    betas = optim.beta1, optim.beta2
    optimizer = build_optimizer(groups, betas, optim.epsilon, optim.epsilon_after_correction, optim.optimizer)
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    torch.manual_seed(run.seed + accelerator.process_index)  # only dropout and drop path draw from it

    feature_extractor = build_feature_extractor(arguments.data, model.config)
    schedule = build_schedule(optim, optimizer, optim.total_steps)
    state = TrainingState(model, objective, optimizer, schedule, feature_extractor)
    if resume_from is not None:
        load_checkpoint(resume_from, state, arguments, accelerator)
        logger.info("going on from %s", resume_from)
    return train(wrapped, state, arguments, accelerator) or resume_from


def train(
    wrapped: torch.nn.Module, state: TrainingState, arguments: PretrainArguments, accelerator: Accelerator
) -> pathlib.Path | None:
    """The loop. Returns the folder of the last checkpoint, None when there was nothing left to do.

    Args:
        wrapped: `state.model` as prepared by Accelerate.
        state: updated as the run goes on.
    """
    run, optim = arguments.run, arguments.optim
    model, objective, optimizer = state.model, state.objective, state.optimizer
    stream, held_out = build_stream(arguments, state, accelerator), build_held_out(arguments, state, accelerator)
    reporter = Reporter(arguments, accelerator, state.step)
    stop = min(optim.total_steps, run.stop_after or optim.total_steps)
    batches = iter(stream)
    folder = None
    while state.step < stop:
        state.schedule.set_step(optimizer, state.step)
        # The only source of random masks, mixtures and noise, made anew for every update: a resumed run needs no more.
        generator = seeded_generator(run.seed, state.step, accelerator.process_index)
        logs = []
        for _ in range(optim.accumulation_steps):
            batch = next(batches)
            clips = batch.on(accelerator.device)
            with accelerator.accumulate(wrapped):
                with accelerator.autocast():  # the teacher is not wrapped: it needs this to run in mixed precision
                    loss, batch_logs = objective(wrapped, clips, generator)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    limit = optim.clip_norm or math.inf
                    batch_logs["gradient_norm"] = accelerator.clip_grad_norm_(model.parameters(), limit)
                optimizer.step()
                optimizer.zero_grad()
            logs.append(batch_logs)
        state.position = batch.position
        if accelerator.optimizer_step_was_skipped:  # fp16 overflow: the scale was lowered, and this was no update
            check_loss_scale(accelerator.scaler.get_scale())
            continue
        state.step += 1
        objective.after_step(model, state.step)
        reporter.progress.update()

        evaluates = held_out is not None and held_out.is_due(state.step)
        if evaluates:
            found = held_out.evaluate(wrapped, objective, accelerator)
            state.schedule.observe(objective.score(found))
            logs[-1] |= {f"evaluation_{name}": value for name, value in found.items()}
        saves = state.step % run.checkpoint_every == 0 or state.step == stop
        if saves or evaluates or state.step % run.log_every == 0:  # so that every checkpoint is of a run found healthy
            if objective.teacher is not None:
                logs[-1]["teacher_student_distance"] = objective.teacher.distance(model.base_model)
            reporter.report(state.step, logs, optimizer.param_groups[0]["lr"], stream.num_skipped)
        if saves:
            objective.before_checkpoint(model, accelerator)
            folder = save_checkpoint(state, arguments, accelerator)
    reporter.close()
    return folder


def build_accelerator(arguments: PretrainArguments) -> Accelerator:
    """Processes, precision and accumulation. It is given no data loader, because each process reads its own rows."""
    return Accelerator(
        mixed_precision=arguments.run.mixed_precision,
        gradient_accumulation_steps=arguments.optim.accumulation_steps,
        log_with="tensorboard",
        project_dir=arguments.run.output_dir,
        kwargs_handlers=[
            # Buffers are the same everywhere, but for the statistics that `Objective.before_checkpoint` averages.
            DistributedDataParallelKwargs(broadcast_buffers=False),
            GradScalerKwargs(init_scale=128.0),  # of the official recipes; fp16 only
        ],
    )


def build_stream(arguments: PretrainArguments, state: TrainingState, accelerator: Accelerator) -> ClipStream:
    """This process's clips, from where `state` stands."""
    batches = build_batches(arguments.data, arguments.run.seed, state.position, accelerator)
    return decoded(batches, arguments, state, accelerator)


def build_held_out(
    arguments: PretrainArguments, state: TrainingState, accelerator: Accelerator
) -> HeldOutClips | None:
    """This process's share of the evaluation clips, None when the recipe has no evaluation."""
    run, evaluation = arguments.run, arguments.evaluation
    if not evaluation.every:
        return None
    data = dataclasses.replace(evaluation.applied_to(arguments.data), shuffle_buffer=0)
    batches = build_batches(data, run.seed, BEGINNING, accelerator, endless=False)
    return HeldOutClips(decoded(batches, arguments, state, accelerator), evaluation.every, run.seed)


def build_batches(
    data: ClipArguments, seed: int, start: Position, accelerator: Accelerator, endless: bool = True
) -> Batches:
    """This process's share of what section `data` names, from `start` on: without end, or once."""
    processes = accelerator.process_index, accelerator.num_processes
    if data.format == SOUNDSCAPES:
        return SoundscapeBatches(load_generator(data), data, start, *processes, endless=endless)
    order = data.shuffle_buffer, seed, start
    return RowBatches(load_rows(data), data.batch_size, *order, *processes, endless=endless)


def decoded(
    batches: Batches, arguments: PretrainArguments, state: TrainingState, accelerator: Accelerator
) -> ClipStream:
    """The views of the clips in `batches` that the objective wants, as section `data` cuts them."""
    data = arguments.data
    crop = None
    if data.crops_anywhere:
        crop = RandomCrop(data.target_length, arguments.run.seed, accelerator.process_index)
    features = ClipFeatures(state.feature_extractor, data.audio_column, crop, state.objective.views, batches.load)
    return ClipStream(batches, features, data.num_workers, pin_memory=accelerator.device.type == "cuda")


def main() -> None:
    arguments = recipe_command(__doc__)
    start_log()
    disable_progress_bar()  # transformers' own, at every checkpoint
    logger.info("last checkpoint: %s", pretrain(arguments))


if __name__ == "__main__":
    main()
