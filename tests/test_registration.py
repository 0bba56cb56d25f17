"""After `import modeling_sslam` the Auto classes and the stock pipeline know every family."""

import subprocess
import sys

import pytest
import torch
import transformers
from transformers import AutoConfig, AutoFeatureExtractor, pipeline
from transformers.utils import logging

from modeling_sslam import (
    SslamConfig,
    SslamFeatureExtractor,
    SslamForAudioClassification,
    SslamForAudioFrameClassification,
    SslamForPreTraining,
    SslamModel,
)
from modeling_sslam.registration import register_family

AUTO_CLASSES = {
    "AutoModel": SslamModel,
    "AutoModelForPreTraining": SslamForPreTraining,
    "AutoModelForAudioClassification": SslamForAudioClassification,
    "AutoModelForAudioFrameClassification": SslamForAudioFrameClassification,
}


@pytest.fixture
def config() -> SslamConfig:
    return SslamConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_time_patches=8,
        decoder_hidden_size=32,
        decoder_num_layers=1,
        decoder_groups=4,
        num_labels=3,
    )


@pytest.fixture
def complaints(caplog):
    """Warnings of transformers, which keeps them from the root logger unless told."""
    logging.enable_propagation()
    yield caplog
    logging.disable_propagation()


@pytest.mark.parametrize("auto_class", AUTO_CLASSES)
def test_auto_class_loads_what_was_saved(auto_class, config, tmp_path, complaints):
    model = AUTO_CLASSES[auto_class](config)
    model.save_pretrained(tmp_path)
    loaded = getattr(transformers, auto_class).from_pretrained(tmp_path)
    assert type(loaded) is type(model)
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert type(AutoConfig.from_pretrained(tmp_path)) is SslamConfig
    assert not complaints.records


@pytest.mark.parametrize("model_class", [SslamForPreTraining, SslamForAudioClassification])
def test_the_encoder_of_a_head_model_loads_without_complaint(model_class, config, tmp_path, complaints):
    model = model_class(config)
    model.save_pretrained(tmp_path)
    encoder = transformers.AutoModel.from_pretrained(tmp_path)
    torch.testing.assert_close(encoder.state_dict(), model.sslam.state_dict(), rtol=0, atol=0)
    assert not complaints.records


def test_auto_feature_extractor_loads_what_was_saved(tmp_path):
    SslamFeatureExtractor(target_length=96, mean=-1.0).save_pretrained(tmp_path)
    loaded = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(loaded) is SslamFeatureExtractor
    assert (loaded.target_length, loaded.mean) == (96, -1.0)


def test_stock_pipeline_classifies_without_complaint(config, tmp_path, complaints):
    SslamForAudioClassification(config).save_pretrained(tmp_path)
    SslamFeatureExtractor(target_length=64).save_pretrained(tmp_path)
    results = pipeline("audio-classification", model=str(tmp_path))(torch.randn(16000).numpy())
    assert {entry["label"] for entry in results} == set(config.label2id)
    assert sum(entry["score"] for entry in results) == pytest.approx(1.0)
    assert not complaints.records


def test_registering_twice_is_harmless():
    register_family(SslamConfig, AUTO_CLASSES.values(), SslamFeatureExtractor)


def test_a_model_without_an_auto_class_is_refused():
    class SslamForNothing(SslamModel):
        pass

    with pytest.raises(KeyError, match="SslamForNothing"):
        register_family(SslamConfig, [SslamForNothing], SslamFeatureExtractor)


def test_import_stays_light():
    """The package never pulls in the optional audio libraries, nor anything of the training extra by itself."""
    heavy = "torchaudio torchcodec librosa datasets evaluate training"
    script = f"import sys, modeling_sslam; print([name for name in {heavy.split()} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
