"""What all extractors promise."""

import math

import pytest
import torch

from modeling_sslam.feature_extraction_kaldi_fbank import NORMALIZATION_PRESETS, KaldiFbankFeatureExtractor
from modeling_sslam.feature_extraction_power_mel import PowerMelFeatureExtractor
from modeling_sslam.feature_extraction_waveform import WaveformFeatureExtractor

RATE = 16000
CLASSES = [KaldiFbankFeatureExtractor, PowerMelFeatureExtractor, WaveformFeatureExtractor]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 0.05


def num_frames_of(extractor, samples: torch.Tensor, rate: int) -> int:
    features = extractor(samples, sampling_rate=rate, padding="longest", truncation=False, return_tensors="pt")
    return features["input_values"].shape[1]


@pytest.mark.parametrize("extractor_class", CLASSES)
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_frames_for_seconds_are_those_of_a_call(extractor_class, rate):
    extractor = extractor_class()
    for num_samples in (rate // 10, rate // 3, rate + 1, 2 * rate - 1, 2 * rate):
        assert extractor.frames_for(num_samples / rate) == num_frames_of(extractor, noise(num_samples), rate)


@pytest.mark.parametrize(("extractor_class", "frames"), list(zip(CLASSES, (998, 1001, 160000), strict=True)))
def test_frames_of_ten_seconds(extractor_class, frames):
    assert extractor_class().frames_for(10) == frames
    assert extractor_class(target_length=100).frames_for(10) == frames


@pytest.mark.parametrize("extractor_class", CLASSES)
def test_samples_of_frames_are_the_fewest(extractor_class):
    extractor = extractor_class()
    for num_frames in (5, 6, 64):
        num_samples = extractor.num_samples(num_frames)
        assert num_frames_of(extractor, noise(num_samples), RATE) == num_frames
        assert extractor.num_frames(num_samples) == num_frames == extractor.num_frames(num_samples - 1) + 1


@pytest.mark.parametrize(
    ("extractor", "step", "longest"),
    [
        (KaldiFbankFeatureExtractor(), 0.01, 10.24),
        (KaldiFbankFeatureExtractor(frame_shift_ms=20.0, target_length=50), 0.02, 1.0),
        (KaldiFbankFeatureExtractor(target_length=None), 0.01, math.inf),
        (PowerMelFeatureExtractor(), 0.01, math.inf),
        (PowerMelFeatureExtractor(target_length=304), 0.01, 3.04),
        (WaveformFeatureExtractor(sampling_rate=8000), 1 / 8000, math.inf),
        (WaveformFeatureExtractor(target_length=24000), 1 / RATE, 1.5),
    ],
)
def test_seconds_of_frames(extractor, step, longest):
    assert extractor.seconds_per_step == step
    assert extractor.longest_seconds == longest


@pytest.mark.parametrize("extractor_class", [PowerMelFeatureExtractor, WaveformFeatureExtractor])
def test_silence_is_zero_where_no_statistics_of_a_data_set_are_used(extractor_class):
    extractor = extractor_class()
    assert extractor.silence == extractor.padding_cell == 0.0
    assert extractor.statistics == ()


@pytest.mark.parametrize("extractor_class", CLASSES)
def test_padding_is_the_same_for_all(extractor_class):
    extractor = extractor_class(target_length=64, return_attention_mask=True)
    clips = [noise(16000), noise(extractor.num_samples(30), seed=1)]
    call = {"sampling_rate": RATE, "return_tensors": "pt"}
    cut = extractor(clips, **call)
    assert cut["input_values"].shape[:2] == cut["attention_mask"].shape == (2, 64)
    assert cut["attention_mask"].sum(dim=1).tolist() == [64, 30]
    assert cut["attention_mask"].dtype == torch.int32
    padding = cut["input_values"][1, 30:]
    assert torch.equal(padding, torch.full_like(padding, extractor.padding_cell))

    whole = extractor(clips, **call, truncation=False)["input_values"]
    assert whole.shape[1] == extractor.num_frames(16000)
    longest = extractor(clips, **call, padding=True, max_length=50)["input_values"]
    assert longest.shape[1] == 50
    assert "attention_mask" not in extractor(clips, **call, return_attention_mask=False)


@pytest.mark.parametrize("extractor_class", CLASSES)
def test_a_mask_left_open_comes_where_padding_depends_on_the_batch(extractor_class):
    extractor = extractor_class(return_attention_mask=None, target_length=64)
    assert "attention_mask" not in extractor(noise(8000), sampling_rate=RATE)
    assert "attention_mask" in extractor(noise(8000), sampling_rate=RATE, padding="longest")


@pytest.mark.parametrize("extractor_class", CLASSES)
def test_features_are_no_view_of_the_audio(extractor_class):
    clip = noise(1, 8000)
    before = clip.clone()
    extractor_class(target_length=None)(clip, sampling_rate=RATE, return_tensors="pt")["input_values"].zero_()
    assert torch.equal(clip, before)


@pytest.mark.parametrize("extractor_class", CLASSES)
def test_bad_arguments_are_refused(extractor_class):
    extractor = extractor_class(target_length=None)
    with pytest.raises(ValueError, match="A clip holds NaN or infinite samples"):
        extractor(torch.full((4000,), float("nan")), sampling_rate=RATE)
    with pytest.raises(ValueError, match="sampling rate of the audio is unknown: pass `sampling_rate=`"):
        extractor(noise(4000))
    with pytest.raises(ValueError, match="Unknown padding False: expected 'longest'"):
        extractor(noise(4000), sampling_rate=RATE, padding=False)
    with pytest.raises(ValueError, match="padding='max_length' needs `max_length=` or an extractor with"):
        extractor(noise(4000), sampling_rate=RATE, padding="max_length")


def test_presets():
    assert KaldiFbankFeatureExtractor.PRESETS is NORMALIZATION_PRESETS
    assert isinstance(KaldiFbankFeatureExtractor.from_preset("esc50"), KaldiFbankFeatureExtractor)
    with pytest.raises(ValueError, match="Unknown preset 'esc10': expected one of audioset, esc50"):
        KaldiFbankFeatureExtractor.from_preset("esc10")
    with pytest.raises(ValueError, match="Unknown preset 'audioset': PowerMelFeatureExtractor has none"):
        PowerMelFeatureExtractor.from_preset("audioset")
