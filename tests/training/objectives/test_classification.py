import math

import pytest
import torch

from training.data.augment import mix_clips
from training.objectives.classification import bce_mean, bce_per_clip, bce_per_label, cross_entropy, focal, get_loss


def test_bce_is_divided_by_the_positive_labels():
    elements, sample_size = bce_per_label(torch.zeros(2, 3), torch.tensor([[1.0, 1.0, 0.0], [0.5, 0.0, 0.0]]))
    torch.testing.assert_close(elements, torch.full((2, 3), math.log(2)))
    assert sample_size == 2.5


def test_bce_per_clip_is_divided_by_the_clips():
    assert bce_per_clip(torch.zeros(2, 3), torch.eye(3)[:2])[1] == 2


def test_cross_entropy_with_smoothing():
    logits = torch.tensor([[2.0, 0.0]])
    plain, sample_size = cross_entropy(logits, torch.tensor([[1.0, 0.0]]))
    smooth, _ = cross_entropy(logits, torch.tensor([[1.0, 0.0]]), 0.1)
    assert sample_size == 1
    assert plain.item() == pytest.approx(math.log(1 + math.exp(-2)))
    assert smooth.item() == pytest.approx(plain.item() + 0.05 * 2)  # 5 % of the target goes to a logit that is 2 lower


def test_losses_are_float32_for_half_precision_logits():
    for loss in (bce_per_label, bce_per_clip, bce_mean, focal, cross_entropy):
        assert loss(torch.zeros(2, 3, dtype=torch.bfloat16), torch.eye(3)[:2])[0].dtype == torch.float32


def test_unknown_loss():
    with pytest.raises(ValueError, match="unknown loss 'mse'; choose one of bce_per_label"):
        get_loss("mse")


def test_focal_loss_by_hand():
    """p = 3/4: a positive weighs 1/4 * (1/4)^2, a negative 3/4 * (3/4)^2."""
    elements, sample_size = focal(torch.full((1, 2), math.log(3)), torch.tensor([[1.0, 0.0]]))
    assert elements[0].tolist() == pytest.approx([-math.log(0.75) / 64, -math.log(0.25) * 27 / 64])
    assert sample_size == 2


def test_cross_entropy_of_mixed_targets_is_the_mixed_cross_entropy():
    logits, labels, partners = torch.randn(3, 4), torch.tensor([0, 1, 3]), torch.tensor([2, 0, 1])
    weights = torch.tensor([0.2, 0.9, 0.5])
    mixed = mix_clips(torch.eye(4)[labels], weights, partners)
    single = [torch.nn.functional.cross_entropy(logits, of, reduction="none") for of in (labels, labels[partners])]
    torch.testing.assert_close(cross_entropy(logits, mixed)[0], weights * single[0] + (1 - weights) * single[1])
