import numpy as np
import pytest
import torch

from modeling_sslam.audio_resampling import resample
from modeling_sslam.feature_extraction_waveform import WaveformFeatureExtractor

RATE = 16000


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 0.05


def extract(audio, sampling_rate=RATE, target_length=None, **kwargs):
    extractor = WaveformFeatureExtractor(target_length=target_length)
    return extractor(audio, **{"sampling_rate": sampling_rate, "return_tensors": "pt", **kwargs})


def test_a_clip_stays_as_it_is():
    features = extract(noise(8000))
    assert torch.equal(features["input_values"], noise(1, 8000))
    assert features["input_values"].dtype == torch.float32
    assert torch.equal(features["attention_mask"], torch.ones(1, 8000, dtype=torch.int32))


def test_clips_are_padded_with_zeros_to_the_longest():
    clips = [noise(8000), noise(5000, seed=1)]
    features = extract(clips)
    assert features["input_values"].shape == features["attention_mask"].shape == (2, 8000)
    for clip, samples, mask in zip(clips, features["input_values"], features["attention_mask"], strict=True):
        assert torch.equal(samples[: len(clip)], clip)
        assert not samples[len(clip) :].any()
        assert mask.sum() == mask[: len(clip)].sum() == len(clip)


def test_clips_are_cut_and_padded_to_the_target_length():
    clips = [noise(8000), noise(5000, seed=1)]
    features = extract(clips, target_length=6000)
    assert torch.equal(features["input_values"][0], clips[0][:6000])
    assert torch.equal(features["input_values"][1], torch.cat([clips[1], torch.zeros(1000)]))
    assert features["attention_mask"].sum(dim=1).tolist() == [6000, 5000]
    assert extract(clips, target_length=6000, truncation=False)["input_values"].shape == (2, 8000)
    assert extract(clips, padding="max_length", max_length=9000)["input_values"].shape == (2, 9000)


def test_any_rate_is_resampled_and_channels_are_averaged_first():
    stereo = noise(2, 11025)
    features = extract([stereo], sampling_rate=22050)["input_values"]
    assert torch.equal(features[0], resample(stereo.mean(dim=0), 22050, RATE))


def test_return_types():
    clips = [noise(4000), noise(5000)]
    assert [array.shape for array in extract(clips, return_tensors=None)["input_values"]] == [(5000,), (5000,)]
    assert isinstance(extract(clips, return_tensors="np")["attention_mask"], np.ndarray)


def test_nothing_is_normalised():
    extractor = WaveformFeatureExtractor()
    assert torch.equal(extractor.normalize(noise(1, 100)), noise(1, 100))
    assert torch.equal(extractor.denormalize(noise(1, 100)), noise(1, 100))


def test_saved_and_loaded_extractors_are_equal(tmp_path):
    extractor = WaveformFeatureExtractor(sampling_rate=8000, target_length=8000)
    extractor.save_pretrained(tmp_path)
    assert WaveformFeatureExtractor.from_pretrained(tmp_path).to_dict() == extractor.to_dict()


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, dtype=np.float32), "A clip has 0 samples: it is empty"),
        (torch.zeros(4000, dtype=torch.int16), "divide 16-bit integer samples by 32768"),
        ([torch.zeros(4000, 2)], "more channels than samples"),
        (torch.full((4000,), float("inf")), "A clip holds NaN or infinite samples"),
    ],
)
def test_bad_audio_is_refused(audio, message):
    with pytest.raises(ValueError, match=message):
        extract(audio)
