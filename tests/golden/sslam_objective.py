"""Golden cases of the two pretraining objectives, the teacher, and whole optimisation steps."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import torch

from modeling_sslam import SslamForPreTraining, SslamModel
from modeling_sslam.tokens_masks import kept_tokens
from training.objectives.mixing import unmixed_frames, window_starts
from training.objectives.sslam import (
    SslamStage1Objective,
    SslamStage2Objective,
    SslamTerms,
)
from training.objectives.teacher import EmaTeacher
from training.optim.optimizer import build_optimizer, parameter_groups
from training.optim.schedules import set_step

from .inputs import input_of, text_of
from .readme import part, stated
from .registry import Check, Tensors, case, check_options, close, exact
from .weights import fairseq_name, load_by_rule, load_official, sslam_config, student_and_teacher

# What the official objectives can be told besides, and ours cannot.
OPTIONS = {
    "instance_norm_target_layer": True,
    "layer_norm_target_layer": False,
    "layer_norm_targets": True,
    "loss_beta": 0.0,
    "start_drop_path_rate": 0.0,
    "end_drop_path_rate": 0.0,
}
IMAGE_OPTIONS = {"inverse_mask": True, "mask_noise_std": 0.0}
DECODER_OPTIONS = {
    "input_dropout": 0.0,
    "decoder_residual": True,
    "add_positions_masked": False,
    "add_positions_all": False,
}


def objective_fields(config: dict, **overrides) -> dict:
    """Fields of the objective of a case under our names."""
    image = config["image"]
    check_options(config, **OPTIONS)
    check_options(image, **IMAGE_OPTIONS)
    check_options(image.get("decoder", {}), **DECODER_OPTIONS)
    fields = {
        "clones": config["clone_batch"],
        "mask_prob": image["mask_prob"],
        "mask_prob_adjust": image["mask_prob_adjust"],
        "mask_block_size": image["mask_length"],
        "ema_decay": config["ema_decay"],
        "ema_end_decay": config["ema_end_decay"],
        "ema_anneal_steps": config["ema_anneal_end_step"],
        "num_target_layers": config["average_top_k_layers"],
        "end_of_block_targets": config["end_of_block_targets"],
        "loss_scale": config["loss_scale"],
        "class_loss_weight": config["cls_loss"],
        "patch_loss_weight": config["d2v_loss"],
    }
    return fields | overrides


def student_with(objective_class: type, path: pathlib.Path, config: dict, num_mel_bins: int, **overrides):
    """Student and objective (with its teacher) of a case, with the recorded weights or those of the rule."""
    model = SslamForPreTraining(sslam_config(config, num_mel_bins=num_mel_bins))
    objective = objective_class(model, objective_class.config_class(**objective_fields(config, **overrides)))
    weights = student_and_teacher(path)
    if weights is None:
        load_by_rule(path, model)
        load_by_rule(path, objective.teacher.model, prefix="_ema.")
    else:
        load_official(model, weights[0])
        load_official(objective.teacher.model, weights[1], prefix="")
    return model, objective


def gradient_checks(model: SslamForPreTraining, tensors: Tensors) -> Iterator[Check]:
    """Global gradient norm and single gradients, relative 1e-4."""
    gradients = {fairseq_name(name): p.grad for name, p in model.named_parameters()}
    norm = torch.nn.utils.get_total_norm(list(gradients.values()))
    yield close("grad norm", norm.reshape(1), tensors["grad_global_norm"], rtol=1e-4)
    for name, want in tensors.items():
        if name.startswith("grad."):
            yield close(name, gradients[name.removeprefix("grad.")], want, rtol=1e-4)


def sums(terms: SslamTerms, half: str = "all") -> tuple[torch.Tensor, torch.Tensor]:
    """Class and patch losses of one half's rows, summed as by the official criterion (class times masked tokens)."""
    rows = len(terms.class_loss) // 2
    part = {"all": slice(None), "unmixed": slice(0, rows), "mixed": slice(rows, None)}[half]
    class_sum = terms.class_loss[part].sum() * terms.masked.numel()
    return class_sum.reshape(1), terms.patch_loss[part].sum().reshape(1)


@case("sslam/stage1_forward")
def stage1_forward(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    clips = input_of(path, tensors, ["source"])
    model, objective = student_with(SslamStage1Objective, path, config, clips.shape[2])
    batch = {"input_values": clips, "bool_masked_pos": tensors["mask"]}
    terms = objective.terms(model, batch, torch.Generator())
    loss, logs = objective.reduce(terms)
    loss.backward()

    yield exact("sample size", terms.masked.numel(), tensors["sample_size"].item())
    yield from stage1_sums(terms, loss, logs, tensors)
    yield from stage1_slices(path, terms, tensors)
    if "student_tokens" in tensors:
        yield from stage1_tensors(model, objective, batch, terms, tensors)
    yield from gradient_checks(model, tensors)


def stage1_sums(terms: SslamTerms, loss: torch.Tensor, logs: dict, tensors: Tensors) -> Iterator[Check]:
    rtol = 1e-4 if "loss_cls_sum" in tensors else 2e-4
    class_sum, patch_sum = sums(terms)
    want_class = tensors.get("loss_cls_sum", tensors.get("sum_cls"))
    want_patch = tensors.get("loss_patch_sum", tensors.get("sum_patch"))
    want_loss = tensors.get("loss_over_sample_size", tensors.get("total_over_sample_size"))
    yield close("class sum", class_sum, want_class, rtol=rtol)
    yield close("patch sum", patch_sum, want_patch, rtol=rtol)
    yield close("loss", loss.reshape(1), want_loss, rtol=rtol)
    yield close("pred_var", logs["prediction_variance"].reshape(1), tensors["pred_var"], rtol=rtol)
    yield close("target_var", logs["target_variance"].reshape(1), tensors["target_var"], rtol=rtol)
    if "masked_pct" in tensors:
        yield close("masked_pct", logs["masked_fraction"].reshape(1), tensors["masked_pct"], rtol=rtol)


def stage1_slices(path: pathlib.Path, terms: SslamTerms, tensors: Tensors) -> Iterator[Check]:
    """Slices kept by full-size cases."""
    text = text_of(path)
    slices = {"decoder_out_rows": terms.prediction, "teacher_target_rows": terms.patch_target}
    for name, got in slices.items():
        if name in tensors:
            yield close(name, got[part(path, text, name)], tensors[name], atol=5e-4)
    if len(tensors.get("cls_target", ())) == len(terms.class_target):
        yield close("cls_target", terms.class_target, tensors["cls_target"], atol=5e-4)


def stage1_tensors(model, objective, batch: dict, terms: SslamTerms, tensors: Tensors) -> Iterator[Check]:
    visible = kept_tokens(tensors["mask"])
    yield exact("visible indices", visible, tensors["kept_index_sorted"])
    student = model.sslam(batch["input_values"], kept_indices=visible).last_hidden_state
    layers = objective.targets(batch["input_values"])[2][-objective.config.num_target_layers :]
    found = {
        "student_tokens": student,
        "decoder_out": terms.prediction,
        "teacher_layer_first": layers[0],
        "teacher_layer_last": layers[-1],
        "teacher_target": terms.patch_target,
        "cls_pred": terms.class_prediction,
        "cls_target": terms.class_target.repeat_interleave(objective.config.clones, dim=0),
    }
    for name, got in found.items():
        yield close(name, got, tensors[name], atol=1e-4)
    per_clone = terms.class_loss * terms.masked.numel()
    yield close("class loss per clone", per_clone, tensors["loss_cls_per_clone"], rtol=1e-4)
    yield close("patch loss per token", terms.patch_loss.flatten(), tensors["loss_patch_per_token"], rtol=1e-4)


@case("sslam/stage2_forward")
def stage2_forward(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    check_options(config["mix"], roll=1, operation="max")
    window = config["mix"]["window"]
    clips = input_of(path, tensors, ["source"])
    model, objective = student_with(SslamStage2Objective, path, config, clips.shape[2], mix_window=window)
    batch = {
        "input_values": clips,
        "bool_masked_pos": tensors["mask"],
        "mix_windows": tensors["mix_indices"],
    }
    terms = objective.terms(model, batch, torch.Generator())
    loss, logs = objective.reduce(terms)
    loss.backward()

    yield from source_check(path, clips, tensors)
    yield from window_checks(config, model.config, clips.shape[1])
    yield exact("sample size", terms.masked.numel(), tensors["sample_size"].item())
    yield from stage2_sums(terms, loss, logs, tensors)
    yield from stage2_tensors(path, objective, terms, batch, window, tensors)
    yield from gradient_checks(model, tensors)


def source_check(path: pathlib.Path, clips: torch.Tensor, tensors: Tensors) -> Iterator[Check]:
    """Whether a source by rule is the recorded one."""
    if "source_check" in tensors:
        source = clips[:, None][part(path, text_of(path), "source_check")]
        yield close("source", source, tensors["source_check"], atol=1e-6)


def window_checks(config: dict, model_config, num_frames: int) -> Iterator[Check]:
    """The ranges from which the two windows are drawn: [first, last, number of choices]."""
    window, step = config["mix"]["window"], model_config.time_stride
    first = window_starts(num_frames, window, step)
    second = window_starts(num_frames, window, step, config["mix"]["indices"][0])
    for name, choices, want in zip(("first", "second"), (first, second), config["choice_ranges"], strict=True):
        yield exact(f"{name} window starts", [choices[0], choices[-1], len(choices)], want)


def stage2_sums(terms: SslamTerms, loss: torch.Tensor, logs: dict, tensors: Tensors) -> Iterator[Check]:
    for half in ("unmixed", "mixed"):
        class_sum, patch_sum = sums(terms, half)
        yield close(f"class {half}", class_sum, tensors[f"sum_cls_{half}"], rtol=1e-4)
        yield close(f"patch {half}", patch_sum, tensors[f"sum_patch_{half}"], rtol=1e-4)
    retention = 2 * terms.retention_loss.sum().reshape(1)
    yield close("source retention", retention, tensors["sum_source_retention"], rtol=1e-4)
    yield close("loss", loss.reshape(1), tensors["total_over_sample_size"], rtol=1e-4)
    yield close("pred_var", logs["prediction_variance"].reshape(1), tensors["pred_var"], rtol=1e-4)
    yield close("target_var", logs["target_variance"].reshape(1), tensors["target_var"], rtol=1e-4)
    per_clone = terms.class_loss * terms.masked.numel()
    yield close("class loss per clone", per_clone, tensors["loss_cls_per_clone"], rtol=1e-4)


def stage2_tensors(
    path: pathlib.Path, objective, terms: SslamTerms, batch: dict, window: int, tensors: Tensors
) -> Iterator[Check]:
    clips, text = batch["input_values"], text_of(path)
    unmixed = unmixed_frames(objective.windows(batch, torch.Generator()), clips.shape[1], window)
    dropped = objective.unmixed_tokens(unmixed, len(clips))
    kept = kept_tokens(dropped)  # the windows are those of the batch: no clip has others
    with torch.no_grad():
        hidden = objective.teacher.model(clips, kept_indices=kept, output_hidden_states=True).hidden_states[0]
    whole = {
        "cls_pred": terms.class_prediction,
        "cls_target": terms.class_target,
        "loss_patch_per_token": terms.patch_loss.flatten(),
        "loss_srl_per_token": 2 * terms.retention_loss.flatten(),
    }
    strided = {
        "decoder_out_strided": terms.prediction,
        "patch_target_strided": terms.patch_target,
        "srl_target_strided": terms.retention_target,
        "dropped_teacher_target_strided": objective.foreign_target(clips, dropped),
        "dropped_teacher_input_strided": hidden,
    }
    slices = {
        "cls_target_head": terms.class_target,
        "decoder_out_rows": terms.prediction,
        "patch_target_rows": terms.patch_target,
        "srl_target_rows": terms.retention_target,
    }
    mixed, want = terms.input_values[len(clips) :, None], tensors["mixed_strided"]
    frames, bins = (mixed.shape[axis] // want.shape[axis] for axis in (2, 3))
    yield close("mixed_strided", mixed[:, :, ::frames, ::bins], want, atol=1e-4)
    for name, got in whole.items():
        if name in tensors:
            yield close(name, got, tensors[name], atol=1e-4)
    for group, atol in ((strided, 1e-4), (slices, 5e-4)):
        for name, got in group.items():
            if name in tensors:
                yield close(name, got[part(path, text, name)], tensors[name], atol=atol)


@case("sslam/ema_updates")
@torch.no_grad()
def ema_updates(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    width = tensors["student_tok"].shape[-1]
    depth = len({name.split(".")[1] for name in config["teacher_keys"] if name.startswith("blocks.")})
    # Nothing of an update depends on the heads.
    student = SslamModel(sslam_config({"embed_dim": width, "depth": depth, "num_heads": 1}))
    names = {fairseq_name(name): name for name in student.state_dict()}
    yield exact("teacher keys", sorted(names), sorted(config["teacher_keys"]))

    # "`student` (n,D,D) = value of `blocks.0.attn.proj.weight` at the time of the call"
    recorded = names[stated(text_of(path), r"`student`[^`]*`([\w.]+)`")[1]]
    weight, token = student.get_parameter(recorded), student.embeddings.class_token
    teacher = EmaTeacher(student, config["start"], config["end"], config["anneal"])
    teacher.model.get_parameter(recorded).copy_(tensors["teacher0"])
    teacher.model.embeddings.class_token.copy_(tensors["teacher0_tok"])
    for call, step in enumerate(tensors["calls"].tolist()):
        weight.copy_(tensors["student"][call])
        token.copy_(tensors["student_tok"][call])
        teacher.update(student, step)
        got = teacher.model.get_parameter(recorded)
        yield close(f"teacher after call {call}", got, tensors["teacher"][call], atol=1e-6)
        got = teacher.model.embeddings.class_token
        yield close(f"class token after call {call}", got, tensors["teacher_tok"][call], atol=1e-6)
        decay = torch.tensor(teacher.decay, dtype=torch.float64)
        yield close(f"decay after call {call}", decay, tensors["decay"][call], atol=1e-6)


@case("sslam/stage1_train_steps")
def stage1_train_steps(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    settings = config["optimizer"]
    model, objective = student_with(SslamStage1Objective, path, config, tensors["source"].shape[-1])
    groups = parameter_groups(model, settings["peak_lr"], settings["weight_decay"], settings["floor"])
    optimizer = build_optimizer(groups, tuple(settings["betas"]), settings["eps"])
    for step in range(settings["steps"]):
        batch = {"input_values": tensors["source"][step].squeeze(1), "bool_masked_pos": tensors["mask"][step]}
        set_step(optimizer, step, settings["warmup"], settings["total"])
        decay = objective.teacher.decay
        terms = objective.terms(model, batch, torch.Generator())
        loss, _ = objective.reduce(terms)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip_norm"])
        optimizer.step()
        optimizer.zero_grad()
        objective.after_step(model, step + 1)

        class_sum, patch_sum = sums(terms)
        logs = {
            "loss_sum": class_sum + patch_sum,
            "loss_cls": class_sum,
            "loss_IMAGE_regression": patch_sum,
            "sample_size": terms.masked.numel(),
            "grad_norm": norm,
            "lr": optimizer.param_groups[0]["lr"],
            "decay": decay,
        }
        for name, got in logs.items():
            got = torch.as_tensor(got).detach().double().reshape(())
            yield close(f"{name} of step {step}", got, tensors[name][step].double(), rtol=1e-4)
    yield from final_weight_checks(model, objective, tensors)


def final_weight_checks(model, objective, tensors: Tensors) -> Iterator[Check]:
    """Weights after the last step, without the key third of every qkv bias, whose true gradient is zero."""
    student = {fairseq_name(name): tensor for name, tensor in model.state_dict().items()}
    teacher = {f"_ema.{fairseq_name(name)}": value for name, value in objective.teacher.model.state_dict().items()}
    weights = student | teacher
    for name, want in tensors.items():
        if name.startswith("final."):
            got = weights[name.removeprefix("final.")]
            yield close(name, without_key_bias(name, got), without_key_bias(name, want), atol=2e-5)
        elif name.startswith("final_sum.") and not name.endswith("attn.qkv.bias"):
            got = weights[name.removeprefix("final_sum.")]
            yield close(name, got.double().sum().reshape(1), want, atol=2e-5 * got.numel() ** 0.5)


def without_key_bias(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if not name.endswith("attn.qkv.bias"):
        return tensor
    third = len(tensor) // 3
    return torch.cat([tensor[:third], tensor[2 * third :]])
