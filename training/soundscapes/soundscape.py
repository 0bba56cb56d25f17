"""What a soundscape is made of, as Scaper describes it (Salamon et al., WASPAA 2017), before it is audio."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from modeling_sslam.annotations.events import SoundEvent

BACKGROUND, FOREGROUND = "background", "foreground"


@dataclasses.dataclass(frozen=True)
class PlacedSound:
    """A stretch of a source file at its place in a soundscape.

    Attributes:
        label: its class.
        source_file: path of the file, relative to the folder of its role where that is known.
        source_time: where the stretch begins in the file, in seconds.
        event_time: where it begins in the soundscape, in seconds.
        event_duration: seconds of the file that are taken, before they are stretched.
        snr: loudness above the reference in dB.
        role: "foreground", or "background", which lasts as long as the soundscape and has no fades.
        time_stretch: factor of the duration; None for none.
        pitch_shift: semitones; None for none.
    """

    label: str
    source_file: str
    source_time: float
    event_time: float
    event_duration: float
    snr: float
    role: str = FOREGROUND
    time_stretch: float | None = None
    pitch_shift: float | None = None

    @property
    def duration(self) -> float:
        """Seconds that it lasts in the soundscape."""
        return self.event_duration * (self.time_stretch or 1.0)

    @property
    def event(self) -> SoundEvent:
        return SoundEvent(self.event_time, self.event_time + self.duration, self.label)


@dataclasses.dataclass(frozen=True)
class Soundscape:
    """
    Attributes:
        duration: in seconds.
        ref_db: loudness in LUFS of a sound with an SNR of 0.
        sounds: in time order, the background first; sounds that begin together in the order in which they were drawn.
        fade_in, fade_out: of foreground sounds, in seconds.
        fix_clipping: whether a peak above 1 is brought to 1.
    """

    duration: float
    ref_db: float
    sounds: tuple[PlacedSound, ...]
    fade_in: float = 0.01
    fade_out: float = 0.01
    fix_clipping: bool = True

    @property
    def foreground(self) -> tuple[PlacedSound, ...]:
        return tuple(sound for sound in self.sounds if sound.role == FOREGROUND)

    @property
    def events(self) -> list[SoundEvent]:
        """The foreground, in time order."""
        return [sound.event for sound in self.foreground]


def in_time_order(sounds: Iterable[PlacedSound]) -> tuple[PlacedSound, ...]:
    """The background first, then by where they begin; those that begin together keep their order."""
    return tuple(sorted(sounds, key=lambda sound: (sound.role != BACKGROUND, sound.event_time)))
