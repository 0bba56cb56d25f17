"""SSAST's objectives: values by hand, what they see, and a run of each task."""

import pytest
import torch

from modeling_sslam import SsastConfig, SsastForPreTraining
from training.objectives import build_objective
from training.objectives.ssast import contrastive_loss

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
PATCH = SsastConfig(**SIZES, num_mel_bins=64, position_grid=(8, 4))
FRAME = SsastConfig(**SIZES, num_mel_bins=64, patch_size=(2, 64), position_grid=(64, 1))
CLIPS = torch.randn(2, 128, 64, generator=torch.Generator().manual_seed(0))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(config: SsastConfig = PATCH, **fields):
    torch.manual_seed(0)
    model = SsastForPreTraining(config)
    return model, build_objective("ssast", {"num_masked": 12} | fields, model)


def test_contrastive_loss_by_hand():
    """Similarities of targets (rows) and predictions (columns): 2 and 0, 1 and 1."""
    prediction, target = torch.tensor([[[2.0, 1.0], [0.0, 1.0]]]), torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    row, column = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 1.0])
    loss, accuracy = contrastive_loss(prediction, target)
    torch.testing.assert_close(loss, -(row.log_softmax(0)[0] + torch.tensor([1.0, 1.0]).log_softmax(0)[1]) / 2)
    assert accuracy == 1
    loss, accuracy = contrastive_loss(prediction, target, negatives="targets")
    torch.testing.assert_close(loss, -(torch.tensor([2.0, 1.0]).log_softmax(0)[0] + column.log_softmax(0)[1]) / 2)


def test_order_of_the_masked_patches_has_no_effect():
    prediction, target = torch.randn(2, 2, 9, 16, generator=seeded())
    order = torch.randperm(9, generator=seeded())
    for negatives in ("predictions", "targets"):
        want = contrastive_loss(prediction, target, negatives)
        got = contrastive_loss(prediction[:, order], target[:, order], negatives)
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("config", [PATCH, FRAME], ids=["patch", "frame"])
def test_joint_loss_adds_two_passes_with_masks_of_their_own(config):
    model, objective = build(config)
    loss, logs = objective(model, {"input_values": CLIPS}, seeded())
    torch.testing.assert_close(loss, logs["loss_discriminative"] + 10 * logs["loss_generative"])
    again, _ = objective(model, {"input_values": CLIPS}, seeded())
    other, _ = objective(model, {"input_values": CLIPS}, seeded(1))
    assert torch.equal(loss, again)
    assert not torch.equal(loss, other)

    generator = seeded()
    first, second = (objective.mask({"input_values": CLIPS}, "", 12, generator) for _ in range(2))
    assert first.sum(dim=1).tolist() == [12, 12]
    assert not torch.equal(first, second)
    given = {"input_values": CLIPS, "discriminative_bool_masked_pos": first}
    given["generative_bool_masked_pos"] = second
    assert torch.equal(objective(model, given, seeded(9))[0], loss)


def test_frames_are_masked_uniformly_and_patches_in_clusters():
    _, frames = build(FRAME)
    _, patches = build(PATCH)
    clips = CLIPS[:1].expand(500, -1, -1)
    assert frames.mask({"input_values": clips}, "", 12, seeded())[:, 0].any()
    assert not patches.mask({"input_values": clips}, "", 12, seeded())[:, 0].any()
    _, unbiased = build(PATCH, sampler="uniform")
    assert unbiased.mask({"input_values": clips}, "", 12, seeded())[:, 0].any()


@pytest.mark.parametrize(
    ("task", "logged", "frozen"),
    [
        ("discriminative", {"loss", "accuracy", "loss_discriminative"}, "generative_head"),
        ("generative", {"loss", "loss_generative"}, "discriminative_head"),
    ],
)
def test_a_single_task_trains_all_but_the_other_head(task, logged, frozen):
    model, objective = build(task=task)
    loss, logs = objective(model, {"input_values": CLIPS}, seeded())
    assert set(logs) == logged
    assert torch.equal(loss.detach(), logs[f"loss_{task}"])
    loss.backward()
    without = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {frozen}
    assert objective.score(logs) == (logs["accuracy"].item() if task == "discriminative" else -loss.item())


def test_joint_gradients_reach_every_parameter():
    model, objective = build()
    objective(model, {"input_values": CLIPS}, seeded())[0].backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_evaluation_masks_its_own_number_and_short_clips_as_in_training():
    model, objective = build(evaluation_num_masked=20)
    batch = {"input_values": CLIPS}
    with torch.no_grad():
        want = objective.loss(model, batch, 20, seeded())[1]
        assert objective.evaluate(model, batch, seeded()) == want
        short = {"input_values": CLIPS[:, :80]}  # 20 patches, two of which no mask can have
        assert objective.evaluate(model, short, seeded()) == objective.loss(model, short, 12, seeded())[1]


def test_more_masked_patches_than_there_are():
    model, objective = build(num_masked=400)
    with pytest.raises(ValueError, match="num_masked is 400, but of the 8 x 4 = 32 patches .* at most 30"):
        objective(model, {"input_values": CLIPS}, seeded())


@pytest.mark.parametrize("field", [{"task": "both"}, {"negatives": "all"}, {"sampler": "blocks"}])
def test_settings_that_cannot_be_used(field):
    (name,) = field
    with pytest.raises(ValueError, match=f"objective.{name} is .*: choose one of "):
        build(**field)


def test_contrastive_loss_is_in_float32_under_autocast(generator):
    prediction, target = (torch.randn(2, 9, 32, generator=generator) for _ in ("prediction", "target"))
    want, _ = contrastive_loss(prediction, target)
    with torch.autocast("cpu", torch.bfloat16):
        got, _ = contrastive_loss(prediction, target)
    torch.testing.assert_close(got, want, rtol=0, atol=0)
