import copy

import pytest
import torch

from modeling_sslam import EatConfig, EatModel, SslamForPreTraining
from modeling_sslam.tokens_masks import kept_tokens
from tests.conftest import tiny_config
from training.objectives import build_objective
from training.objectives.latent_regression import average_layers

STAGES = ("sslam_stage1", "sslam_stage2")


def build(stage: str, **fields):
    torch.manual_seed(0)
    model = SslamForPreTraining(tiny_config())
    return model, build_objective(stage, {"clones": 2} | fields, model)


def run(stage: str, spectrograms: torch.Tensor, seed: int = 0, **fields):
    model, objective = build(stage, **fields)
    generator = torch.Generator().manual_seed(seed)
    return objective(model, {"input_values": spectrograms}, generator)


@pytest.mark.parametrize("stage", STAGES)
def test_same_generator_same_loss(stage, spectrograms):
    loss, logs = run(stage, spectrograms)
    again, _ = run(stage, spectrograms)
    other, _ = run(stage, spectrograms, seed=1)
    assert torch.equal(loss, again)
    assert not torch.equal(loss, other)
    assert all(value.ndim == 0 and not value.requires_grad for value in logs.values())


@pytest.mark.parametrize("stage", STAGES)
def test_gradient_reaches_every_parameter_of_the_student_and_none_of_the_teacher(stage, spectrograms):
    model, objective = build(stage)
    loss, _ = objective(model, {"input_values": spectrograms}, torch.Generator().manual_seed(0))
    loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []
    assert all(p.grad is None for p in objective.teacher.model.parameters())


def test_class_term_is_a_sum_over_rows_unless_told_otherwise(spectrograms):
    _, summed = run("sslam_stage1", spectrograms)
    _, mean = run("sslam_stage1", spectrograms, class_loss_rows=1)
    _, fixed = run("sslam_stage1", spectrograms, class_loss_rows=192)
    rows = 2 * len(spectrograms)
    assert summed["loss_class"].item() == pytest.approx(rows * mean["loss_class"].item(), rel=1e-5)
    assert fixed["loss_class"].item() == pytest.approx(192 * mean["loss_class"].item(), rel=1e-5)
    assert fixed["loss_patch"] == mean["loss_patch"]


def test_number_of_target_layers_and_of_class_target_layers(spectrograms):
    _, objective = build("sslam_stage1", num_target_layers=1)
    all_patches, all_classes, layers = build("sslam_stage1")[1].targets(spectrograms)
    last_patches, last_classes, _ = objective.targets(spectrograms)
    mixed = build("sslam_stage1", num_class_target_layers=1)[1].targets(spectrograms)
    assert torch.equal(last_patches, average_layers(layers[-1:]))
    assert torch.equal(mixed[0], all_patches)
    assert torch.equal(mixed[1], last_classes)
    assert not torch.allclose(all_classes, last_classes)


def test_end_of_block_targets_are_block_outputs(spectrograms):
    _, objective = build("sslam_stage1", end_of_block_targets=True)
    output = objective.teacher.model(spectrograms, output_hidden_states=True)
    assert torch.equal(objective.targets(spectrograms)[2][-1], output.last_hidden_state[:, 1:])


def test_batches_given_in_parts_average_to_the_whole(spectrograms):
    clips = torch.cat([spectrograms, spectrograms.flip(0)])[:4]
    model, objective = build("sslam_stage1", class_loss_rows=8)
    mask = objective.mask({"input_values": clips}, torch.Generator().manual_seed(0))

    def loss(part: slice, rows: slice) -> torch.Tensor:
        batch = {"input_values": clips[part], "bool_masked_pos": mask[rows]}
        return objective(model, batch, torch.Generator())[0]

    halves = (loss(slice(0, 2), slice(0, 4)) + loss(slice(2, 4), slice(4, 8))) / 2
    assert loss(slice(0, 4), slice(0, 8)).item() == pytest.approx(halves.item(), rel=1e-5)


def test_retention_target_is_own_inside_the_windows_and_a_mean_outside(spectrograms):
    model, objective = build("sslam_stage2", mix_window=32)
    batch = {"input_values": spectrograms, "mix_windows": torch.tensor([16, 64])}
    terms = objective.terms(model, batch, torch.Generator().manual_seed(0))
    grid = terms.retention_target.unflatten(1, (8, 8))
    own = terms.patch_target[:3].unflatten(1, (8, 8))
    window = [1, 2, 4, 5]
    outside = [0, 3, 6, 7]
    assert torch.equal(grid[:, window], own[:, window])

    dropped = torch.zeros(3, 8, 8, dtype=torch.bool)
    dropped[:, window] = True
    foreign = objective.targets(spectrograms, kept_tokens(dropped.flatten(1)))[0].unflatten(1, (4, 8))
    expected = (own[:, outside] + foreign.roll(1, dims=0)) / 2
    assert torch.allclose(grid[:, outside], expected, atol=1e-6)


def test_defaults_are_those_of_the_official_stages():
    model, stage1 = build("sslam_stage1")
    stage2 = build_objective("sslam_stage2", {}, model)
    assert (stage1.config.num_class_target_layers, stage2.config.num_class_target_layers) == (None, 1)
    assert stage2.config.clones == 8
    assert stage2.window(1024) == 240


def test_windows_can_differ_between_clips(spectrograms):
    model, objective = build("sslam_stage2", mix_window=32, mix_windows_per_clip=True)
    windows = torch.tensor([[0, 32], [16, 64], [48, 80]])
    terms = objective.terms(
        model, {"input_values": spectrograms, "mix_windows": windows}, torch.Generator().manual_seed(0)
    )
    # Mixture 1 holds clip 0 outside the windows of mixture 1.
    dropped = torch.zeros(1, 8, 8, dtype=torch.bool)
    dropped[:, [1, 2, 4, 5]] = True
    foreign = objective.targets(spectrograms[:1], kept_tokens(dropped.flatten(1)))[0]
    own = terms.patch_target[1].unflatten(0, (8, 8))[[0, 3, 6, 7]].flatten(0, 1)
    got = terms.retention_target[1].unflatten(0, (8, 8))[[0, 3, 6, 7]].flatten(0, 1)
    assert torch.allclose(got, (own + foreign[0]) / 2, atol=1e-5)
    drawn = objective.windows({"input_values": spectrograms}, torch.Generator().manual_seed(0))
    assert drawn.shape == (3, 2)


def test_targets_and_losses_stay_in_float32_under_autocast(spectrograms):
    model, objective = build("sslam_stage2")
    with torch.autocast("cpu", torch.bfloat16):
        terms = objective.terms(model, {"input_values": spectrograms}, torch.Generator().manual_seed(0))
        loss, _ = objective.reduce(terms)
    for name in ("patch_target", "class_target", "patch_loss", "class_loss", "retention_target", "retention_loss"):
        assert getattr(terms, name).dtype == torch.float32, name
    assert loss.dtype == torch.float32


def test_teacher_follows_after_each_step_and_resumes(spectrograms):
    model, objective = build("sslam_stage1", ema_decay=0.5, ema_end_decay=0.5)
    before = copy.deepcopy(objective.teacher.model)
    with torch.no_grad():
        model.sslam.embeddings.class_token.add_(2.0)
    objective.after_step(model, 1)
    moved = objective.teacher.model.embeddings.class_token - before.embeddings.class_token
    assert torch.allclose(moved, torch.ones_like(moved), atol=1e-6)
    _, resumed = build("sslam_stage1", ema_decay=0.5, ema_end_decay=0.5)
    resumed.load_state_dict(objective.state_dict())
    resumed.teacher.model.load_state_dict(objective.teacher.model.state_dict())
    for each in (objective, resumed):
        each.after_step(model, 2)
    assert torch.equal(objective.teacher.model.embeddings.class_token, resumed.teacher.model.embeddings.class_token)


def test_a_batch_of_one_cannot_be_mixed(spectrograms):
    with pytest.raises(ValueError, match="mixing needs at least 2 clips in each process's batch, got 1"):
        run("sslam_stage2", spectrograms[:1])


def test_the_model_gets_indices_in_place_of_a_mask(spectrograms):
    """A wrapper for several GPUs would move a mask there, and looking at it would wait for the GPU in every step."""
    model, objective = build("sslam_stage1")
    given = {}

    def wrapped(**inputs):
        given.update(inputs)
        return model(**inputs)

    objective(wrapped, {"input_values": spectrograms}, torch.Generator().manual_seed(0))
    assert given.keys() == {"input_values", "kept_indices", "generator"}


def test_a_model_of_another_family_is_refused():
    with pytest.raises(ValueError, match="objective 'sslam_stage1' trains sslam, not eat"):
        build_objective(
            "sslam_stage1", {}, EatModel(EatConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2))
        )


def test_a_mask_that_leaves_nothing_is_refused(spectrograms):
    with pytest.raises(ValueError, match="leaves 0 of 64 tokens visible"):
        run("sslam_stage1", spectrograms, mask_prob=0.999)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown objective 'byol': choose one of .*sslam_stage1, sslam_stage2"):
        build("byol")
    with pytest.raises(ValueError, match="unknown field mix_window of objective 'sslam_stage1'"):
        build("sslam_stage1", mix_window=32)
    with pytest.raises(ValueError, match="unknown field clone of objective 'sslam_stage1': it has clones"):
        build("sslam_stage1", clone=3)
