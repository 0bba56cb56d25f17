import numpy as np
import pytest
import torch

from modeling_sslam import LinearSpectrogramFeatureExtractor
from modeling_sslam.audio_resampling import resample
from modeling_sslam.feature_extraction_linear_spectrogram import decibels

RATE = 22050


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 0.05


def reference(clip: torch.Tensor) -> np.ndarray:
    """(T, F) decibels less their mean, in float64 and from the definition."""
    samples = np.pad(clip.double().numpy(), 220, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(441) / 441)
    frames = [samples[start : start + 441] * window for start in range(0, len(samples) - 440, 220)]
    spec = 20 * np.log10(np.maximum(np.abs(np.fft.rfft(frames)), 1e-5))
    spec = np.maximum(spec, spec.max() - 150) + 75
    return spec - spec.mean()


def extract(audio, sampling_rate=RATE, target_length=None, **kwargs):
    extractor = LinearSpectrogramFeatureExtractor(target_length=target_length)
    return extractor(audio, **{"sampling_rate": sampling_rate, "return_tensors": "pt", **kwargs})


@pytest.mark.parametrize("num_samples", [441, 5000, 8820])
def test_features_are_those_of_the_definition(num_samples):
    clip = noise(num_samples)
    features = extract(clip)["input_values"]
    wanted = reference(clip)
    assert features.dtype == torch.float32
    assert features.shape == (1, *wanted.shape)
    assert features.shape[1] == LinearSpectrogramFeatureExtractor().num_frames(num_samples)
    np.testing.assert_allclose(features[0].numpy(), wanted, atol=1e-3)


def test_quiet_frequencies_beside_a_loud_one_are_not_lost_in_rounding():
    """130 dB below a tone; in float32 the tone's rounding would be heard there."""
    time = torch.arange(11025, dtype=torch.float64) / RATE
    clip = torch.sin(2 * torch.pi * 50 * 50 * time).float() + 1e-6 * noise(11025)
    np.testing.assert_allclose(extract(clip)["input_values"][0].numpy(), reference(clip), atol=0.01)


def test_silence_within_a_clip_is_cut_off_at_the_floor():
    clip = torch.cat([noise(6000), torch.zeros(6000)])
    features = extract(clip)["input_values"][0]
    floor = features.min()
    assert (features[-10:] == floor).all()
    assert extract(torch.zeros(4000))["input_values"].count_nonzero() == 0


def test_decibels_have_a_floor():
    assert decibels(torch.tensor([1.0, 100.0, 0.0, 1e-12])).tolist() == [0.0, 20.0, -100.0, -100.0]


def test_a_clip_is_normalised_before_it_is_cut_and_padded():
    clip = torch.cat([noise(16000), 3 * noise(16000)])
    whole = extract(clip)["input_values"]
    assert whole.mean().abs() < 1e-4
    assert torch.equal(extract(clip, target_length=64)["input_values"], whole[:, :64])
    padded = extract(clip, target_length=300)
    num_frames = whole.shape[1]
    assert torch.equal(padded["input_values"][:, :num_frames], whole)
    assert not padded["input_values"][:, num_frames:].any()
    assert padded["attention_mask"].sum() == num_frames


def test_a_ragged_batch_equals_single_clips():
    clips = [noise(length, seed=length) for length in (8000, 9999, 442, 30000)]
    clips[1] *= 50  # the loudest cell, which sets the floor, is each clip's own
    batch = extract(clips)
    for clip, features, mask in zip(clips, batch["input_values"], batch["attention_mask"], strict=True):
        real = int(mask.sum())
        assert mask[:real].all()
        assert torch.allclose(features[:real], extract(clip)["input_values"][0], atol=1e-4)
        assert not features[real:].any()


def test_frames_and_samples_go_together():
    extractor = LinearSpectrogramFeatureExtractor()
    assert [extractor.num_frames(length) for length in (441, 660, 661, 12000, 110250)] == [3, 3, 4, 55, 502]
    assert all(extractor.num_frames(extractor.num_samples(frames)) == frames for frames in (3, 55, 502))
    assert extractor.num_frames(extractor.num_samples(55) - 1) == 54
    assert extractor.seconds_for(500) == pytest.approx(500 * 220 / 22050)
    even = LinearSpectrogramFeatureExtractor(num_frequency_bins=257, fft_length=512, hop_length=160)
    assert even.num_frames(1600) == 11
    assert even(noise(1600), RATE, return_tensors="pt")["input_values"].shape == (1, 11, 257)


def test_any_rate_is_resampled_and_channels_are_averaged_first():
    stereo = noise(2, 16000)
    features = extract([stereo], sampling_rate=16000)["input_values"]
    assert torch.equal(features, extract(resample(stereo.mean(dim=0), 16000, RATE))["input_values"])


def test_normalisation_of_decibels_is_that_of_a_call():
    extractor = LinearSpectrogramFeatureExtractor()
    clips = torch.stack([noise(8000), noise(8000, seed=1)])
    raw = decibels(extractor.front_end(torch.device("cpu"))(clips))
    torch.testing.assert_close(extractor.normalize(raw), extract(list(clips))["input_values"], rtol=0, atol=1e-4)
    mask = torch.ones(2, raw.shape[1], dtype=torch.int32)
    mask[:, 20:] = 0
    wanted = extractor.normalize(raw[:, :20])
    torch.testing.assert_close(extractor.normalize(raw, mask)[:, :20], wanted, atol=1e-4, rtol=0)


def test_saved_and_loaded_extractors_are_equal(tmp_path):
    extractor = LinearSpectrogramFeatureExtractor(num_frequency_bins=33, hop_length=55, target_length=64)
    extractor(noise(4000), sampling_rate=RATE)
    extractor.save_pretrained(tmp_path)
    assert LinearSpectrogramFeatureExtractor.from_pretrained(tmp_path).to_dict() == extractor.to_dict()


def test_bad_audio_and_arguments_are_refused():
    with pytest.raises(ValueError, match="A waveform of 220 samples is too short: it is reflected over 220"):
        extract(noise(220))
    with pytest.raises(ValueError, match="A clip holds NaN or infinite samples"):
        extract(torch.full((4000,), float("nan")))
    with pytest.raises(ValueError, match="A transform of 512 samples has 257 bins, but num_frequency_bins is 221"):
        LinearSpectrogramFeatureExtractor(fft_length=512)
    with pytest.raises(ValueError, match="subtracts the mean of every clip, which features do not keep"):
        LinearSpectrogramFeatureExtractor().denormalize(torch.zeros(1, 10, 221))
