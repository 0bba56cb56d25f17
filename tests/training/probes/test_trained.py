"""Probes that gradient descent trains: what they find, and what they see of an encoder."""

import numpy
import pytest
import torch
from transformers import AutoModel

from modeling_sslam import SslamModel
from tests.conftest import tiny_config
from tests.families import FAMILIES, num_bins
from tests.training.probes.features import separable
from training.probes.trained import (
    AttentiveProbe,
    WeightedLayers,
    WeightedLayersClassifier,
    build_probe,
    layer_means,
    train_probe,
)


def test_attentive_probe_finds_the_one_token_that_matters():
    def clips(number):
        features, targets = separable(number, several=False)
        tokens = torch.randn(number, 6, 9, generator=torch.Generator().manual_seed(0))
        tokens[:, 2] = torch.nn.functional.pad(features, (1, 0), value=6.0)  # channel 0 says which token to look at
        return tokens, targets

    (tokens, targets), (held_out, wanted) = clips(300), clips(60)
    assert accuracy(AttentiveProbe, tokens, targets, held_out, wanted) > 0.9


def accuracy(probe_class, features, targets, held_out, wanted) -> float:
    """Of a probe on held-out clips; training it again gives the same."""
    runs = []
    for _ in range(2):
        probe = build_probe(probe_class, features, targets, seed=0)
        runs.append(train_probe(probe, features, targets, held_out, False, epochs=20, learning_rate=1e-2, seed=0))
    assert numpy.array_equal(*runs)
    return (runs[0].argmax(1) == wanted.argmax(1).numpy()).mean()


def test_weighted_layers_find_the_layer_that_matters():
    def clips(number):
        features, targets = separable(number, several=False)
        layers = torch.randn(number, 3, 8, generator=torch.Generator().manual_seed(0))
        layers[:, 1] = features
        return layers, targets

    (layers, targets), (held_out, wanted) = clips(300), clips(60)
    assert accuracy(WeightedLayers, layers, targets, held_out, wanted) > 0.9
    probe = build_probe(WeightedLayers, layers, targets, seed=0)
    torch.testing.assert_close(probe(layers), probe.classifier(probe.projection(layers.mean(dim=1))))
    train_probe(probe, layers, targets, held_out, False, epochs=20, learning_rate=1e-2, seed=0)
    assert probe.layer_weights.argmax() == 1


def test_layer_means_leave_out_special_tokens_and_padding(spectrograms):
    model = SslamModel(tiny_config()).eval()
    frames = spectrograms.shape[1] // 2 // 16 * 16
    mask = torch.zeros(spectrograms.shape[:2], dtype=torch.int32)
    mask[:, :frames] = 1
    with torch.no_grad():
        padded = layer_means(model, spectrograms, mask)
        alone = layer_means(model, spectrograms[:, :frames])
        last = model(spectrograms[:, :frames], output_hidden_states=True).hidden_states[-1]
    assert padded.shape == (3, model.config.num_hidden_layers, model.config.hidden_size)
    torch.testing.assert_close(padded, alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(alone[:, -1], last[:, model.config.num_special_tokens :].mean(dim=1))


def test_layer_means_of_a_clip_shorter_than_a_patch(spectrograms):
    model = SslamModel(tiny_config()).eval()
    mask = torch.ones(spectrograms.shape[:2], dtype=torch.int32)
    mask[0, 3:] = 0
    with torch.no_grad():
        means = layer_means(model, spectrograms, mask)
    assert means.isfinite().all()
    assert means[0].abs().max() > 0


def test_an_encoder_trains_below_its_weighted_layers(spectrograms):
    model = WeightedLayersClassifier(SslamModel(tiny_config()), num_classes=3)
    model(spectrograms).logits.square().sum().backward()
    assert model.head.layer_weights.grad.abs().sum() > 0
    assert model.encoder.layers[0].mlp.fc1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", FAMILIES)
def test_weighted_layers_of_every_family(name):
    """Padding has no part in them, and clips may be longer than a window."""
    config = FAMILIES[name].config
    torch.manual_seed(0)
    model = WeightedLayersClassifier(AutoModel.from_config(config), num_classes=3).eval()
    step = config.time_stride
    length = 3 * (config.longest_clip or 8 * step) // step * step
    clips = torch.randn(2, length, num_bins(config), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, length, dtype=torch.int32)
    mask[1, length // 2 // step * step :] = 0
    with torch.no_grad():
        together = model(clips, mask).logits
        alone = model(clips[1:, : mask[1].sum()]).logits
    assert together.shape == (2, 3)
    torch.testing.assert_close(together[1:], alone, rtol=0, atol=1e-5)


def test_layers_of_the_encoder_are_below_those_of_the_classifier():
    model = WeightedLayersClassifier(SslamModel(tiny_config()), num_classes=3)
    depths = {name: model.layers_above(name) for name, _ in model.named_parameters()}
    assert depths["encoder.layers.0.mlp.fc1.weight"] == 2
    assert depths["encoder.layers.1.norm2.bias"] == 1
    assert {depth for name, depth in depths.items() if ".layers." not in name} == {0}
