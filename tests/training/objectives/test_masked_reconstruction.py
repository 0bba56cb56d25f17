import pytest
import torch

from modeling_sslam import SsastMaeForPreTraining
from modeling_sslam.tokens_masks import kept_tokens, masked_positions
from modeling_sslam.tokens_patches import patchify
from tests.modeling_sslam.test_modeling_ssast_mae import build
from training.objectives import build_objective


def objective(model, **fields):
    return build_objective("masked_reconstruction", fields, model)


@pytest.fixture
def batch(generator) -> dict[str, torch.Tensor]:
    kept = torch.rand(2, 40, generator=generator).argsort(dim=1)[:, :20]
    return {"input_values": torch.randn(2, 40, 32, generator=generator), "kept_indices": kept}


def test_losses_are_means_over_patches(batch, generator):
    model = build()
    output, mask = model(**batch), masked_positions(batch["kept_indices"], 40)
    errors = (output.prediction - patchify(batch["input_values"], (4, 8))).square().mean(2)
    loss, logs = objective(model)(model, batch, generator)
    assert loss.item() == pytest.approx(errors.mean().item(), rel=1e-5)
    masked_loss, _ = objective(model, loss_on="masked")(model, batch, generator)
    assert masked_loss.item() == pytest.approx(errors[mask].mean().item(), rel=1e-5)
    assert logs["loss_masked"].item() == pytest.approx(masked_loss.item(), rel=1e-5)
    assert logs["loss_visible"].item() == pytest.approx(errors[~mask].mean().item(), rel=1e-5)
    assert logs["masked_fraction"].item() == 0.5


@pytest.mark.parametrize(("variance", "correction"), [("unbiased", 1), ("population", 0)])
def test_targets_may_be_standardised_patch_by_patch(batch, variance, correction):
    target = objective(build(), normalize_target=True, target_variance=variance).target(batch["input_values"])
    assert target.mean(2).abs().max() < 1e-6
    assert torch.allclose(target.var(2, correction=correction), torch.ones(2, 40), atol=1e-4)


def test_a_mask_has_two_spellings(batch, generator):
    mask = masked_positions(batch.pop("kept_indices"), 40)
    model = build()
    losses = [
        objective(model)(model, batch | given, generator)[0]
        for given in ({"bool_masked_pos": mask}, {"kept_indices": kept_tokens(mask)})
    ]
    assert torch.equal(*losses)


@pytest.mark.parametrize(("ratio", "masked"), [({}, 20), ({"mask_ratio": 0.8}, 32)])
def test_the_share_of_masked_patches(batch, generator, ratio, masked):
    del batch["kept_indices"]
    model = build()
    _, logs = objective(model, **ratio)(model, batch, generator)
    assert logs["masked_fraction"].item() == pytest.approx(masked / 40)


def test_masks_are_drawn_from_the_generator_alone(batch):
    model = build()
    del batch["kept_indices"]
    losses = [objective(model)(model, batch, torch.Generator().manual_seed(seed))[0].item() for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_gradient_reaches_every_parameter(batch, generator):
    model = build(SsastMaeForPreTraining).train()
    objective(model)(model, batch, generator)[0].backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_loss_is_in_float32_under_autocast(batch, generator):
    model = build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = objective(model)(model, batch, generator)
    assert loss.dtype == torch.float32


def test_learning_lowers_the_loss(batch, generator):
    model = build(mask_token_has_position=True).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss, _ = objective(model, loss_on="masked")(model, batch, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loss_on": "visible"}, "objective.loss_on is 'visible': choose one of all, masked"),
        ({"target_variance": "none"}, "objective.target_variance is 'none': choose one of unbiased, population"),
        ({"masking": "timestep"}, "unknown field masking of objective 'masked_reconstruction'"),
    ],
)
def test_wrong_settings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        objective(build(), **fields)
