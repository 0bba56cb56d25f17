"""Renders soundscapes again from their JAMS and the user's own folder of sounds: GISE-51, URBAN-SED, any of Scaper.

Annotations are those of the JAMS. Samples are those of Scaper where no sound is stretched or shifted in pitch; where
sox did that, our own stretching takes its place, which sounds alike and is not equal. Reverberation is not applied.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm.auto import tqdm

from modeling_sslam.annotations.jams import load_jams
from training.soundscapes.jams import from_jams, scaper_annotation, scaper_fields
from training.soundscapes.rendering import UnreadableSourceError, render_soundscape
from training.soundscapes.soundscape import BACKGROUND, FOREGROUND, PlacedSound, Soundscape
from training.soundscapes.source_search import SourceSearch
from training.soundscapes.writing import write_soundscape

logger = logging.getLogger(__name__)

# Of `sandbox.scaper`: what was asked for, which is as true of the replay as it was of the original
SPECIFICATION_FIELDS = (
    "fg_spec",
    "bg_spec",
    "fg_labels",
    "bg_labels",
    "protected_labels",
    "allow_repeated_label",
    "allow_repeated_source",
)


@dataclasses.dataclass(frozen=True, order=True)
class RecordedSource:
    """What a sound was taken from: the author's path, its class, and its role."""

    file: str
    label: str
    role: str

    @classmethod
    def of(cls, sound: PlacedSound) -> RecordedSource:
        return cls(sound.source_file, sound.label, sound.role)


@dataclasses.dataclass(frozen=True)
class RecordedSoundscape:
    """
    Attributes:
        name: of its JAMS in their folder, without the ending.
        soundscape: what it is made of.
        specification: the fields of `sandbox.scaper` that its replay keeps.
        reverb: amount of reverberation that its audio had, None or 0 for none.
    """

    name: str
    soundscape: Soundscape
    specification: Mapping[str, Any]
    reverb: float | None


@dataclasses.dataclass
class ReplayReport:
    """
    Attributes:
        made: soundscapes that were rendered.
        already_there: those that an earlier call has made.
        left_out: name -> sources of it that are missing.
    """

    made: int = 0
    already_there: int = 0
    left_out: dict[str, list[str]] = dataclasses.field(default_factory=dict)


def read_recorded(folder: str | os.PathLike) -> list[RecordedSoundscape]:
    """The soundscapes of all JAMS in a folder and those below it, by name.

    Raises:
        ValueError: no JAMS there, or what `from_jams` refuses.
    """
    folder = pathlib.Path(folder)
    files = sorted(file for file in folder.rglob("*.jams") if not file.name.startswith("."))
    if not files:
        raise ValueError(f"{folder} has no .jams files to replay")
    return [_read_recorded(folder, file) for file in files]


def replay(
    recorded: Sequence[RecordedSoundscape],
    output: str | os.PathLike,
    events: str | os.PathLike,
    background: str | os.PathLike | None = None,
    sampling_rate: int = 22050,
    skip_missing: bool = False,
) -> ReplayReport:
    """Writes FLAC, text and JAMS of each soundscape, JAMS last; what has JAMS already is left as it is.

    Args:
        output: folder to write to, with the folders of the JAMS.
        events: the user's folder of foreground sounds; how a sound is found there, see `SourceSearch`.
        background: that of background sounds. Without it soundscapes have no background.
        sampling_rate: to render at, in Hz.
        skip_missing: whether soundscapes with a missing source are left out instead of an error.
    Raises:
        ValueError: missing sources, all of which are listed; or an output folder with soundscapes at another rate.
    """
    recorded = _without_what_is_not_applied(recorded, background)
    paths, missing = _locate(recorded, events, background)
    if missing and not skip_missing:
        lines = "\n".join(f"  {source.file}: {reason}" for source, reason in missing.items())
        raise ValueError(f"{len(missing)} of {len(missing) + len(paths)} sources are missing:\n{lines}")
    report = ReplayReport()
    for item in tqdm(recorded, desc="soundscapes", leave=False):
        target = pathlib.Path(output, item.name)
        if lacking := {RecordedSource.of(sound) for sound in item.soundscape.sounds} & set(missing):
            report.left_out[item.name] = sorted(source.file for source in lacking)
        elif _is_there(target, sampling_rate):
            report.already_there += 1
        else:
            _render(item, target, sampling_rate, paths)
            report.made += 1
    return report


def _read_recorded(folder: pathlib.Path, file: pathlib.Path) -> RecordedSoundscape:
    jams = load_jams(file)
    fields = scaper_fields(scaper_annotation(jams, str(file)), str(file))
    return RecordedSoundscape(
        name=file.relative_to(folder).with_suffix("").as_posix(),
        soundscape=from_jams(jams, str(file)),
        specification={field: fields[field] for field in SPECIFICATION_FIELDS if field in fields},
        reverb=fields.get("reverb"),
    )


def _without_what_is_not_applied(
    recorded: Sequence[RecordedSoundscape], background: str | os.PathLike | None
) -> list[RecordedSoundscape]:
    """Takes the background out where there are no sounds for it; says what differs from the recorded soundscapes."""
    if number := sum(bool(item.reverb) for item in recorded):
        logger.warning("%d of %d soundscapes had reverberation, which is not applied", number, len(recorded))
    if number := sum(sound.pitch_shift is not None for item in recorded for sound in item.soundscape.sounds):
        logger.warning("%d sounds are shifted in pitch: only their annotations equal those of Scaper", number)
    if number := sum(sound.time_stretch is not None for item in recorded for sound in item.soundscape.sounds):
        logger.warning("%d sounds are stretched: only their annotations equal those of Scaper", number)
    if background is not None or all(
        len(item.soundscape.foreground) == len(item.soundscape.sounds) for item in recorded
    ):
        return list(recorded)
    logger.warning("no folder of background sounds was given: the soundscapes have no background")
    return [
        dataclasses.replace(item, soundscape=dataclasses.replace(item.soundscape, sounds=item.soundscape.foreground))
        for item in recorded
    ]


def _locate(
    recorded: Sequence[RecordedSoundscape], events: str | os.PathLike, background: str | os.PathLike | None
) -> tuple[dict[RecordedSource, pathlib.Path], dict[RecordedSource, str]]:
    """(source -> the user's file, source -> why there is none), in order of the sources."""
    sounds = [sound for item in recorded for sound in item.soundscape.sounds]
    folders = {FOREGROUND: events} | ({} if background is None else {BACKGROUND: background})
    searches = {
        role: SourceSearch(folder, {sound.label for sound in sounds if sound.role == role})
        for role, folder in folders.items()
    }
    paths, missing = {}, {}
    for source in sorted({RecordedSource.of(sound) for sound in sounds}):
        try:
            paths[source] = searches[source.role].find(source.file, source.label)
        except LookupError as error:
            missing[source] = f"{error} in {folders[source.role]}"
    return paths, missing


def _is_there(target: pathlib.Path, sampling_rate: int) -> bool:
    annotations = target.with_name(f"{target.name}.jams")
    if not annotations.exists():
        return False
    rate = scaper_fields(scaper_annotation(load_jams(annotations), str(annotations)), str(annotations)).get("sr")
    if rate != sampling_rate:
        raise ValueError(f"{annotations} was rendered at {rate} Hz, not at {sampling_rate} Hz: choose another folder")
    return True


def _render(
    item: RecordedSoundscape, target: pathlib.Path, sampling_rate: int, paths: Mapping[RecordedSource, pathlib.Path]
) -> None:
    def path_of(sound: PlacedSound) -> pathlib.Path:
        return paths[RecordedSource.of(sound)]

    try:
        rendered = render_soundscape(item.soundscape, sampling_rate, path_of)
    except UnreadableSourceError as error:
        raise ValueError(f"{item.name} cannot be rendered: {error}") from error
    write_soundscape(
        target, item.soundscape, rendered.samples, sampling_rate, rendered.scale_factor, item.specification
    )
