"""Batches of the trainer: what mixup does to inputs and labels."""

import torch

from training.data.augment import seeded_mixing_weights
from training.run.classification_trainer import TrainingCollator
from training.settings.augment import AugmentArguments

MIXUP = {"mixup_alpha": 1.0, "mixup_probability": 1.0, "mixup_pairs": "permutation"}


def batch(seed: int = 3, num_clips: int = 5, **augment) -> dict[str, torch.Tensor]:
    """Clip i has the value i in all cells and the label i."""
    clips = [
        {"input_values": torch.full((4, 3), float(index)), "labels": label, "seed": seed + index}
        for index, label in enumerate(torch.eye(num_clips))
    ]
    return TrainingCollator(AugmentArguments(**augment))(clips)


def test_inputs_and_labels_are_mixed_alike():
    mixed = batch(**MIXUP)
    assert mixed.keys() == {"input_values", "labels"}
    torch.testing.assert_close(mixed["input_values"][:, 0, 0], mixed["labels"] @ torch.arange(5.0))
    assert torch.equal(mixed["labels"], batch(**MIXUP)["labels"])
    assert not torch.equal(mixed["labels"], batch(seed=4, **MIXUP)["labels"])


def test_labels_alone_are_noise():
    mixed = batch(mixup_inputs=False, **MIXUP)
    assert mixed["input_values"][:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(mixed["labels"], batch(**MIXUP)["labels"])
    mirrored = batch(num_clips=4, mixup_alpha=1.0, mixup_probability=1.0, mixup_inputs=False)
    assert mirrored["input_values"][:, 0, 0].tolist() == [0, 1, 2, 3]
    assert mirrored["labels"].max() < 1


def test_a_seed_gives_every_batch_the_same_weights():
    weights = seeded_mixing_weights(1.0, 1233, 5)
    for seed in range(3):
        own = batch(seed, mixup_seed=1233, **MIXUP)["labels"].diagonal()
        assert ((own - weights).abs().minimum((own - 1).abs()) < 1e-6).all()  # 1: a clip that is its own partner
