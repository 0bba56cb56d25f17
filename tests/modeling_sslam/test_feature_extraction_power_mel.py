import numpy as np
import pytest
import torch

from modeling_sslam import PowerMelFeatureExtractor
from modeling_sslam.audio_resampling import resample
from modeling_sslam.audio_spectrogram import PowerMel
from modeling_sslam.feature_extraction_power_mel import standardize

RATE = 16000


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 0.05


def extract(audio, sampling_rate=RATE, target_length=None, standardization="unbiased", **kwargs):
    extractor = PowerMelFeatureExtractor(target_length=target_length, standardization=standardization)
    return extractor(audio, **{"sampling_rate": sampling_rate, "return_tensors": "pt", **kwargs})


@pytest.mark.parametrize(("standardization", "correction"), [("unbiased", 1), ("population", 0)])
def test_features_are_log_mels_standardised_over_all_their_cells(standardization, correction):
    clip = noise(8000)
    features = extract(clip, standardization=standardization)["input_values"]
    log_mels = PowerMel()(clip[None])
    assert features.shape == (1, 51, 80)
    expected = (log_mels - log_mels.mean()) / log_mels.std(correction=correction)
    assert torch.allclose(features, expected, atol=1e-5)


def test_a_clip_is_standardised_before_it_is_cut_and_padded():
    clip = torch.cat([noise(16000), 3 * noise(16000)])
    whole = extract(clip)["input_values"]
    assert torch.equal(extract(clip, target_length=64)["input_values"], whole[:, :64])
    padded = extract(clip, target_length=300)
    assert torch.equal(padded["input_values"][:, :201], whole)
    assert not padded["input_values"][:, 201:].any()
    assert padded["attention_mask"].sum() == 201
    assert extract(clip, target_length=64, truncation=False)["input_values"].shape == (1, 201, 80)
    assert extract(clip, target_length=64, padding="longest", max_length=80)["input_values"].shape == (1, 80, 80)


def test_a_ragged_batch_equals_single_clips():
    clips = [noise(length, seed=length) for length in (8000, 9999, 400, 30000)]
    batch = extract(clips)
    assert batch["input_values"].shape == (4, 188, 80)
    for clip, features, mask in zip(clips, batch["input_values"], batch["attention_mask"], strict=True):
        real = int(mask.sum())
        assert real == 1 + len(clip) // 160
        assert mask[:real].all()
        assert torch.allclose(features[:real], extract(clip)["input_values"][0], atol=1e-5)
        assert not features[real:].any()


def test_standardisation_ignores_padding_and_survives_silence():
    features = torch.tensor([[[1.0], [3.0], [100.0]], [[5.0], [5.0], [5.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert standardize(features, mask, "population")[..., 0].tolist() == [[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("audio", [noise(2, 4000).double(), noise(2, 4000).numpy(), noise(2, 4000).tolist()])
def test_every_form_of_a_batch_gives_the_same_features(audio):
    assert torch.allclose(extract(audio)["input_values"], extract(noise(2, 4000))["input_values"], atol=1e-4)


def test_any_rate_is_resampled_and_channels_are_averaged_first():
    stereo = noise(2, 11025)
    features = extract([stereo], sampling_rate=22050)["input_values"]
    assert torch.equal(features, extract(resample(stereo.mean(dim=0), 22050, RATE))["input_values"])


def test_return_types():
    clips = [noise(4000), noise(5000)]
    features = extract(clips, return_tensors=None)
    assert [array.shape for array in features["input_values"]] == [(32, 80), (32, 80)]
    assert isinstance(extract(clips, return_tensors="np")["input_values"], np.ndarray)
    assert "attention_mask" not in extract(clips, return_attention_mask=False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_device():
    features = extract(noise(2, 8000), sampling_rate=22050, device="cuda")["input_values"]
    assert features.device.type == "cuda"
    assert torch.allclose(features.cpu(), extract(noise(2, 8000), sampling_rate=22050)["input_values"], atol=2e-3)


def test_saved_and_loaded_extractors_are_equal(tmp_path):
    extractor = PowerMelFeatureExtractor(num_mel_bins=64, standardization="population")
    extractor(noise(4000), sampling_rate=RATE)
    extractor.save_pretrained(tmp_path)
    assert PowerMelFeatureExtractor.from_pretrained(tmp_path).to_dict() == extractor.to_dict()


def test_bad_audio_and_arguments_are_refused():
    with pytest.raises(ValueError, match="A waveform of 200 samples is too short"):
        extract(noise(200))
    with pytest.raises(ValueError, match="A clip holds NaN or infinite samples"):
        extract(torch.full((4000,), float("nan")))
    with pytest.raises(ValueError, match="sampling rate of the audio is unknown: pass `sampling_rate=`"):
        extract(noise(4000), sampling_rate=None)
    with pytest.raises(ValueError, match="Unknown padding False: expected 'longest'"):
        extract(noise(4000), padding=False)
    with pytest.raises(ValueError, match="padding='max_length' needs `max_length=` or an extractor with"):
        extract(noise(4000), padding="max_length")
    with pytest.raises(ValueError, match="Unknown standardization 'none': expected one of unbiased, population"):
        PowerMelFeatureExtractor(standardization="none")


@pytest.mark.parametrize("standardization", ["unbiased", "population"])
def test_normalisation_of_log_mels_is_that_of_a_call(standardization):
    extractor = PowerMelFeatureExtractor(standardization=standardization)
    clips = [noise(8000), noise(8000, seed=1)]
    log_mels = extractor.front_end(torch.device("cpu"))(torch.stack(clips))
    features = extractor(clips, sampling_rate=RATE, return_tensors="pt")["input_values"]
    assert torch.equal(extractor.normalize(log_mels), features)
    mask = torch.ones(2, 51, dtype=torch.int32)
    mask[:, 40:] = 0
    expected = extractor.normalize(log_mels[:, :40])
    torch.testing.assert_close(extractor.normalize(log_mels, mask)[:, :40], expected, atol=1e-5, rtol=0)


def test_a_standardised_clip_cannot_be_turned_back():
    with pytest.raises(ValueError, match="by its own mean and deviation, which features do not keep"):
        PowerMelFeatureExtractor().denormalize(torch.zeros(1, 10, 80))
