import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from modeling_sslam.audio_resampling import resample
from modeling_sslam.audio_spectrogram import KaldiFbank
from modeling_sslam.feature_extraction_kaldi_fbank import NORMALIZATION_PRESETS, KaldiFbankFeatureExtractor

RATE = 16000
PADDING = 4.268 / (2 * 4.569)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 0.05


def extract(audio, sampling_rate=RATE, **kwargs):
    return KaldiFbankFeatureExtractor(target_length=64)(
        audio, **{"sampling_rate": sampling_rate, "return_tensors": "pt", **kwargs}
    )


def test_features_are_normalised_log_mels_of_the_centred_clip_then_padding():
    clip = noise(8000)
    features = extract(clip)["input_values"]
    log_mels = KaldiFbank()((clip - clip.mean()).unsqueeze(0))
    assert features.shape == (1, 64, 128)
    assert torch.allclose(features[:, :48], (log_mels + 4.268) / (2 * 4.569), atol=1e-6)
    assert torch.allclose(features[:, 48:], torch.tensor(PADDING))


def test_long_clips_are_cut_and_their_mean_is_of_the_whole_clip():
    clip = torch.cat([noise(20000), torch.ones(20000)])
    features = extract(clip)["input_values"]
    log_mels = KaldiFbank()((clip - clip.mean()).unsqueeze(0))[:, :64]
    assert torch.allclose(features, (log_mels + 4.268) / (2 * 4.569), atol=1e-6)
    assert extract(clip, truncation=False)["input_values"].shape == (1, 248, 128)
    assert extract(clip, max_length=80)["input_values"].shape == (1, 80, 128)


@pytest.mark.parametrize("padding", ["max_length", "longest", True])
def test_a_padded_batch_equals_single_clips(padding):
    clips = [noise(length, seed=length) for length in (8000, 9999, 400, 30000)]
    batch = extract(clips, padding=padding, return_attention_mask=True)
    assert batch["input_values"].shape == (4, 64, 128)
    for clip, features, mask in zip(clips, batch["input_values"], batch["attention_mask"], strict=True):
        real = int(mask.sum())
        assert real == min(64, KaldiFbank().num_frames(len(clip)))
        assert mask[:real].all()
        alone = extract(clip, padding="longest")["input_values"][0]
        assert torch.allclose(features[:real], alone, atol=1e-6)
        assert torch.allclose(features[real:], torch.tensor(PADDING))


def test_a_mask_comes_by_default_where_padding_depends_on_the_batch():
    clips = [noise(8000), noise(4000)]
    assert "attention_mask" not in extract(clips)
    longest = extract(clips, padding="longest")
    assert longest["input_values"].shape == (2, 48, 128)
    assert longest["attention_mask"].sum(dim=1).tolist() == [48, 23]
    assert not longest["attention_mask"].is_floating_point()
    extractor = KaldiFbankFeatureExtractor(return_attention_mask=False)
    assert "attention_mask" not in extractor(clips, sampling_rate=RATE, padding="longest")


@pytest.mark.parametrize(
    "audio",
    [
        noise(2, 4000),
        noise(2, 4000).double(),
        noise(2, 4000).numpy(),
        noise(2, 4000).tolist(),
        list(noise(2, 4000)),
        list(noise(2, 4000).double().numpy()),
        torch.stack([noise(2, 4000)] * 3, dim=1),
        [torch.stack([clip, clip]).numpy() for clip in noise(2, 4000)],
    ],
    ids=["tensor", "float64", "array", "lists", "tensors", "arrays", "channels", "list of channels"],
)
def test_every_form_of_a_batch_gives_the_same_features(audio):
    expected = extract(noise(2, 4000))["input_values"]
    assert torch.allclose(extract(audio)["input_values"], expected, atol=1e-5)


def test_one_clip_as_list_array_or_tensor():
    expected = extract(noise(4000))["input_values"]
    assert expected.shape[0] == 1
    assert torch.allclose(extract(noise(4000).tolist())["input_values"], expected, atol=1e-5)
    assert torch.equal(extract(noise(4000).numpy())["input_values"], expected)


def test_any_rate_is_resampled_and_channels_are_averaged_first():
    stereo = noise(2, 11025)
    features = extract([stereo], sampling_rate=22050)["input_values"]
    expected = extract(resample(stereo.mean(dim=0), 22050, RATE))["input_values"]
    assert torch.equal(features, expected)


def test_return_types():
    clips = [noise(4000), noise(5000)]
    features = extract(clips, return_tensors=None, padding="longest")
    assert isinstance(features["input_values"], list)
    assert features["input_values"][0].shape == (29, 128)
    features = extract(clips, return_tensors="np", padding="longest")
    assert isinstance(features["input_values"], np.ndarray)
    assert features["attention_mask"].shape == (2, 29)
    assert extract(clips, device="cpu")["input_values"].device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_device():
    features = extract(noise(2, 8000), sampling_rate=22050, device="cuda")["input_values"]
    assert features.device.type == "cuda"
    assert torch.allclose(features.cpu(), extract(noise(2, 8000), sampling_rate=22050)["input_values"], atol=1e-3)


@pytest.mark.parametrize("name", NORMALIZATION_PRESETS)
def test_presets(name):
    extractor = KaldiFbankFeatureExtractor.from_preset(name)
    features = extractor(noise(4000), sampling_rate=RATE, return_tensors="pt")["input_values"]
    assert features.shape[1] == NORMALIZATION_PRESETS[name]["target_length"]
    padding = 0.0 if extractor.pad_after_normalization else -extractor.mean / (2 * extractor.std)
    assert features[0, -1, 0].item() == pytest.approx(padding)


def test_superb_presets_keep_the_mean_of_the_clip_and_pad_with_zeros():
    clip = noise(8000)
    extractor = KaldiFbankFeatureExtractor.from_preset("superb_keywords")
    features = extractor(clip, sampling_rate=RATE, return_tensors="pt")["input_values"][0]
    expected = (KaldiFbank()(clip[None])[0] + 4.2677393) / (2 * 4.5689974)
    assert features.shape == (100, 128)
    torch.testing.assert_close(features[:48], expected, atol=1e-6, rtol=0)
    assert not features[48:].any()
    lengths = [
        KaldiFbankFeatureExtractor.from_preset(f"superb_{task}").target_length for task in ("emotion", "speaker")
    ]
    assert lengths == [600, 1000]


def test_preset_values_can_be_overridden_and_unknown_names_are_refused():
    assert KaldiFbankFeatureExtractor.from_preset("esc50", target_length=96).target_length == 96
    with pytest.raises(ValueError, match="Unknown preset 'esc10': expected one of audioset, esc50"):
        KaldiFbankFeatureExtractor.from_preset("esc10")


@pytest.mark.parametrize("preset", ["esc50", "superb_emotion"])
def test_saved_and_loaded_extractors_are_equal(preset, tmp_path):
    extractor = KaldiFbankFeatureExtractor.from_preset(preset, num_mel_bins=64)
    extractor(noise(4000), sampling_rate=RATE)
    extractor.save_pretrained(tmp_path)
    assert KaldiFbankFeatureExtractor.from_pretrained(tmp_path).to_dict() == extractor.to_dict()


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, dtype=np.float32), "A clip has 0 samples: it is empty"),
        ([], "Got an empty list"),
        ([noise(4000), torch.zeros(0)], "A clip has 0 samples"),
        (np.zeros(1, dtype=np.float32), "A clip has 1 samples"),
        (torch.cat([noise(4000), torch.tensor([float("nan")])]), "A clip holds NaN or infinite samples"),
        ([noise(4000), torch.cat([noise(4000), torch.tensor([float("inf")])])], "A clip holds NaN or infinite"),
        (noise(399), "A clip has 399 samples at 16000 Hz, less than one frame of 400"),
        (torch.zeros(4000, dtype=torch.int16), "divide 16-bit integer samples by 32768"),
        (list(range(4000)), "divide 16-bit integer samples by 32768"),
        (torch.zeros(1, 1, 1, 4000), r"or \(batch, channels, samples\), got \(1, 1, 1, 4000\)"),
        ([torch.zeros(1, 1, 4000)], r"\(samples,\) or \(channels, samples\), got \(1, 1, 4000\)"),
        ([torch.zeros(4000, 2)], "more channels than samples"),
        ("clip.wav", "Expected audio as lists, numpy arrays or tensors, got str"),
    ],
)
def test_bad_audio_is_refused(audio, message):
    with pytest.raises(ValueError, match=message):
        extract(audio)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="sampling rate of the audio is unknown: pass `sampling_rate=`"):
        extract(noise(4000), sampling_rate=None)
    with pytest.raises(ValueError, match="positive whole number of Hz, got 0"):
        extract(noise(4000), sampling_rate=0)
    with pytest.raises(ValueError, match="Unknown padding False: expected 'longest'"):
        extract(noise(4000), padding=False)


def test_a_torchaudio_that_does_not_import_does_not_matter(tmp_path):
    package = tmp_path / "torchaudio"
    package.mkdir()
    (package / "__init__.py").write_text("raise OSError('libcudart.so.13: cannot open shared object file')")
    script = """
import torch
from modeling_sslam import KaldiFbankFeatureExtractor
from transformers import AudioClassificationPipeline, AutoProcessor

print(KaldiFbankFeatureExtractor()(torch.randn(4000), sampling_rate=16000)["input_values"][0].shape)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.getcwd()])}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "(1024, 128)" in result.stdout
    assert "Ignoring the installed torchaudio, which does not import: OSError('libcudart.so.13" in result.stderr


def test_normalisation_and_its_inverse():
    extractor = KaldiFbankFeatureExtractor(mean=-5.0, std=3.0)
    log_mels = torch.tensor([[[-5.0, 1.0], [-11.0, 0.0]]])
    normalised = extractor.normalize(log_mels)
    torch.testing.assert_close(normalised, torch.tensor([[[0.0, 1.0], [-1.0, 5 / 6]]]))
    torch.testing.assert_close(extractor.denormalize(normalised), log_mels)
    assert extractor.silence == pytest.approx(5 / 6) == pytest.approx(normalised[0, 1, 1].item())
    assert str(KaldiFbankFeatureExtractor(mean=0.0).silence) == "0.0"
    assert extractor.statistics == ("mean", "std")


def test_padding_is_silence_unless_it_is_padded_after_normalisation():
    assert KaldiFbankFeatureExtractor().padding_cell == pytest.approx(PADDING)
    assert KaldiFbankFeatureExtractor(pad_after_normalization=True).padding_cell == 0.0


def test_clips_can_be_left_whole():
    extractor = KaldiFbankFeatureExtractor(target_length=None)
    features = extractor([noise(8000), noise(20000)], sampling_rate=RATE, return_tensors="pt")
    assert features["input_values"].shape == (2, 123, 128)
    assert features["attention_mask"].sum(dim=1).tolist() == [48, 123]
