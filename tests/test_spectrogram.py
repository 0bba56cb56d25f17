import numpy as np
import pytest
import torch

from modeling_sslam import spectrogram
from modeling_sslam.spectrogram import KaldiFbank


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def reference_frame(samples: np.ndarray) -> np.ndarray:
    """One frame of 400 samples at 16 kHz to 128 log-mels in float64, from the definition."""
    samples = samples - samples.mean()
    samples = samples - 0.97 * np.concatenate([samples[:1], samples[:-1]])
    samples = samples * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399))
    power = np.abs(np.fft.rfft(samples, 512)) ** 2
    mel = 1127 * np.log1p(np.arange(257) * 16000 / 512 / 700)
    points = np.linspace(1127 * np.log1p(20 / 700), 1127 * np.log1p(8000 / 700), 130)
    energies = []
    for left, centre, right in zip(points, points[1:], points[2:], strict=False):
        triangle = np.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)).clip(0)
        energies.append(triangle @ power)
    return np.log(np.maximum(energies, 1.1920929e-07))


def test_frames_are_those_of_the_definition():
    waveform = noise(1, 16000)
    features = KaldiFbank()(waveform)[0]
    assert features.shape == (98, 128)
    for frame in (0, 31, 97):
        expected = reference_frame(waveform[0, frame * 160 : frame * 160 + 400].double().numpy())
        np.testing.assert_allclose(features[frame].numpy(), expected, atol=5e-3)
        assert np.abs(features[frame].numpy() - expected).mean() < 2e-5


def test_filters_without_a_bin_and_silence_are_at_the_floor():
    features = KaldiFbank()(torch.zeros(1, 400))
    assert torch.allclose(features, torch.tensor(1.1920929e-07).log().expand(1, 1, 128))


def test_the_nyquist_bin_has_no_weight():
    assert KaldiFbank().mel_filters.shape == (257, 128)
    assert KaldiFbank().mel_filters[-1].eq(0).all()


@pytest.mark.parametrize(
    ("num_samples", "num_frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (160000, 998)]
)
def test_num_frames(num_samples, num_frames):
    assert KaldiFbank().num_frames(num_samples) == num_frames


def test_num_samples_is_what_the_frames_cover():
    fbank = KaldiFbank()
    assert fbank.num_frames(fbank.num_samples(7)) == 7
    assert fbank.num_frames(fbank.num_samples(7) - 1) == 6


def test_other_settings():
    fbank = KaldiFbank(
        sampling_rate=32000, num_mel_bins=40, frame_length_ms=20, frame_shift_ms=5, high_frequency=12000
    )
    assert (fbank.frame_length, fbank.frame_shift, fbank.fft_length) == (640, 160, 1024)
    features = fbank(noise(1, 3200))
    assert features.shape == (1, 17, 40)
    assert features.isfinite().all()


@pytest.mark.parametrize("tile", [1, 7, 60, 1000])
def test_tiles_do_not_change_the_values(monkeypatch, tile):
    waveform = noise(5, 4000)
    expected = torch.cat([KaldiFbank()(clip.unsqueeze(0)) for clip in waveform])
    monkeypatch.setattr(spectrogram, "CPU_TILE_FRAMES", tile)
    assert torch.allclose(KaldiFbank()(waveform), expected, atol=1e-5)


def test_autocast_and_half_precision_input_compute_in_float32():
    waveform = noise(2, 4000).bfloat16()
    expected = KaldiFbank()(waveform.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = KaldiFbank()(waveform)
    assert features.dtype == torch.float32
    assert torch.equal(features, expected)


def test_the_waveform_is_left_as_it_is():
    waveform = noise(2, 4000)
    before = waveform.clone()
    KaldiFbank()(waveform)
    assert torch.equal(waveform, before)


def test_bad_input():
    with pytest.raises(ValueError, match=r"shape \(batch, samples\), got \(4000,\)"):
        KaldiFbank()(torch.zeros(4000))
    with pytest.raises(ValueError, match="399 samples is shorter than one frame of 400 samples"):
        KaldiFbank()(torch.zeros(1, 399))
    with pytest.raises(ValueError, match=r"from 20\.0 to 9000\.0 Hz do not fit a sampling rate of 16000 Hz"):
        KaldiFbank(high_frequency=9000.0)
