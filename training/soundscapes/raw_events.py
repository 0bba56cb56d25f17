"""Makes isolated events of raw recordings of one class: silence is cut out, short ones are repeated.

The rules are those with which GISE-51 was made of FSD50K (Yadav and Foster, arXiv 2103.12306, 2021), there by sox's
`silence 1 V 1% -1 V 1%`.
"""

from __future__ import annotations

import numpy
from scipy.ndimage import uniform_filter1d

THRESHOLD = 0.01  # of full scale
LEVEL_SECONDS = 0.02  # the level of a moment is the root mean square of so much before it
SHORTEST_SECONDS = 0.01  # shorter events are dropped
REPEATED_SECONDS = 1.25  # shorter events are repeated

USUAL_WINDOW = 0.1  # seconds
WINDOWS = {
    **dict.fromkeys(("Whispering", "Wind", "Crumpling_and_crinkling_and_crushing", "Writing", "Cricket"), 0.025),
    **dict.fromkeys(("Glass", "Tap", "Zipper", "Rattle", "Chirp_and_tweet", "Tearing"), 0.05),
}
# Classes whose name in the published folders is not the one that the table of the official code has.
PUBLISHED_NAMES = {"Zipper_(clothing)": "Zipper", "Rattle_(instrument)": "Rattle"}


def silence_window(label: str, published_names: bool = True) -> float:
    """Seconds for which it must be silent, or not silent, in recordings of a class.

    Args:
        published_names: whether `Zipper_(clothing)` and `Rattle_(instrument)` are the Zipper and the Rattle of the
            official table. The official code does not know them as these, and gives them 0.1 s.
    """
    return WINDOWS.get(PUBLISHED_NAMES.get(label, label) if published_names else label, USUAL_WINDOW)


def prepare_event(samples: numpy.ndarray, sampling_rate: int, window: float) -> numpy.ndarray | None:
    """An isolated event of a recording (N,): (M,) with at least 1.25 s, or None where nothing is left of it.

    Args:
        sampling_rate: in Hz.
        window: see `without_silence`.
    """
    event = without_silence(samples, sampling_rate, window)
    if len(event) < int(SHORTEST_SECONDS * sampling_rate):
        return None
    num_samples = int(REPEATED_SECONDS * sampling_rate)
    return event if len(event) >= num_samples else numpy.resize(event, num_samples)


def without_silence(
    samples: numpy.ndarray, sampling_rate: int, window: float, threshold: float = THRESHOLD
) -> numpy.ndarray:
    """A recording without its silence: what comes before the first sound, and all that lasts, in between and after it.

    It is silent where the level is not above the threshold. A sound begins with at least `window` seconds that are not
    silent, and ends where at least as many are; shorter pauses belong to it, and shorter noises between two sounds are
    cut out with the silence.
    Differs from sox: this is written from its description and was not compared with it; cuts may lie some milliseconds
    elsewhere.

    Args:
        samples: (N,).
        sampling_rate: in Hz.
        window: in seconds.
        threshold: root mean square over 20 ms, as a share of full scale.
    Returns:
        (M,), M <= N.
    """
    is_loud = _levels(samples, sampling_rate) > threshold
    edges = numpy.flatnonzero(numpy.diff(is_loud)) + 1
    starts, stops = numpy.concatenate([[0], edges]), numpy.concatenate([edges, [len(samples)]])
    shortest, in_sound, kept = window * sampling_rate, False, [samples[:0]]
    for start, stop in zip(starts, stops, strict=True):
        if stop - start >= shortest:
            in_sound = bool(is_loud[start])
        if in_sound:
            kept.append(samples[start:stop])
    return numpy.concatenate(kept)


def _levels(samples: numpy.ndarray, sampling_rate: int) -> numpy.ndarray:
    """(N,) root mean square of the 20 ms that end with each sample; before the first one it is silent."""
    size = max(1, int(LEVEL_SECONDS * sampling_rate))
    # The filter is centred on `size // 2`: shifted by what comes after the centre, it ends at the sample.
    power = uniform_filter1d(numpy.square(samples, dtype=numpy.float64), size, mode="constant", origin=(size - 1) // 2)
    return numpy.sqrt(numpy.maximum(power, 0.0))
