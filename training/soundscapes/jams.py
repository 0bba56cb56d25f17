"""Soundscapes as Scaper's JAMS: written as of today (JAMS 0.3.x), and read as of 2017 (0.2.2) too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from modeling_sslam.annotations.events import max_polyphony
from modeling_sslam.annotations.jams import SCAPER_NAMESPACES, jams_document, observations, sound_annotation
from training.soundscapes.polyphony import polyphony_gini
from training.soundscapes.soundscape import BACKGROUND, FOREGROUND, PlacedSound, Soundscape, in_time_order

NAMESPACE = SCAPER_NAMESPACES[0]
VALUE_FIELDS = (
    "label",
    "source_file",
    "source_time",
    "event_time",
    "event_duration",
    "snr",
    "role",
    "pitch_shift",
    "time_stretch",
)


def to_jams(
    soundscape: Soundscape,
    sampling_rate: int,
    scale_factor: float = 1.0,
    specification: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """JAMS of a soundscape, its sounds in time order with the background first.

    Args:
        sampling_rate: of the audio in Hz.
        scale_factor: what the sum of the sounds was multiplied by, below 1 where it would have clipped.
        specification: further fields of `sandbox.scaper` in place of those that a soundscape does not know:
            `fg_spec`, `bg_spec`, `fg_path`, `bg_path`, `fg_labels`, `bg_labels`, `protected_labels`, `reverb`,
            `allow_repeated_label`, `allow_repeated_source`, or any of the user's.
    """
    data = [
        {
            "time": float(sound.event_time),
            "duration": float(sound.duration),
            "value": {field: getattr(sound, field) for field in VALUE_FIELDS},
            "confidence": 1.0,
        }
        for sound in in_time_order(soundscape.sounds)
    ]
    scaper = _scaper_fields(soundscape, sampling_rate, scale_factor) | dict(specification or {})
    return jams_document(soundscape.duration, NAMESPACE, data, {"scaper": scaper})


def from_jams(jams: Mapping[str, Any], name: str = "JAMS") -> Soundscape:
    """The soundscape that JAMS describe; source files are named as they are there.

    JAMS of 2017 know no correction of clipping: there was none.

    Args:
        name: of the file, for messages.
    Raises:
        ValueError: no soundscape of Scaper, or an incomplete one; the missing fields are listed.
    """
    annotation = scaper_annotation(jams, name)
    scaper = scaper_fields(annotation, name)
    sounds = [
        _placed_sound(observation["value"], f"{name}, observation {index}")
        for index, observation in enumerate(observations(annotation, name))
    ]
    return Soundscape(
        duration=float(scaper["duration"]),
        ref_db=float(scaper["ref_db"]),
        sounds=in_time_order(sounds),
        fade_in=float(scaper["fade_in_len"]),
        fade_out=float(scaper["fade_out_len"]),
        fix_clipping=bool(scaper.get("fix_clipping", False)),
    )


def scaper_annotation(jams: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The annotation that Scaper has made. Raises ValueError where there is none."""
    return sound_annotation(jams, name, SCAPER_NAMESPACES)[1]


def scaper_fields(annotation: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What Scaper says about a soundscape. Raises ValueError where a field that it takes to mix it is not there."""
    scaper = annotation.get("sandbox", {}).get("scaper", {})
    needed = ("duration", "ref_db", "fade_in_len", "fade_out_len")
    if missing := [field for field in needed if scaper.get(field) is None]:
        raise ValueError(f"{name} is no soundscape of Scaper: sandbox.scaper has no {', '.join(missing)}")
    return scaper


def _scaper_fields(soundscape: Soundscape, sampling_rate: int, scale_factor: float) -> dict[str, Any]:
    change = 20 * math.log10(scale_factor)
    labels = {
        role: sorted({sound.label for sound in soundscape.sounds if sound.role == role})
        for role in (FOREGROUND, BACKGROUND)
    }
    return {
        "duration": float(soundscape.duration),
        "original_duration": float(soundscape.duration),
        "fg_path": "",
        "bg_path": "",
        "fg_spec": [],
        "bg_spec": [],
        "fg_labels": labels[FOREGROUND],
        "bg_labels": labels[BACKGROUND],
        "protected_labels": [],
        "allow_repeated_label": True,
        "allow_repeated_source": True,
        "n_events": len(soundscape.foreground),
        "polyphony_max": max_polyphony(soundscape.events),
        "polyphony_gini": polyphony_gini(soundscape.events, soundscape.duration),
        "sr": int(sampling_rate),
        "n_channels": 1,
        "ref_db": float(soundscape.ref_db),
        "ref_db_change": change,
        "ref_db_generated": float(soundscape.ref_db) + change,
        "fade_in_len": float(soundscape.fade_in),
        "fade_out_len": float(soundscape.fade_out),
        "reverb": None,
        "fix_clipping": bool(soundscape.fix_clipping),
        "peak_normalization": False,
        "scale_factor": float(scale_factor),
    }


def _placed_sound(value: Mapping[str, Any], place: str) -> PlacedSound:
    fields = value if isinstance(value, Mapping) else {}
    if missing := [field for field in VALUE_FIELDS if field not in fields]:
        raise ValueError(f"{place} is no sound of Scaper: its value has no {', '.join(missing)}")
    if value["role"] not in (FOREGROUND, BACKGROUND):
        raise ValueError(f"{place}: role is {value['role']!r}: expected {FOREGROUND} or {BACKGROUND}")
    numbers = ("source_time", "event_time", "event_duration", "snr")
    optional = ("time_stretch", "pitch_shift")
    return PlacedSound(
        label=value["label"],
        source_file=value["source_file"],
        role=value["role"],
        **{field: float(value[field]) for field in numbers},
        **{field: None if value[field] is None else float(value[field]) for field in optional},
    )
