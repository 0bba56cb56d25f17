"""Order, weights and seeds of the clips of an epoch."""

import pytest
import torch

from training.data.sampling import FreshSampler, SeededSampler, inverse_frequency_weights


def test_inverse_frequency_weights():
    assert inverse_frequency_weights([[0], [0], [1], [0, 1], []]).tolist() == pytest.approx(
        [1 / 3, 1 / 3, 0.5, 5 / 6, 0]
    )


def test_sampler_orders_every_epoch_anew():
    sampler = SeededSampler(10, seed=1, multiple=4)
    first = list(sampler)
    assert len(first) == len(sampler) == 8  # two whole updates
    assert len({index for index, _ in first}) == 8
    assert first == list(sampler)
    sampler.set_epoch(1)
    assert first != list(sampler)


def test_weighted_sampler_draws_rare_clips_without_replacement():
    weights = torch.tensor([0.01] * 90 + [1.0] * 10)
    drawn = [index for index, _ in SeededSampler(100, 1, 4, weights, epoch_size=20)]
    assert len(set(drawn)) == 20
    assert sum(index >= 90 for index in drawn) >= 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch_size": 11}, "data.epoch_size is 11, but only 10 clips can be drawn"),
        ({"multiple": 16}, "an epoch of 10 clips has less than one update of 16"),
    ],
)
def test_sampler_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        SeededSampler(**({"num_clips": 10, "seed": 1, "multiple": 4} | settings))


def test_fresh_clips_are_new_in_every_epoch():
    sampler = FreshSampler(10, seed=1, multiple=4)
    epochs = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
    assert [[index for index, _ in clips] for clips in epochs] == [list(range(k, k + 8)) for k in (0, 10, 20)]
    assert len({seed for clips in epochs for _, seed in clips}) == 24
    assert len(sampler) == 8
    sampler.set_epoch(1)
    assert list(sampler) == epochs[1]
