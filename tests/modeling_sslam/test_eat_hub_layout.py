"""Repositories in the hub's EAT layout load through the Auto classes with our models, without their code."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForAudioClassification, pipeline
from transformers.utils import logging

from modeling_sslam import (
    EatConfig,
    EatForAudioClassification,
    EatModel,
    SslamConfig,
    SslamFeatureExtractor,
    SslamModel,
)
from modeling_sslam.configuration_eat import to_hub_config
from modeling_sslam.official.sslam_layouts import ours_to_official_hub

HUB_CONFIG = {
    "model_type": "eat",
    "architectures": ["EATModel"],
    "auto_map": {"AutoConfig": "configuration_eat.EATConfig", "AutoModel": "modeling_eat.EATModel"},
    "embed_dim": 32,
    "depth": 2,
    "num_heads": 4,
    "patch_size": 16,
    "stride": 16,
    "in_chans": 1,
    "mel_bins": 128,
    "max_length": 8,
    "num_classes": 527,
    "mlp_ratio": 2.0,
    "qkv_bias": True,
    "drop_rate": 0.0,
    "attn_drop_rate": 0.0,
    "activation_dropout": 0.0,
    "post_mlp_drop": 0.0,
    "start_drop_path_rate": 0.0,
    "end_drop_path_rate": 0.0,
    "layer_norm_first": False,
    "norm_eps": 1e-6,
    "norm_affine": True,
    "fixed_positions": True,
    "img_size": [128, 128],
}


@pytest.fixture(params=["pretrain", "finetune"])
def variant(request) -> str:
    return request.param


@pytest.fixture
def repository(tmp_path, variant):
    """A hub repository: their configuration, their names of weights, no feature extractor."""
    torch.manual_seed(0)
    config = EatConfig(**HUB_CONFIG)
    model = EatForAudioClassification(config) if variant == "finetune" else EatModel(config)
    (tmp_path / "config.json").write_text(json.dumps(HUB_CONFIG | {"model_variant": variant}))
    hub_weights = ours_to_official_hub(model.state_dict(), variant)
    save_file(hub_weights, tmp_path / "model.safetensors", {"format": "pt"})
    return tmp_path, model.eval()


def features(config) -> torch.Tensor:
    return torch.randn(2, 64, config.num_mel_bins, generator=torch.Generator().manual_seed(1))


def test_fields_are_translated():
    config = EatConfig(**HUB_CONFIG)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (32, 2, 4)
    assert (config.intermediate_size, config.num_mel_bins, config.max_time_patches) == (64, 128, 8)
    assert (config.layer_norm_eps, config.classifier_norm_eps) == (1e-6, 1e-5)


def test_audioset_labels_come_with_527_classes_only():
    config = EatConfig(**HUB_CONFIG)
    assert (config.id2label[0], config.id2label[526]) == ("Speech", "Field recording")
    assert config.label2id["Radio"] == 525
    assert config.problem_type == "multi_label_classification"
    assert EatConfig(**HUB_CONFIG | {"num_classes": 3}).id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert EatConfig(**HUB_CONFIG, num_labels=3).num_labels == 3


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("layer_norm_first", True, "layer_norm_first is True"),
        ("stride", 10, "stride is 10: the encoder supports only 16"),
        ("post_mlp_drop", 0.1, "post_mlp_drop is 0.1"),
        ("model_variant", "both", "model_variant is 'both': choose one of pretrain, finetune"),
    ],
)
def test_an_architecture_that_nobody_released_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        EatConfig(**HUB_CONFIG | {field: value})


def test_config_round_trip(tmp_path):
    config = EatConfig(**HUB_CONFIG)
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is EatConfig
    assert loaded.to_diff_dict() == config.to_diff_dict()


def test_two_labels_survive_a_round_trip(tmp_path):
    """transformers leaves two unnamed labels out of the file; 527 must not take their place."""
    EatConfig(num_labels=2).save_pretrained(tmp_path)
    assert EatConfig.from_pretrained(tmp_path).num_labels == 2


def test_to_hub_config_is_the_inverse():
    config = EatConfig(**HUB_CONFIG, model_variant="finetune")
    fields = to_hub_config(config, "finetune")
    wanted = {name: value for name, value in HUB_CONFIG.items() if name != "img_size"}
    assert {name: fields[name] for name in wanted} == wanted


@pytest.fixture
def complaints(caplog):
    """Warnings of transformers, which keeps them from the root logger unless told."""
    logging.enable_propagation()
    yield caplog
    logging.disable_propagation()


def test_encoder_loads_through_auto_model(repository, complaints):
    path, saved = repository
    model, info = AutoModel.from_pretrained(path, output_loading_info=True)
    assert type(model) is EatModel
    assert not any(info.values())
    assert not complaints.records
    inputs = features(model.config)
    with torch.no_grad():
        want = saved.base_model(inputs).last_hidden_state
        torch.testing.assert_close(model.eval()(inputs).last_hidden_state, want, rtol=0, atol=0)


@pytest.mark.parametrize("variant", ["finetune"], indirect=True)
def test_classifier_loads_through_its_auto_class(repository):
    path, saved = repository
    model, info = AutoModelForAudioClassification.from_pretrained(path, output_loading_info=True)
    assert type(model) is EatForAudioClassification
    assert not any(info.values())
    assert model.norm.eps == 1e-5
    inputs = features(model.config)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(inputs).logits, saved(inputs).logits, rtol=0, atol=0)


@pytest.mark.parametrize("variant", ["pretrain"], indirect=True)
def test_pretrained_encoder_gets_a_new_classifier(repository, complaints):
    path, saved = repository
    model, info = AutoModelForAudioClassification.from_pretrained(path, num_labels=7, output_loading_info=True)
    assert info["missing_keys"] == {"norm.weight", "norm.bias", "classifier.weight", "classifier.bias"}
    assert "MISSING" in complaints.text
    assert model.classifier.out_features == 7
    torch.testing.assert_close(model.sslam.state_dict(), saved.state_dict(), rtol=0, atol=0)


def test_saving_writes_the_hub_names_back(repository, tmp_path):
    path, saved = repository
    model_class = AutoModelForAudioClassification if isinstance(saved, EatForAudioClassification) else AutoModel
    model_class.from_pretrained(path).save_pretrained(tmp_path / "again")
    want, got = (load_file(folder / "model.safetensors") for folder in (path, tmp_path / "again"))
    assert got.keys() == want.keys()
    assert all(torch.equal(got[name], want[name]) for name in want)


@pytest.mark.parametrize("variant", ["finetune"], indirect=True)
def test_pipelines_name_sounds(repository):
    """The hub ships no feature extractor: ours knows the right one, the stock pipeline has to be given it."""
    path, _ = repository
    extractor = SslamFeatureExtractor(target_length=128)
    stock = pipeline("audio-classification", model=str(path), feature_extractor=extractor)
    ours = pipeline("audio-tagging", model=str(path))
    clip = torch.randn(8000, generator=torch.Generator().manual_seed(0)).numpy()
    results = ours(clip, top_k=3)
    assert results == stock(clip, top_k=3)
    assert all(entry["label"] in ours.model.config.label2id for entry in results)


def test_our_own_layout_is_not_touched(tmp_path):
    """The renaming belongs to the EAT classes; `SslamModel` keeps its names."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 32}
    SslamModel(SslamConfig(**sizes, max_time_patches=4)).save_pretrained(tmp_path)
    assert "embeddings.class_token" in load_file(tmp_path / "model.safetensors")
