"""Soundscapes that no two tests share by accident."""

import numpy

from training.soundscapes.soundscape import BACKGROUND, PlacedSound, Soundscape, in_time_order


def random_soundscape(seed: int, stretched: bool = True, background: bool = True, duration: float = 5.0) -> Soundscape:
    """One to four sounds of `<class>/<number>.wav`, all stretched, one in three shifted in pitch, or neither."""
    random = numpy.random.default_rng(seed)
    sounds = []
    if background:
        sounds.append(PlacedSound("noise", "noise/0.wav", random.uniform(0, 9), 0.0, duration, 0.0, BACKGROUND))
    for index in range(random.integers(1, 5)):
        label = str(random.choice(["Dog", "Glass", "Hi-hat"]))
        sounds.append(
            PlacedSound(
                label=label,
                source_file=f"{label}/{random.integers(3)}.wav",
                source_time=random.uniform(0, 0.3),
                event_time=random.uniform(0, 0.5 * duration),
                event_duration=random.uniform(0.1, 0.4) * duration,
                snr=random.uniform(6, 30),
                time_stretch=random.uniform(0.9, 1.1) if stretched else None,
                pitch_shift=random.uniform(-2, 2) if stretched and not index % 3 else None,
            )
        )
    return Soundscape(duration, -50.0, in_time_order(sounds), fade_out=0.02, fix_clipping=bool(seed % 2))
