import math

import pytest
import torch

from modeling_sslam.audio_resampling import resample


def sine(frequency: float, rate: int, seconds: float = 0.5) -> torch.Tensor:
    return torch.sin(2 * math.pi * frequency * torch.arange(int(seconds * rate), dtype=torch.float64) / rate).float()


def windowed_sinc_sample(waveform: torch.Tensor, orig_rate: int, new_rate: int, index: int) -> float:
    """Output sample `index`, summed in float64 from the definition of the kernel."""
    cutoff = 0.99 * min(orig_rate, new_rate)
    total = 0.0
    for position, value in enumerate(waveform.double().tolist()):
        crossings = cutoff * (position / orig_rate - index / new_rate)
        if abs(crossings) < 6:
            sinc = 1.0 if crossings == 0 else math.sin(math.pi * crossings) / (math.pi * crossings)
            total += value * sinc * math.cos(math.pi * crossings / 12) ** 2 * cutoff / orig_rate
    return total


@pytest.mark.parametrize(("orig_rate", "new_rate"), [(44100, 16000), (32000, 16000), (8000, 16000), (22050, 16000)])
def test_samples_are_those_of_the_windowed_sinc(orig_rate, new_rate):
    waveform = torch.randn(600, generator=torch.Generator().manual_seed(0))
    resampled = resample(waveform, orig_rate, new_rate)
    assert len(resampled) == math.ceil(600 * new_rate / orig_rate)
    for index in (0, 1, 77, len(resampled) - 1):
        assert resampled[index].item() == pytest.approx(
            windowed_sinc_sample(waveform, orig_rate, new_rate, index), abs=2e-5
        )


def test_tone_below_nyquist_survives_and_tone_above_is_removed():
    kept = resample(sine(1000, 44100), 44100, 16000)[200:-200]
    assert torch.allclose(kept, sine(1000, 16000)[200:-200], atol=2e-3)
    removed = resample(sine(10000, 44100), 44100, 16000)[200:-200]
    assert removed.abs().max() < 0.01


def test_equal_rates_change_nothing():
    waveform = torch.randn(100)
    assert torch.equal(resample(waveform, 16000, 16000), waveform)


def test_leading_dimensions_are_kept_and_rows_independent():
    waveform = torch.randn(2, 3, 500)
    resampled = resample(waveform, 48000, 16000)
    assert resampled.shape == (2, 3, 167)
    assert torch.allclose(resampled[1, 2], resample(waveform[1, 2], 48000, 16000), atol=1e-6)


def test_autocast_and_half_precision_input_compute_in_float32():
    waveform = torch.randn(500).bfloat16()
    expected = resample(waveform.float(), 44100, 16000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        resampled = resample(waveform, 44100, 16000)
    assert resampled.dtype == torch.float32
    assert torch.equal(resampled, expected)


@pytest.mark.parametrize("rate", [0, -16000, 44100.5])
def test_a_rate_must_be_a_positive_whole_number(rate):
    with pytest.raises(ValueError, match=f"positive whole number of Hz, got {rate}"):
        resample(torch.zeros(100), rate, 16000)
