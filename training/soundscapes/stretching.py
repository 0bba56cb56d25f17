"""Other durations at the same pitch, and other pitches at the same duration, without sox.

Waveform similarity overlap-add (Verhelst and Roelands, ICASSP 1993), the method of sox's `tempo`, with a search of its
own: annotations agree with Scaper's, samples do not.
"""

from __future__ import annotations

import numpy
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import resample

HOP_SECONDS = 0.015  # from one piece to the next in the result; a piece is twice as long
REACH_SECONDS = 0.010  # how far a piece is looked for before and behind its place


def stretch(samples: numpy.ndarray, factor: float, sampling_rate: int) -> numpy.ndarray:
    """A signal that lasts `factor` times as long and keeps its pitch.

    Pieces are taken at the places that the factor says, each moved by up to 10 ms to where it continues the piece
    before it best, and are overlapped by half with a Hann window.

    Args:
        samples: (N,).
        factor: of the duration, above 0; 1 gives the signal as it is.
        sampling_rate: in Hz.
    Returns:
        (round(N * factor),).
    Raises:
        ValueError: a factor that is not above 0.
    """
    if not factor > 0:
        raise ValueError(f"a time stretch of {factor} is not possible: the factor must be above 0")
    num_samples = round(len(samples) * factor)
    if factor == 1.0 or not num_samples:
        return samples[:num_samples]
    hop, reach = max(1, round(HOP_SECONDS * sampling_rate)), max(1, round(REACH_SECONDS * sampling_rate))
    piece = 2 * hop
    window = 0.5 - 0.5 * numpy.cos(numpy.pi * numpy.arange(piece) / hop)
    # The first piece begins one hop before the signal, so that all of the result is covered by two pieces.
    padded = numpy.pad(samples, (hop + reach, piece + hop + 2 * reach))
    count = -(-num_samples // hop) + 1
    result = numpy.zeros((count + 1) * hop)
    start = reach
    for number in range(count):
        if number:
            # What is heard of a piece lies within the signal, also at its end.
            heard = min(piece, num_samples - (number - 1) * hop)
            latest = hop + reach + max(0, len(samples) - heard)
            wanted = min(hop + reach + round((number - 1) * hop / factor), latest)
            continuation = padded[start + hop : start + hop + piece]
            candidates = padded[wanted - reach : min(wanted + reach, latest) + piece]
            start = wanted - reach + _most_similar(candidates, continuation) if continuation.any() else wanted
        result[number * hop : number * hop + piece] += window * padded[start : start + piece]
    return result[hop : hop + num_samples]


def shift_pitch(samples: numpy.ndarray, semitones: float, sampling_rate: int) -> numpy.ndarray:
    """A signal of the same length (N,) whose pitch is so many semitones higher: stretched, then read faster."""
    if not semitones:
        return samples
    return resample(stretch(samples, 2 ** (semitones / 12), sampling_rate), len(samples))


def _most_similar(candidates: numpy.ndarray, piece: numpy.ndarray) -> int:
    """Where in `candidates` (M,) a stretch correlates most with `piece` (N,)."""
    # Circular correlation of length M: shifts up to M - N do not wrap.
    length = next_fast_len(len(candidates), real=True)
    correlation = irfft(rfft(candidates, length) * rfft(piece, length).conj(), length)
    return int(correlation[: len(candidates) - len(piece) + 1].argmax())
