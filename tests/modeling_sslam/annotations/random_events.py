"""Events that no two tests share by accident."""

import numpy

from modeling_sslam.annotations.events import SoundEvent

LABELS = ("Dog", "Human_speech", "Rattle_(instrument)", "Türklingel", 'a "quoted", one', "two words")


def random_events(seed: int, confidence: bool = False) -> list[SoundEvent]:
    """Up to 12 events with times of 3 decimals, in order of (onset, offset, label)."""
    random = numpy.random.default_rng(seed)
    events = []
    for _ in range(random.integers(0, 13)):
        onset = int(random.integers(0, 9000))
        offset = onset + int(random.integers(1, 4000))
        sure = round(float(random.uniform()), 3) if confidence else None
        events.append(SoundEvent(onset / 1000, offset / 1000, str(random.choice(LABELS)), sure))
    return sorted(events, key=lambda event: (event.onset, event.offset, event.label))
