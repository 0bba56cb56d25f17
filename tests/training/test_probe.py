import json
import sys

import numpy
import pytest
import torch

from hub_cards.results import read_measurement
from modeling_sslam import SslamFeatureExtractor, SslamModel
from modeling_sslam.hear.embeddings import HearModel, get_scene_embeddings
from tests.conftest import tiny_config
from tests.labelled_clips import TARGET_LENGTH, data_section, evaluation_section, write_checkpoint, write_clips
from training.data.labelled import LabelledDataArguments
from training.probe import (
    PROBES,
    ProbeData,
    ProbeOptions,
    extract_features,
    linear_probe,
    load_probe_data,
    main,
    probe_inputs,
    probe_model,
    random_twin,
)
from training.probes.trained import (
    AttentiveProbe,
    WeightedLayers,
    WeightedLayersClassifier,
    build_probe,
    layer_means,
    train_probe,
)
from training.settings.recipe import EvaluationArguments


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("bank"))


def probe_data(clips, kind) -> ProbeData:
    data = LabelledDataArguments(**data_section(clips, kind))
    evaluation = EvaluationArguments(**evaluation_section(kind))
    return load_probe_data(data, evaluation, SslamFeatureExtractor(target_length=TARGET_LENGTH))


def separable(num_clips: int, several: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 8) features whose first three channels tell the classes, and (N, 3) targets."""
    generator = torch.Generator().manual_seed(num_clips)
    targets = (torch.rand(num_clips, 3, generator=generator) < 0.5).float()
    if not several:
        targets = torch.eye(3)[torch.randint(3, (num_clips,), generator=generator)]
    features = torch.randn(num_clips, 8, generator=generator)
    features[:, :3] += 8 * targets
    return features, targets


@pytest.mark.parametrize("several", [False, True])
def test_linear_probe_finds_what_is_there(several):
    (features, targets), (held_out, wanted) = separable(200, several), separable(50, several)
    scores = linear_probe(features, targets, held_out, several, inverse_regularization=1.0)
    found = scores > 0.5 if several else numpy.eye(3)[scores.argmax(1)]
    assert (found == wanted.numpy()).mean() > 0.97


def test_class_without_training_clips_gets_no_probability():
    features, targets = separable(50, several=False)
    targets = torch.nn.functional.pad(targets, (1, 0))
    scores = linear_probe(features, targets, features, False, 1.0)
    assert scores.shape == (50, 4)
    assert scores[:, 0].max() == 0


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


def test_features_are_the_tokens_of_the_encoder(spectrograms):
    model = SslamModel(tiny_config()).eval()
    features = extract_features(model, spectrograms, batch_size=2, keep_patches=True)
    tokens = model(spectrograms).last_hidden_state
    torch.testing.assert_close(features["linear_class_token"], tokens[:, 0])
    torch.testing.assert_close(features["linear_mean"], tokens[:, 1:].mean(1))
    torch.testing.assert_close(features["attentive"], tokens[:, 1:])
    assert "attentive" not in extract_features(model, spectrograms, 2, keep_patches=False)


def test_scenes_are_those_of_the_hear_interface(clips):
    """Whole clips of 1.3 s, which the spectrograms of the other probes cut to 1.28 s."""
    data, model = probe_data(clips, "event"), SslamModel(tiny_config())
    inputs = probe_inputs(model, data.training, ["linear_scene"], batch_size=4)
    assert list(inputs) == ["linear_scene"]
    heard = HearModel(model, data.training.clips.feature_extractor)
    wanted = get_scene_embeddings(data.training.clips.waveform(2), heard)
    torch.testing.assert_close(inputs["linear_scene"][2], wanted[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("kind", "metric"), [("event", "accuracy"), ("soundscape", "mean_average_precision")])
def test_every_probe_of_a_model(clips, kind, metric):
    options = ProbeOptions(probes=",".join(PROBES), epochs=2)
    results = probe_model(SslamModel(tiny_config()), probe_data(clips, kind), options)
    assert list(results) == list(PROBES)
    assert all(0 <= result[metric] <= 1 for result in results.values())


def test_random_twin_is_another_draw_of_the_same_architecture():
    model = SslamModel(tiny_config())
    state = torch.get_rng_state()
    twin, again, other = (random_twin(model, seed) for seed in (0, 0, 1))
    weights = [of.layers[0].mlp.fc1.weight for of in (twin, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_command(clips, tmp_path, monkeypatch, capsys):
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    filters = ["data.filters={kind: [event], split: [train]}", "evaluation.filters={kind: [event], split: [test]}"]
    options = ["--model", str(checkpoint), "--data", str(clips), "data.label_column=labels", "data.num_workers=0"]
    output = tmp_path / "results" / "probe.json"
    monkeypatch.setattr(sys, "argv", ["probe", "--output", str(output), *options, *filters])
    main()
    results = json.loads(capsys.readouterr().out)
    assert read_measurement(output).run.command.startswith("python -m training.probe --output")
    assert set(results) == {"pretrained", "random"}
    assert set(results["random"]) == {"linear_class_token", "linear_mean"}


def test_unknown_probe():
    with pytest.raises(ValueError, match="unknown probe nearest; choose from linear_class_token"):
        ProbeOptions(probes="linear_mean,nearest")
