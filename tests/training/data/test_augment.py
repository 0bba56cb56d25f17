import pytest
import torch

from training.data.augment import (
    add_noise_and_roll,
    band_mask,
    draw_beta,
    hide_bands,
    mix_clips,
    mix_waveforms,
    mixup,
    random_mixup,
    random_noise_and_roll,
    random_permutation_mixup,
    random_roll_and_scale,
    roll_and_scale,
    seeded_mixing_weights,
    spec_augment,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_roll_and_scale():
    got = roll_and_scale(torch.tensor([1.0, 2.0, 3.0, 4.0]), 1, 0.5)
    assert got.tolist() == [2.0, 0.5, 1.0, 1.5]


def test_random_roll_and_scale_repeats_and_keeps_the_samples():
    waveform = torch.randn(100)
    got = random_roll_and_scale(waveform, seeded())
    assert torch.equal(got, random_roll_and_scale(waveform, seeded()))
    gains = got.sort().values / waveform.sort().values
    torch.testing.assert_close(gains, gains[:1].expand(100))
    assert 0.5 < gains[0] < 1.5


def test_noise_is_added_before_the_roll():
    features = torch.tensor([[0.0], [1.0], [2.0]])
    got = add_noise_and_roll(features, torch.tensor([[1.0], [0.0], [0.5]]), 0.1, 1)
    torch.testing.assert_close(got, torch.tensor([[2.05], [0.1], [1.0]]))


def test_random_noise_stays_below_its_largest_amplitude():
    got = random_noise_and_roll(torch.zeros(50, 8), seeded())
    assert got.min() >= 0
    assert 0 < got.max() < 0.1


def test_beta_has_its_mean_and_variance():
    generator = seeded()
    draws = torch.tensor([draw_beta(10.0, generator) for _ in range(4000)])
    assert draws.mean() == pytest.approx(0.5, abs=0.01)
    assert draws.var() == pytest.approx(1 / 84, rel=0.1)  # 1 / (4 (2 * 10 + 1))


def test_mixup_mixes_each_clip_with_its_mirror():
    features, targets = torch.arange(4.0).reshape(4, 1, 1), torch.eye(4)
    mixed, mixed_targets = mixup(features, targets, 0.25)
    assert mixed.flatten().tolist() == [2.25, 1.75, 1.25, 0.75]
    assert mixed_targets[0].tolist() == [0.25, 0.0, 0.0, 0.75]
    assert mixed_targets.sum() == 4


def test_mixup_refuses_an_odd_batch():
    with pytest.raises(ValueError, match="which has 3; use an even batch size"):
        mixup(torch.zeros(3, 2, 2), torch.zeros(3, 2), 0.5)


def test_mixup_probability():
    features, targets, generator = torch.randn(2, 3, 4), torch.eye(2), seeded()
    mixed = [random_mixup(features, targets, 0.8, 0.9, generator)[0] is not features for _ in range(500)]
    assert sum(mixed) / 500 == pytest.approx(0.9, abs=0.05)


def test_band_mask_has_the_width_and_start_of_the_draws():
    band = band_mask(torch.tensor([0.5, 0.0]), torch.tensor([0.5, 0.9]), size=10, max_width=5.0)
    assert band[0].nonzero().flatten().tolist() == [3, 4]  # width int(2.5), start int(0.5 * 7.5)
    assert not band[1].any()


def test_spec_augment_hides_one_band_a_clip_and_axis():
    features = torch.ones(64, 100, 32)
    got = spec_augment(features, 0.2, seeded())
    frames, bins = (got == 0).all(2).sum(1), (got == 0).all(1).sum(1)
    assert frames.max() <= 20
    assert bins.max() <= 6
    assert len(frames.unique()) > 10  # every clip has its own band
    hidden = (got == 0).sum((1, 2))
    assert torch.equal(hidden, frames * 32 + bins * 100 - frames * bins)
    assert torch.equal(got, spec_augment(features, 0.2, seeded()))


def test_waveforms_are_mixed_without_their_means():
    first, second = torch.tensor([1.0, 3.0, 1.0, 3.0]), torch.tensor([5.0, 9.0])
    torch.testing.assert_close(mix_waveforms(first, second, 0.75), torch.tensor([-1.25, 1.25, -0.75, 0.75]))
    torch.testing.assert_close(mix_waveforms(second, first, 0.5), torch.tensor([-1.5, 1.5]))


def test_hidden_bands_have_their_fill_and_at_most_their_width():
    features = torch.rand(200, 30, 20)
    got = hide_bands(features, 6, 9, -3.0, seeded())
    bins, frames = (got == -3).all(dim=1).sum(dim=1), (got == -3).all(dim=2).sum(dim=1)
    assert (bins.max(), frames.max()) == (5, 8)  # widths are drawn below the limit, then truncated
    assert torch.equal(got[got != -3], features[got != -3])
    assert torch.equal(hide_bands(features, 0, 0, -3.0, seeded()), features)
    with pytest.raises(ValueError, match="up to 21 mel bins and 9 frames, but the spectrogram has 20 and 30"):
        hide_bands(features, 21, 9, 0.0, seeded())


def test_every_clip_is_mixed_with_its_partner_by_its_own_weight():
    clips = torch.tensor([[[1.0]], [[2.0]], [[4.0]]])
    mixed = mix_clips(clips, torch.tensor([1.0, 0.5, 0.25]), torch.tensor([2, 0, 1]))
    assert mixed.flatten().tolist() == [1.0, 1.5, 2.5]


def test_the_weights_of_a_seed_are_those_of_numpys_legacy_generator():
    """Recorded of the official code, in `cnn_train_resnet18_multiclass`."""
    weights = seeded_mixing_weights(1.0, 1233, 4)
    assert weights.tolist() == pytest.approx([0.28218722, 0.30138686, 0.09333462, 0.37960747], abs=1e-6)
    assert weights.dtype == torch.float32


def permutation_mixup(seed, generator, probability=1.0, batch_size=5):
    clips = torch.arange(float(batch_size))
    return random_permutation_mixup(clips.view(-1, 1, 1), clips.diag_embed(), 1.0, probability, seed, generator)


def test_permutation_mixup_of_an_odd_batch():
    generator = seeded()
    features, targets = permutation_mixup(None, generator)
    assert features.shape == (5, 1, 1)
    torch.testing.assert_close(features.flatten(), targets.sum(dim=1))  # both are mixed alike
    again, _ = permutation_mixup(None, generator)
    assert not torch.equal(features, again)
    assert torch.equal(features, permutation_mixup(None, seeded())[0])


def test_a_seed_fixes_the_weights_but_not_the_pairs():
    generator = seeded()
    weights = seeded_mixing_weights(1.0, 7, 5)
    partners = set()
    for _ in range(5):
        _, targets = permutation_mixup(7, generator)
        for row, weight in enumerate(weights[1:], start=1):
            assert targets[row, row] / row in (pytest.approx(weight.item()), pytest.approx(1.0))
        partners.add(tuple(targets.nonzero()[:, 1].tolist()))
    assert len(partners) > 1


def test_share_of_batches_that_are_mixed():
    generator = seeded()
    mixed = [permutation_mixup(7, generator, 0.25)[0].flatten().tolist() != [0, 1, 2, 3, 4] for _ in range(800)]
    assert sum(mixed) / 800 == pytest.approx(0.25, abs=0.04)
