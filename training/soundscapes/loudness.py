"""Integrated loudness of a mono signal in LUFS, by ITU-R BS.1770-4.

The two filters of the K-weighting are built for any sampling rate as a high shelf of 4 dB above 1.5 kHz and a high
pass at 38 Hz (De Man, "Evaluation of Implementations of the EBU R128 Loudness Measurement", AES 2018), which Scaper's
meter uses too; at 48 kHz their gain is that of the recommendation's coefficients to within 0.05 dB.
"""

from __future__ import annotations

import functools
import math

import numpy
from scipy.signal import sosfilt

LOWEST = -70.0  # LUFS: the absolute gate, and what silence is said to have
RELATIVE_GATE = -10.0  # LU below the mean of what passed the absolute gate
BLOCK_SECONDS, BLOCK_STEP = 0.4, 0.25  # the step is a share of the block
SHORTEST_SECONDS = 0.5  # shorter signals are repeated
OFFSET = -0.691  # LUFS: makes a sine of 997 Hz at full scale -3.01

SHELF_GAIN, SHELF_FREQUENCY, SHELF_QUALITY = 4.0, 1500.0, 1 / math.sqrt(2)
PASS_FREQUENCY, PASS_QUALITY = 38.0, 0.5


@functools.lru_cache(maxsize=8)
def k_weighting(sampling_rate: int) -> numpy.ndarray:
    """(2, 6) second-order sections of the K-weighting."""
    return numpy.stack([_high_shelf(sampling_rate), _high_pass(sampling_rate)])


def integrated_loudness(samples: numpy.ndarray, sampling_rate: int) -> float:
    """Loudness of a whole signal in LUFS.

    Args:
        samples: (N,). Less than half a second is repeated until it is as long (Scaper).
        sampling_rate: in Hz.
    Returns:
        at least -70, which silence has too.
    Raises:
        ValueError: no samples.
    """
    if not len(samples):
        raise ValueError("a signal without samples has no loudness")
    shortest = SHORTEST_SECONDS * sampling_rate
    if len(samples) < shortest:
        samples = numpy.tile(samples, math.ceil(shortest / len(samples)))
    power = block_powers(sosfilt(k_weighting(sampling_rate), samples), sampling_rate)
    loud = power[_lufs(power) >= LOWEST]
    if not len(loud):
        return LOWEST
    gate = max(float(_lufs(loud.mean())) + RELATIVE_GATE, LOWEST)
    loud = power[_lufs(power) > gate]
    return max(float(_lufs(loud.mean())), LOWEST) if len(loud) else LOWEST


def block_powers(weighted: numpy.ndarray, sampling_rate: int) -> numpy.ndarray:
    """(blocks,) mean squares of blocks of 400 ms, one every 100 ms; the last one may lack a part of its end."""
    block = BLOCK_SECONDS * sampling_rate
    count = round((len(weighted) / sampling_rate - BLOCK_SECONDS) / (BLOCK_SECONDS * BLOCK_STEP)) + 1
    number = numpy.arange(count)
    starts = (block * BLOCK_STEP * number).astype(int)
    ends = numpy.minimum((block * (BLOCK_STEP * number + 1)).astype(int), len(weighted))
    energy = numpy.concatenate([[0.0], numpy.cumsum(numpy.square(weighted, dtype=numpy.float64))])
    return (energy[ends] - energy[starts]) / block


def _lufs(power: numpy.ndarray) -> numpy.ndarray:
    """Loudness of a mean square; minus infinity for 0."""
    with numpy.errstate(divide="ignore"):
        return OFFSET + 10 * numpy.log10(power)


def _high_shelf(sampling_rate: int) -> numpy.ndarray:
    """(6,) section of a shelf above `SHELF_FREQUENCY`."""
    root, angle = 10 ** (SHELF_GAIN / 40), 2 * math.pi * SHELF_FREQUENCY / sampling_rate
    slope, cosine = math.sqrt(root) * math.sin(angle) / SHELF_QUALITY, math.cos(angle)
    plus, minus = root + 1, root - 1
    rising = [root * (plus + minus * cosine + slope), -2 * root * (minus + plus * cosine)]
    rising.append(root * (plus + minus * cosine - slope))
    falling = [plus - minus * cosine + slope, 2 * (minus - plus * cosine), plus - minus * cosine - slope]
    return numpy.array(rising + falling) / falling[0]


def _high_pass(sampling_rate: int) -> numpy.ndarray:
    """(6,) section of a pass above `PASS_FREQUENCY`."""
    angle = 2 * math.pi * PASS_FREQUENCY / sampling_rate
    slope, cosine = math.sin(angle) / (2 * PASS_QUALITY), math.cos(angle)
    rising = [(1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2]
    falling = [1 + slope, -2 * cosine, 1 - slope]
    return numpy.array(rising + falling) / falling[0]
