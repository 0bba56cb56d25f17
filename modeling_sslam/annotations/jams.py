"""JAMS, annotations as JSON (Humphrey et al., ISMIR 2014), read and written without the package of that name.

Read are soundscapes of Scaper, of 2017 (JAMS 0.2.2, namespace `sound_event`) and of today (0.3.x, `scaper`), and
sound events that people or detectors annotated (`segment_open`, `tag_open`). Written is `segment_open`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from .events import SoundEvent
from .rows import Row, events_of
from .whole_files import write_text_whole

JAMS_VERSION = "0.3.4"
SCAPER_NAMESPACES = ("scaper", "sound_event")
EVENT_NAMESPACE = "segment_open"
NAMESPACES = (*SCAPER_NAMESPACES, EVENT_NAMESPACE, "tag_open")


@dataclasses.dataclass(frozen=True)
class JamsRecording:
    """
    Attributes:
        duration: of the recording in seconds, None where the file does not say.
        events: in order of (onset, offset, label), without the background of a soundscape.
    """

    duration: float | None
    events: list[SoundEvent]


def load_jams(path: str | os.PathLike) -> dict[str, Any]:
    """The content of a file.

    Raises:
        ValueError: no JSON, or JSON without a list of annotations.
    """
    try:
        jams = json.loads(pathlib.Path(path).read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(jams, dict) or not isinstance(jams.get("annotations"), list):
        raise ValueError(f"{path} is not JAMS: expected an object with a list of annotations")
    return jams


def sound_annotation(
    jams: Mapping[str, Any], name: str, namespaces: Iterable[str] = NAMESPACES
) -> tuple[str, dict[str, Any]]:
    """(namespace, annotation) of the first namespace in `namespaces` that the JAMS have.

    Args:
        name: of the file, for the message.
    Raises:
        ValueError: none of these namespaces, with those found.
    """
    by_namespace: dict[str | None, dict[str, Any]] = {}
    for annotation in jams["annotations"]:
        by_namespace.setdefault(annotation.get("namespace"), annotation)
    wanted = tuple(namespaces)
    for namespace in wanted:
        if namespace in by_namespace:
            return namespace, by_namespace[namespace]
    found = ", ".join(map(str, by_namespace)) or "nothing"
    raise ValueError(f"{name} has no annotation of sound events: found {found}, expected {' or '.join(wanted)}")


def observations(annotation: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The observations with time, duration, value and confidence; those that are stored as columns too.

    Raises:
        ValueError: an observation without time, duration or value, or whose times are no numbers.
    """
    data = annotation.get("data", [])
    if isinstance(data, Mapping):
        data = [dict(zip(data, values, strict=True)) for values in zip(*data.values(), strict=True)]
    for index, observation in enumerate(data):
        if missing := [key for key in ("time", "duration", "value") if key not in observation]:
            raise ValueError(f"{name}, observation {index}: it has no {' and no '.join(missing)}")
        times = observation["time"], observation["duration"]
        if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in times):
            raise ValueError(f"{name}, observation {index}: time and duration are {times}: expected seconds")
    return list(data)


def jams_recording(jams: Mapping[str, Any], name: str) -> JamsRecording:
    """Duration and events of JAMS that are in memory.

    Raises:
        ValueError: no sound events, an observation that is incomplete, or an event that does not fit.
    """
    namespace, annotation = sound_annotation(jams, name)
    rows = [
        _row(observation, f"{name}, observation {index}", namespace)
        for index, observation in enumerate(observations(annotation, name))
        if not _is_background(observation)
    ]
    duration = jams.get("file_metadata", {}).get("duration")
    if duration is None:
        duration = annotation.get("duration")
    return JamsRecording(None if duration is None else float(duration), events_of(rows, name))


def read_jams(path: str | os.PathLike) -> JamsRecording:
    """Duration and events of a file. Raises ValueError as `load_jams` and `jams_recording`."""
    return jams_recording(load_jams(path), str(path))


def jams_document(
    duration: float, namespace: str, data: list[dict[str, Any]], sandbox: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """JAMS with one annotation, with all that the schema asks for.

    Args:
        duration: of the recording in seconds.
        data: observations with time, duration, value and confidence.
        sandbox: what the annotation says besides.
    """
    annotation = {
        "annotation_metadata": {
            "curator": {"name": "", "email": ""},
            "annotator": {},
            "version": "",
            "corpus": "",
            "annotation_tools": "",
            "annotation_rules": "",
            "validation": "",
            "data_source": "",
        },
        "namespace": namespace,
        "data": data,
        "sandbox": dict(sandbox or {}),
        "time": 0,
        "duration": float(duration),
    }
    metadata = {
        "title": "",
        "artist": "",
        "release": "",
        "duration": float(duration),
        "identifiers": {},
        "jams_version": JAMS_VERSION,
    }
    return {"annotations": [annotation], "file_metadata": metadata, "sandbox": {}}


def write_jams(path: str | os.PathLike, events: Iterable[SoundEvent], duration: float) -> None:
    """Writes the events of a recording of `duration` seconds with the namespace `segment_open`."""
    data = [
        {
            "time": event.onset,
            "duration": event.offset - event.onset,
            "value": event.label,
            "confidence": event.confidence,
        }
        for event in events
    ]
    save_jams(path, jams_document(duration, EVENT_NAMESPACE, data))


def save_jams(path: str | os.PathLike, jams: Mapping[str, Any]) -> None:
    """Writes JAMS that are in memory. Raises ValueError for a number that is not finite, which JSON does not have."""
    write_text_whole(path, json.dumps(jams, indent=1, allow_nan=False) + "\n")


def _is_background(observation: Mapping[str, Any]) -> bool:
    value = observation["value"]
    return isinstance(value, Mapping) and value.get("role") == "background"


def _row(observation: Mapping[str, Any], place: str, namespace: str) -> Row:
    value = observation["value"]
    label = value.get("label") if isinstance(value, Mapping) else value
    if not isinstance(label, str):
        raise ValueError(f"{place}: its value {value!r} has no label")
    onset = float(observation["time"])
    # Scaper writes a confidence of 1 to all that it has placed, which is no detector's
    confidence = None if namespace in SCAPER_NAMESPACES else observation.get("confidence")
    return Row(place, onset, onset + float(observation["duration"]), label, confidence)
