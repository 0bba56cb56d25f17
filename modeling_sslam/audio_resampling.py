"""Band-limited resampling by windowed-sinc interpolation (Smith, "Digital Audio Resampling", 1984).

The kernel is that of `torchaudio.functional.resample` with its default settings: a sinc low-pass at 0.99 of the lower
Nyquist frequency, cut by a Hann window after 6 zero crossings. The feature extractor, the data loader and the pipeline
all resample here, so that training and inference hear the same.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import nn

ZERO_CROSSINGS = 6
ROLLOFF = 0.99


@functools.lru_cache(maxsize=32)
def resampling_filters(orig_rate: int, new_rate: int, device: torch.device) -> tuple[torch.Tensor, int]:
    """One filter for each of the `new_rate` output samples of a period, for rates without a common divisor.

    Output sample i of a period is the low-passed input at time i / new_rate: the sum over n of
    x[n] h(n / orig_rate - i / new_rate), with h the windowed sinc. Computed in float32 on purpose, as the reference
    does: resampled audio would otherwise differ by 6e-6 for rates with many phases.

    Returns:
        Filters (new_rate, 1, orig_rate + 2 * reach) float32, and `reach`: how many input samples a filter starts
        before its period.
    """
    cutoff = min(orig_rate, new_rate) * ROLLOFF
    reach = math.ceil(ZERO_CROSSINGS * orig_rate / cutoff)
    input_times = torch.arange(-reach, reach + orig_rate, dtype=torch.float32) / orig_rate
    output_times = torch.arange(new_rate, dtype=torch.float32) / new_rate
    crossings = cutoff * (input_times - output_times.unsqueeze(1))
    crossings = crossings.clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = torch.cos(crossings * math.pi / (2 * ZERO_CROSSINGS)).square()
    filters = torch.sinc(crossings) * window * (cutoff / orig_rate)
    return filters.unsqueeze(1).to(device), reach


@torch.no_grad()
def resample(waveform: torch.Tensor, orig_rate: int, new_rate: int) -> torch.Tensor:
    """Changes the sampling rate of a waveform; computed in float32, also under autocast.

    Args:
        waveform: (..., N) samples on any device.
        orig_rate, new_rate: in Hz.
    Returns:
        (..., ceil(N * new_rate / orig_rate)) float32; the samples as they are when the rates agree.
    Raises:
        ValueError: a rate that is not a positive integer.
    """
    for rate in (orig_rate, new_rate):
        if rate != int(rate) or rate <= 0:
            raise ValueError(f"A sampling rate must be a positive whole number of Hz, got {rate}.")
    if orig_rate == new_rate:
        return waveform.float()
    divisor = math.gcd(int(orig_rate), int(new_rate))
    orig_period, new_period = int(orig_rate) // divisor, int(new_rate) // divisor
    filters, reach = resampling_filters(orig_period, new_period, waveform.device)

    # cuDNN by default rounds the factors of float32 convolutions to TF32, 10 bits: too coarse for quiet bands.
    dtype = torch.float64 if waveform.is_cuda else torch.float32
    num_samples = waveform.shape[-1]
    rows = nn.functional.pad(waveform.to(dtype).reshape(-1, 1, num_samples), (reach, reach + orig_period))
    with torch.autocast(waveform.device.type, enabled=False):
        periods = nn.functional.conv1d(rows, filters.to(dtype), stride=orig_period)  # (rows, place in period, period)
    num_resampled = -(-num_samples * new_period // orig_period)
    resampled = periods.float().transpose(1, 2).flatten(1)[:, :num_resampled]
    return resampled.reshape(*waveform.shape[:-1], num_resampled)
