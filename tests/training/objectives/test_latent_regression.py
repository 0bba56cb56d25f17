"""Pieces of latent regression, by hand and against torch."""

import pytest
import torch
from torch import nn

from training.objectives.latent_regression import average_layers, instance_norm, spread, squared_error


def test_instance_norm_is_over_tokens():
    normed = instance_norm(torch.tensor([[[1.0, 5.0], [3.0, 5.0]]]))
    assert torch.allclose(normed, torch.tensor([[[-1.0, 0.0], [1.0, 0.0]]]), atol=1e-4)


def test_instance_norm_equals_torch(generator):
    tokens = torch.randn(2, 10, 4, generator=generator)
    expected = nn.functional.instance_norm(tokens.transpose(1, 2)).transpose(1, 2)
    assert torch.allclose(instance_norm(tokens), expected, atol=1e-5)


def test_average_layers_is_normalised_over_channels(generator):
    target = average_layers(tuple(torch.randn(3, 2, 10, 8, generator=generator)))
    assert target.mean(-1).abs().max() < 1e-5
    assert torch.allclose(target.var(-1, correction=0), torch.ones(2, 10), atol=1e-3)


def test_squared_error_by_hand():
    error = squared_error(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.zeros(4))
    assert error.item() == pytest.approx((1 + 4 + 9 + 16) / 2)
    assert squared_error(torch.ones(4), torch.zeros(4), scale=1.0).item() == 4.0


def test_spread_counts_tokens_as_often_as_told(generator):
    tokens = torch.randn(2, 5, 3, generator=generator)
    counts = torch.tensor([[1, 0, 2, 1, 0], [0, 3, 1, 0, 1]])
    repeated = tokens.flatten(0, 1).repeat_interleave(counts.flatten(), dim=0)
    assert spread(tokens, counts).item() == pytest.approx((repeated.var(0) + 1e-6).sqrt().mean().item(), rel=1e-5)
