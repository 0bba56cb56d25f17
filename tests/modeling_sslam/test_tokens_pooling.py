import torch

from modeling_sslam.tokens_pooling import AttentivePooling, linear_softmax, masked_mean


def test_masked_mean_ignores_padding():
    tokens = torch.tensor([[[1.0], [3.0], [100.0]]])
    assert masked_mean(tokens, torch.tensor([[True, True, False]])).item() == 2.0
    assert masked_mean(tokens[:, :2], None).item() == 2.0


def test_attentive_pooling_is_a_weighted_mean_and_ignores_padding(generator):
    pooling = AttentivePooling(4)
    tokens = torch.randn(2, 5, 4, generator=generator)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    weights = pooling.score(tokens[1, :3]).softmax(dim=0)
    assert torch.allclose(pooling(tokens, mask)[1], (weights * tokens[1, :3]).sum(0), atol=1e-6)


def test_attentive_pooling_trains_its_score():
    pooling = AttentivePooling(4)
    pooling(torch.randn(2, 5, 4), None).square().sum().backward()
    assert pooling.score.weight.grad.abs().max() > 0


def test_linear_softmax_is_the_self_weighted_mean_of_probabilities():
    logits = torch.tensor([[[0.0], [2.0], [-1.0]]])
    p = logits.sigmoid()
    expected = (p.square().sum(1) / p.sum(1)).logit()
    assert torch.allclose(linear_softmax(logits, None), expected, atol=1e-6)
    padded = torch.cat([logits, torch.full((1, 1, 1), 9.0)], dim=1)
    assert torch.allclose(linear_softmax(padded, torch.tensor([[True] * 3 + [False]])), expected, atol=1e-6)


def test_linear_softmax_stays_finite_when_certain():
    logits = torch.full((1, 3, 2), 200.0, requires_grad=True)
    pooled = linear_softmax(logits, None)
    pooled.sum().backward()
    assert pooled.isfinite().all()
    assert logits.grad.isfinite().all()
