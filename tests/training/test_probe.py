import json
import sys

import pytest
import torch

from hub_cards.results import read_measurement
from modeling_sslam import KaldiFbankFeatureExtractor, SslamModel
from modeling_sslam.hear.embeddings import HearModel, get_scene_embeddings
from tests.conftest import tiny_config
from tests.labelled_clips import TARGET_LENGTH, data_section, evaluation_section, write_checkpoint, write_clips
from training.probe import PROBES, ProbeOptions, main, probe_model, random_twin
from training.probes.features import ProbeData, extract_features, load_probe_data, probe_inputs
from training.settings.data import EvaluationArguments, LabelledDataArguments


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("bank"))


def probe_data(clips, kind) -> ProbeData:
    data = LabelledDataArguments(**data_section(clips, kind))
    evaluation = EvaluationArguments(**evaluation_section(kind))
    return load_probe_data(data, evaluation, KaldiFbankFeatureExtractor(target_length=TARGET_LENGTH))


def test_features_are_the_tokens_of_the_encoder(spectrograms):
    model = SslamModel(tiny_config()).eval()
    features = extract_features(model, spectrograms, batch_size=2, keep_tokens=True)
    tokens = model(spectrograms).last_hidden_state
    torch.testing.assert_close(features["linear_class_token"], tokens[:, 0])
    torch.testing.assert_close(features["linear_mean"], tokens[:, 1:].mean(1))
    torch.testing.assert_close(features["attentive"], tokens[:, 1:])
    assert "attentive" not in extract_features(model, spectrograms, 2, keep_tokens=False)


def test_scenes_are_those_of_the_hear_interface(clips):
    """Whole clips of 1.3 s, which the spectrograms of the other probes cut to 1.28 s."""
    data, model = probe_data(clips, "event"), SslamModel(tiny_config())
    inputs = probe_inputs(model, data.training, ["linear_scene"], batch_size=4)
    assert list(inputs) == ["linear_scene"]
    heard = HearModel(model, data.training.clips.feature_extractor)
    wanted = get_scene_embeddings(data.training.clips.clip(2)[0], heard)
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
