"""Repositories in the hub's EAT layout load through the Auto classes with our models, without their code."""

import json
import pathlib

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForAudioClassification, AutoModelForAudioFrameClassification, pipeline
from transformers.utils import logging

from modeling_sslam import (
    EatConfig,
    EatForAudioClassification,
    EatForAudioFrameClassification,
    EatModel,
    KaldiFbankFeatureExtractor,
    SslamConfig,
    SslamModel,
)
from modeling_sslam.official.restricted_pickle import load_restricted
from modeling_sslam.official.sslam_layouts import ours_to_official_hub
from tests.families import SSLAM
from tests.modeling_sslam.test_configuration_eat import HUB_CONFIG


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


HEAD = ("norm.weight", "norm.bias", "dense.weight", "dense.bias")


def features(config) -> torch.Tensor:
    return torch.randn(2, 64, config.num_mel_bins, generator=torch.Generator().manual_seed(1))


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
    assert model.classifier.norm.eps == 1e-5
    inputs = features(model.config)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(inputs).logits, saved(inputs).logits, rtol=0, atol=0)


@pytest.mark.parametrize("variant", ["pretrain"], indirect=True)
def test_pretrained_encoder_gets_a_new_classifier(repository, complaints):
    path, saved = repository
    model, info = AutoModelForAudioClassification.from_pretrained(path, num_labels=7, output_loading_info=True)
    assert info["missing_keys"] == {f"classifier.{name}" for name in HEAD}
    assert "MISSING" in complaints.text
    assert model.classifier.dense.out_features == 7
    torch.testing.assert_close(model.sslam.state_dict(), saved.state_dict(), rtol=0, atol=0)


def test_saving_writes_the_hub_names_back(repository, tmp_path):
    path, saved = repository
    model_class = AutoModelForAudioClassification if isinstance(saved, EatForAudioClassification) else AutoModel
    model_class.from_pretrained(path).save_pretrained(tmp_path / "again")
    want, got = (load_file(folder / "model.safetensors") for folder in (path, tmp_path / "again"))
    assert got.keys() == want.keys()
    assert all(torch.equal(got[name], want[name]) for name in want)


def test_a_frame_head_is_new_on_either_variant_and_saved(repository, complaints, tmp_path):
    """The hub's own head is of clips: it is left aside without a word, and the new one is announced."""
    path, saved = repository
    auto_class = AutoModelForAudioFrameClassification
    model, info = auto_class.from_pretrained(path, num_labels=3, output_loading_info=True)
    assert type(model) is EatForAudioFrameClassification
    assert info["missing_keys"] == {f"frame_classifier.{name}" for name in HEAD}
    assert not info["unexpected_keys"]
    assert "MISSING" in complaints.text
    torch.testing.assert_close(model.sslam.state_dict(), saved.base_model.state_dict(), rtol=0, atol=0)
    assert model.frame_classifier.dense.weight.std() > 0.01
    complaints.clear()

    model.save_pretrained(tmp_path / "again")
    names = load_file(tmp_path / "again" / "model.safetensors").keys()
    assert {f"frame_classifier.{name}" for name in HEAD} < names
    assert {"model.extra_tokens", "model.blocks.0.attn.qkv.weight"} < names
    loaded, info = auto_class.from_pretrained(tmp_path / "again", output_loading_info=True)
    assert not any(info.values())
    assert not complaints.records
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)
    inputs = features(model.config)
    with torch.no_grad():
        logits = loaded.eval()(inputs).logits
        assert logits.shape == (2, 4, 3)
        torch.testing.assert_close(logits, model.eval()(inputs).logits, rtol=0, atol=0)


def test_a_saved_folder_has_the_code_of_the_models_and_nothing_of_the_official_files(tmp_path):
    """Loading never needs to open pickles or msgpack, nor to run the authors' code."""
    EatModel(EatConfig(**SSLAM)).save_pretrained(tmp_path)
    code = {file.name for file in tmp_path.glob("**/*.py")}
    assert {"modeling_eat.py", "configuration_eat.py", "modeling_sslam.py", "encoder.py", "heads.py"} < code
    official = pathlib.Path(load_restricted.__code__.co_filename).parent
    foreign = {file.name for file in official.glob("*.py")}
    assert {"restricted_pickle.py", "flax_msgpack.py", "sslam_layouts.py"} < foreign
    assert not foreign & code
    assert not any("official" in line for file in tmp_path.glob("*.py") for line in imports(file))
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def imports(file: pathlib.Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line.startswith(("import ", "from "))]


@pytest.mark.parametrize("variant", ["finetune"], indirect=True)
def test_pipelines_name_sounds(repository):
    """The hub ships no feature extractor: ours knows the right one, the stock pipeline has to be given it."""
    path, _ = repository
    extractor = KaldiFbankFeatureExtractor(target_length=128)
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
