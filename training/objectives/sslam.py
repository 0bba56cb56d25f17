"""Objectives of EAT (stage 1) and SSLAM (stage 2): regress a teacher's layer outputs from masked clips and mixtures.

EAT: Chen et al., IJCAI 2024. SSLAM: Alex et al., ICLR 2025. The defaults are what the official code computes, which
differs from the papers' text in places; each such place is a field of `SslamObjectiveConfig`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import nn

from modeling_sslam.tokens_masks import gather_tokens, kept_tokens, masked_tokens
from training.objectives.latent_regression import average_layers, spread, squared_error
from training.objectives.masks import inverse_block_mask
from training.objectives.mixing import default_window, draw_windows, mix_with_neighbours, unmixed_frames
from training.objectives.objective import Objective
from training.objectives.teacher import EmaTeacher


@dataclasses.dataclass
class SslamObjectiveConfig:
    """
    Args:
        clones: masked copies of each clip.
        mask_prob, mask_prob_adjust, mask_block_size: inverse block masks, see `inverse_block_mask`.
        mask_block_shapes: (time, frequency) block shapes of which each batch draws one, in place of the square.
        ema_decay, ema_end_decay, ema_anneal_steps: teacher schedule.
        num_target_layers: last teacher layers averaged into the patch target; None = all.
        num_class_target_layers: the same for the class target. The official second stage uses 1 here.
        end_of_block_targets: take the outputs of teacher blocks instead of their feed-forward branches.
        loss_scale: factor of the squared errors; None = 1 / sqrt(D).
        class_loss_rows: the class term is this many times its mean over rows. The official trainer sums it over the
            rows of a device batch (12 clips x 16 clones = 192) while the patch term is a mean over tokens. None = the
            rows of the batch at hand; 1 = a plain mean; a fixed number keeps the balance on any number of devices.
        class_loss_weight, patch_loss_weight: weights of the terms.
    """

    clones: int = 16
    mask_prob: float = 0.8
    mask_prob_adjust: float = 0.07
    mask_block_size: int = 5
    mask_block_shapes: list[tuple[int, int]] | None = None
    ema_decay: float = 0.9998
    ema_end_decay: float = 0.99999
    ema_anneal_steps: int = 100_000
    num_target_layers: int | None = None
    num_class_target_layers: int | None = None
    end_of_block_targets: bool = False
    loss_scale: float | None = None
    class_loss_rows: int | None = None
    class_loss_weight: float = 1.0
    patch_loss_weight: float = 1.0


@dataclasses.dataclass
class SslamStage2Config(SslamObjectiveConfig):
    """The fields of stage 1 with the defaults of stage 2, and:

    Args:
        mix_window: frames of each of the two windows that stay unmixed; None = 240 of 1024, in proportion.
        mix_windows_per_clip: draw windows for every clip instead of once a batch.
        retention_loss_weight: weight of the source-retention term.
    """

    clones: int = 8
    num_class_target_layers: int | None = 1
    mix_window: int | None = None
    mix_windows_per_clip: bool = False
    retention_loss_weight: float = 1.0


@dataclasses.dataclass
class SslamTerms:
    """What one forward pass of an objective yields, before it is reduced to a loss.

    R rows are the student's sequences (clip-major, clone-minor; in stage 2 all unmixed ones, then all mixed ones), S
    the spectrograms that the teacher sees, M the masked tokens of a row.

    Args:
        input_values: (S, T, F) what student and teacher saw.
        mask: (R, L) bool, True = masked.
        masked: (R, M) indices of the masked tokens, ascending.
        prediction: (R, L, D) the decoder's output.
        class_prediction: (R, D).
        patch_target: (S, L, D).
        class_target: (S, D).
        patch_loss: (R, M) squared errors, scaled and summed over channels.
        class_loss: (R,) likewise.
        retention_target: (S / 2, L, D), stage 2.
        retention_loss: (R / 2, M), stage 2, of the mixed rows.
    """

    input_values: torch.Tensor
    mask: torch.Tensor
    masked: torch.Tensor
    prediction: torch.Tensor
    class_prediction: torch.Tensor
    patch_target: torch.Tensor
    class_target: torch.Tensor
    patch_loss: torch.Tensor
    class_loss: torch.Tensor
    retention_target: torch.Tensor | None = None
    retention_loss: torch.Tensor | None = None


class SslamStage1Objective(Objective):
    """Masked latent regression from unmixed clips (EAT).

    Args:
        model: the `SslamForPreTraining` to train; the teacher starts as a copy of its encoder.
        config: an instance of `config_class`; its defaults when not given.
    """

    config_class = SslamObjectiveConfig
    model_types = ("sslam",)

    def __init__(self, model: nn.Module, config: SslamObjectiveConfig | None = None):
        super().__init__(model, config)
        self.teacher = EmaTeacher(
            model.sslam, self.config.ema_decay, self.config.ema_end_decay, self.config.ema_anneal_steps
        )

    def __call__(
        self, model: Callable, batch: dict, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """See `Objective`. A batch may hold `bool_masked_pos` (B * clones, L) and, in stage 2, `mix_windows` (1 or B,
        2), starts in frames, in place of drawn ones.
        """
        terms = self.terms(model, batch, generator)
        return self.reduce(terms)

    def terms(self, model: Callable, batch: dict, generator: torch.Generator) -> SslamTerms:
        """Student and teacher forward passes, and the error of every masked token and class token."""
        input_values = batch["input_values"]
        mask = self.mask(batch, generator)
        patch_target, class_target, _ = self.targets(input_values)
        return self.compare(model, input_values, mask, patch_target, class_target, generator)

    def reduce(self, terms: SslamTerms) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Weighs the errors: mean over masked tokens, and `class_loss_rows` times the mean over rows."""
        config = self.config
        rows = config.class_loss_rows or terms.class_loss.shape[0]
        class_loss = config.class_loss_weight * rows * terms.class_loss.mean()
        patch_loss = config.patch_loss_weight * terms.patch_loss.mean()
        loss = class_loss + patch_loss
        with torch.no_grad():
            masked_share = terms.masked.shape[1] / terms.mask.shape[1]
            masked_clones = terms.mask.unflatten(0, (len(terms.input_values), -1)).sum(dim=1)
            logs = {
                "loss_class": class_loss.detach(),
                "loss_patch": patch_loss.detach(),
                "masked_fraction": torch.tensor(masked_share),
                "prediction_variance": spread(terms.prediction, terms.mask),
                "target_variance": spread(terms.patch_target, masked_clones),
                "ema_decay": torch.tensor(self.teacher.decay),
            }
        return loss, {"loss": loss.detach()} | logs

    def mask(self, batch: dict, generator: torch.Generator) -> torch.Tensor:
        """(B * clones, L) masks of the batch: the given ones, or new ones; clip-major, clone-minor."""
        if "bool_masked_pos" in batch:
            return batch["bool_masked_pos"]
        num_clips, num_frames, _ = batch["input_values"].shape
        grid = self.model_config.num_steps(num_frames), self.model_config.num_frequency_patches
        config = self.config
        shape = None
        if config.mask_block_shapes:
            choice = torch.randint(len(config.mask_block_shapes), (), generator=generator)
            shape = config.mask_block_shapes[int(choice)]
        return inverse_block_mask(
            num_clips * config.clones,
            grid,
            config.mask_prob,
            config.mask_prob_adjust,
            config.mask_block_size,
            generator,
            shape,
        )

    @torch.no_grad()
    def targets(
        self, input_values: torch.Tensor, kept_indices: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...]]:
        """The teacher's view of whole clips, or of the patches (S, K) that are kept of them.

        Returns:
            patch target (S, K or L, D), class target (S, D), and the teacher's layers they were made from.
        """
        record = {"output_hidden_states" if self.config.end_of_block_targets else "output_layer_targets": True}
        output = self.teacher.model(input_values, kept_indices=kept_indices, **record)
        layers = output.hidden_states[1:] if self.config.end_of_block_targets else output.layer_targets
        layers = tuple(layer[:, 1:] for layer in layers)
        with torch.autocast(input_values.device.type, enabled=False):
            num_layers = self.config.num_target_layers or len(layers)
            num_class_layers = self.config.num_class_target_layers or num_layers
            patch_target = average_layers(layers[-num_layers:])
            if num_class_layers == num_layers:
                class_target = patch_target.mean(dim=1)
            else:
                class_target = average_layers(layers[-num_class_layers:]).mean(dim=1)
        return patch_target, class_target, layers

    def compare(
        self,
        model: Callable,
        input_values: torch.Tensor,
        mask: torch.Tensor,
        patch_target: torch.Tensor,
        class_target: torch.Tensor,
        generator: torch.Generator,
    ) -> SslamTerms:
        """Runs the student on masked clips and scores it against the teacher's targets."""
        device = input_values.device
        # Split here, where the mask still lies on the CPU: a GPU would have to wait for the number of kept patches.
        kept = kept_tokens(mask).to(device, non_blocking=True)
        noise = noise_generator(generator, device)
        output = model(input_values=input_values, kept_indices=kept, generator=noise)
        masked = masked_tokens(kept, mask.shape[1])
        with torch.autocast(device.type, enabled=False):
            return SslamTerms(
                input_values=input_values,
                mask=mask.to(device, non_blocking=True),
                masked=masked,
                prediction=output.prediction,
                class_prediction=output.class_prediction,
                patch_target=patch_target,
                class_target=class_target,
                patch_loss=self.error(output.prediction, patch_target).gather(1, masked),
                class_loss=self.error(output.class_prediction, class_target),
            )

    def error(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """`squared_error` of rows against the target of their clip: (R, ..., D) and (S, ..., D) -> (R, ...)."""
        clones = prediction.unflatten(0, (len(target), -1))
        return squared_error(clones, target[:, None], self.config.loss_scale).flatten(0, 1)

    def after_step(self, model: nn.Module, step: int) -> None:
        """Updates the teacher after optimiser update number `step` (from 1); `model` is the unwrapped student."""
        self.teacher.update(model.sslam, step)


class SslamStage2Objective(SslamStage1Objective):
    """Stage 1 on clips and on their mixtures, plus source retention (SSLAM).

    Mixtures are made within each process's own batch. The source-retention target of a mixture is the mean of what the
    teacher sees in the clip and in the clip that was mixed into it; the latter is shown to the teacher without the
    frames in which it does not sound.
    """

    config_class = SslamStage2Config

    def terms(self, model: Callable, batch: dict, generator: torch.Generator) -> SslamTerms:
        clips = batch["input_values"]
        mask = self.mask(batch, generator)
        windows = self.windows(batch, generator)
        unmixed = unmixed_frames(windows, clips.shape[1], self.window(clips.shape[1]))
        both = torch.cat([clips, mix_with_neighbours(clips, unmixed)])

        patch_target, class_target, _ = self.targets(both)
        terms = self.compare(model, both, mask.repeat(2, 1), patch_target, class_target, generator)
        terms.retention_target = self.retention_target(clips, patch_target[: len(clips)], unmixed)
        num_mixed = len(terms.masked) // 2
        with torch.autocast(clips.device.type, enabled=False):
            error = self.error(terms.prediction[num_mixed:], terms.retention_target)
            terms.retention_loss = error.gather(1, terms.masked[num_mixed:])
        return terms

    def reduce(self, terms: SslamTerms) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss, logs = super().reduce(terms)
        retention_loss = self.config.retention_loss_weight * terms.retention_loss.mean()
        loss = loss + retention_loss
        return loss, logs | {"loss": loss.detach(), "loss_retention": retention_loss.detach()}

    def window(self, num_frames: int) -> int:
        """Frames of an unmixed window in clips of `num_frames`."""
        return self.config.mix_window or default_window(num_frames, self.model_config.time_stride)

    def windows(self, batch: dict, generator: torch.Generator) -> torch.Tensor:
        """(1 or B, 2) starts of the unmixed windows in frames: the given ones, or new ones."""
        if "mix_windows" in batch:
            return torch.as_tensor(batch["mix_windows"]).reshape(-1, 2)
        num_clips, num_frames, _ = batch["input_values"].shape
        num_pairs = num_clips if self.config.mix_windows_per_clip else 1
        return draw_windows(num_pairs, num_frames, self.window(num_frames), self.model_config.time_stride, generator)

    def unmixed_tokens(self, unmixed: torch.Tensor, num_clips: int) -> torch.Tensor:
        """(1 or B, T) unmixed frames -> (B, L) bool, True = the patch lies in a window of that clip's mixture."""
        config = self.model_config
        starts = torch.arange(config.num_steps(unmixed.shape[1])) * config.time_stride
        tokens = unmixed[:, starts].repeat_interleave(config.num_frequency_patches, dim=1)
        return tokens.expand(num_clips, -1)

    def foreign_target(self, clips: torch.Tensor, unmixed_tokens: torch.Tensor) -> torch.Tensor:
        """What the teacher sees in each clip where it sounds in the next clip's mixture: (B, mixed patches, D)."""
        kept = kept_tokens(unmixed_tokens.roll(-1, dims=0)).to(clips.device, non_blocking=True)
        return self.targets(clips, kept)[0]

    @torch.no_grad()
    def retention_target(self, clips: torch.Tensor, own_target: torch.Tensor, unmixed: torch.Tensor) -> torch.Tensor:
        """(B, L, D): in the windows the clip's own target, elsewhere its mean with the foreign clip's."""
        unmixed_tokens = self.unmixed_tokens(unmixed, len(clips))
        foreign = self.foreign_target(clips, unmixed_tokens).roll(1, dims=0)
        mixed_index = kept_tokens(unmixed_tokens).to(clips.device, non_blocking=True)
        target = own_target.clone()
        mean = (gather_tokens(own_target, mixed_index) + foreign) / 2
        return target.scatter_(1, mixed_index[..., None].expand_as(mean), mean)


def noise_generator(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """A generator on `device` that continues the CPU `generator`; itself on a CPU."""
    if device.type == generator.device.type:
        return generator
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.Generator(device).manual_seed(seed)
