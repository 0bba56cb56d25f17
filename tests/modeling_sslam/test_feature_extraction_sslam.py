"""Folders that version 0.1 saved name the Kaldi extractor `SslamFeatureExtractor`."""

import json

import pytest
import torch
from transformers import AutoFeatureExtractor

import modeling_sslam
from modeling_sslam.feature_extraction_kaldi_fbank import KaldiFbankFeatureExtractor
from modeling_sslam.feature_extraction_sslam import SslamFeatureExtractor

# As version 0.1 wrote it.
FORMER = {
    "auto_map": {"AutoFeatureExtractor": "feature_extraction_sslam.SslamFeatureExtractor"},
    "backend": "torch",
    "feature_extractor_type": "SslamFeatureExtractor",
    "feature_size": 1,
    "frame_length_ms": 25.0,
    "frame_shift_ms": 10.0,
    "mean": -5.0,
    "num_mel_bins": 32,
    "pad_after_normalization": False,
    "padding_side": "right",
    "padding_value": 0.0,
    "remove_mean": True,
    "return_attention_mask": None,
    "sampling_rate": 16000,
    "std": 3.0,
    "target_length": 64,
}


@pytest.fixture(params=["torch", "torchaudio"])
def folder(tmp_path, request):
    """A folder with nothing else, in either of the two backends of then, which gave the same values."""
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(FORMER | {"backend": request.param}))
    return tmp_path


def test_the_former_name_is_the_class():
    assert SslamFeatureExtractor is modeling_sslam.SslamFeatureExtractor is KaldiFbankFeatureExtractor


@pytest.mark.parametrize("load", [AutoFeatureExtractor.from_pretrained, SslamFeatureExtractor.from_pretrained])
def test_a_folder_of_the_former_name_loads(folder, load):
    extractor = load(folder)
    assert type(extractor) is KaldiFbankFeatureExtractor
    clip = torch.linspace(-1, 1, 9000).sin()
    expected = KaldiFbankFeatureExtractor(num_mel_bins=32, mean=-5.0, std=3.0, target_length=64)
    features = (made(clip, sampling_rate=16000, return_tensors="pt") for made in (extractor, expected))
    assert torch.equal(*(of_one["input_values"] for of_one in features))


def test_it_is_saved_under_the_name_of_now(folder, tmp_path):
    AutoFeatureExtractor.from_pretrained(folder).save_pretrained(tmp_path / "again")
    saved = json.loads((tmp_path / "again" / "preprocessor_config.json").read_text())
    assert saved == {name: value for name, value in FORMER.items() if name != "backend"} | {
        "auto_map": {"AutoFeatureExtractor": "feature_extraction_kaldi_fbank.KaldiFbankFeatureExtractor"},
        "feature_extractor_type": "KaldiFbankFeatureExtractor",
    }
    assert not (tmp_path / "again" / "feature_extraction_sslam.py").exists()
