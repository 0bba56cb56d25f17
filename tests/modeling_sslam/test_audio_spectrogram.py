import numpy as np
import pytest
import torch

from modeling_sslam import audio_spectrogram as spectrogram
from modeling_sslam.audio_spectrogram import KaldiFbank, PowerMel, htk_mel_filters


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


def power_mel_frame(samples: np.ndarray) -> np.ndarray:
    """400 samples at 16 kHz to 80 log-mels in float64, from the definition."""
    power = np.abs(np.fft.rfft(samples * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)))) ** 2
    hertz = np.arange(201) * 40.0
    mel_50, mel_8000 = 2595 * np.log10(1 + 50 / 700), 2595 * np.log10(1 + 8000 / 700)
    corners = 700 * (10 ** (np.linspace(mel_50, mel_8000, 82) / 2595) - 1)
    energies = []
    for left, centre, right in zip(corners, corners[1:], corners[2:], strict=False):
        energies.append(
            np.minimum((hertz - left) / (centre - left), (right - hertz) / (right - centre)).clip(0) @ power
        )
    return np.log(np.array(energies) + 2.0**-23)


def test_power_mel_frames_are_centred_on_every_160th_sample():
    waveform = noise(2, 4000)
    features = PowerMel()(waveform)
    assert features.shape == (2, 26, 80)
    samples = waveform[1].double().numpy()
    reflected = np.concatenate([samples[200:0:-1], samples, samples[-2:-202:-1]])
    for frame in (0, 1, 13, 25):
        expected = power_mel_frame(reflected[frame * 160 : frame * 160 + 400])
        np.testing.assert_allclose(features[1, frame].numpy(), expected, atol=1e-3)


def test_power_mel_is_the_spectrogram_of_torch():
    waveform, mel = noise(1, 4000), PowerMel(fft_length=512)
    window = torch.hann_window(400)
    spectrum = torch.stft(waveform, 512, 160, 400, window, center=True, pad_mode="reflect", return_complex=True)
    expected = (spectrum.abs().square().transpose(1, 2) @ mel.mel_filters + 2.0**-23).log()
    assert torch.allclose(mel(waveform), expected, atol=1e-4)


def test_power_mel_of_silence_is_at_the_floor_and_tiles_change_nothing(monkeypatch):
    assert torch.allclose(PowerMel()(torch.zeros(1, 400)), torch.tensor(2.0**-23).log().expand(1, 3, 80))
    waveform = noise(2, 8000)
    whole = PowerMel()(waveform)
    monkeypatch.setattr(spectrogram, "CPU_TILE_FRAMES", 7)
    assert torch.allclose(PowerMel()(waveform), whole, atol=1e-4)


def test_htk_triangles_reach_one_and_overlap_by_halves():
    filters = htk_mel_filters(4, 16000, 16000, 100.0, 8000.0)
    assert filters.max(dim=0).values == pytest.approx([1.0] * 4, abs=1e-3)
    between = slice(int(filters[:, 0].argmax()), int(filters[:, 3].argmax()))
    assert torch.allclose(filters.sum(dim=1)[between], torch.ones(1), atol=1e-3)


def test_power_mel_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match=r"shape \(batch, samples\), got \(400,\)"):
        PowerMel()(torch.zeros(400))
    with pytest.raises(ValueError, match="A waveform of 200 samples is too short: it is reflected over 200"):
        PowerMel()(torch.zeros(1, 200))
    with pytest.raises(ValueError, match="Mel filters from 50.0 to 9000 Hz do not fit a sampling rate of 16000"):
        PowerMel(high_frequency=9000)
    with pytest.raises(ValueError, match="A window of 400 samples does not fit a transform of 256"):
        PowerMel(fft_length=256)
