"""Collections of isolated sounds: which files there are, of which class, and how long they are."""

from __future__ import annotations

import concurrent.futures
import csv
import dataclasses
import functools
import logging
import os
import pathlib
from collections import Counter

import numpy
import soundfile

from training.settings.synthesis import SourceArguments
from training.soundscapes.soundscape import BACKGROUND

logger = logging.getLogger(__name__)

# Endings of what soundfile reads; raw samples are left out, since nothing says what they are.
AUDIO_SUFFIXES = ({f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"}) | {
    ".aif",
    ".oga",
    ".opus",
}
HEADERS_AT_A_TIME = 16
SHOWN = 5  # of a list in a message


@dataclasses.dataclass(frozen=True, order=True)
class Source:
    """A sound file: its name relative to the collection, its class, and its length in seconds."""

    file: str
    label: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class SoundCollection:
    """
    Attributes:
        root: folder to which names of files are relative.
        sources: in the order of their names.
        skipped: name of a file that cannot be read -> reason.
    """

    root: pathlib.Path
    sources: tuple[Source, ...]
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def classes(self) -> list[str]:
        """All classes, sorted."""
        return sorted({source.label for source in self.sources})

    @functools.cached_property
    def balancing_weights(self) -> numpy.ndarray:
        """(N,) weight of each file with which every class is drawn equally often; those of the commonest are 1."""
        count = Counter(source.label for source in self.sources)
        return numpy.array([max(count.values()) / count[source.label] for source in self.sources])

    def path_of(self, file: str) -> pathlib.Path:
        """Where the file of this name lies."""
        return self.root / file


def load_collection(arguments: SourceArguments, role: str) -> SoundCollection:
    """The sounds that a section of a recipe names; lengths are those in the headers of the files.

    Files that cannot be read are left out, counted, and named in the log.

    Args:
        role: "foreground" or "background"; sounds of a background may lie in the folder itself, without a class.
    Raises:
        ValueError: no such folder or file, a class without sounds or without any that can be read, no sound at all,
            a CSV without the columns that are asked for, or rows of it that contradict each other.
    """
    read = _names_in_folder if arguments.format == "folder" else _names_in_csv
    root, labels = read(arguments, role)
    with concurrent.futures.ThreadPoolExecutor(HEADERS_AT_A_TIME) as pool:
        found = list(pool.map(functools.partial(_read_header, root), sorted(labels)))
    skipped = {file: reason for file, _, reason in found if reason}
    for file, reason in skipped.items():
        logger.warning("left out %s: %s", root / file, reason)
    sources = tuple(Source(file, labels[file], seconds) for file, seconds, reason in found if not reason)
    if not sources:
        raise ValueError(f"none of the {len(found)} sounds of {arguments.path} can be read: see the log for reasons")
    if lost := sorted(set(labels.values()) - {source.label for source in sources}):
        raise ValueError(
            f"{arguments.path} has classes without a sound that can be read: {', '.join(lost)}; see the log"
        )
    logger.info(
        "%s: %d sounds of %d classes in %s, %d left out",
        role,
        len(sources),
        len({source.label for source in sources}),
        arguments.path,
        len(skipped),
    )
    return SoundCollection(root, sources, skipped)


def sound_files(root: pathlib.Path) -> list[pathlib.Path]:
    """Paths, relative to a folder, of all sounds in it and below, sorted; links are followed, hidden files are not.

    How many other files there are is said in the log.
    """
    found, others = [], Counter()
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not _is_hidden(name) and not _is_loop(folder, name)]
        for path in (pathlib.Path(folder, name) for name in files if not _is_hidden(name)):
            if path.suffix.lower() in AUDIO_SUFFIXES:
                found.append(path.relative_to(root))
            else:
                others[path.suffix] += 1
    if others:
        logger.info("%s: %d files are no sounds (%s)", root, sum(others.values()), ", ".join(sorted(others)))
    return sorted(found)


def _names_in_folder(arguments: SourceArguments, role: str) -> tuple[pathlib.Path, dict[str, str]]:
    """File -> class, of `<class>/<file>`; files may lie in folders of a class, and links are followed."""
    root = pathlib.Path(arguments.path)
    if not arguments.path or not root.is_dir():  # an empty path would be the current folder
        raise ValueError(f"{role} sounds: {arguments.path!r} is no folder; expected one of <class>/<file>")
    labels = {file.as_posix(): file.parts[0] if len(file.parts) > 1 else "" for file in sound_files(root)}
    folders = {path.name for path in root.iterdir() if path.is_dir() and not _is_hidden(path.name)}
    empty = sorted(folders - set(labels.values()))
    if empty:
        raise ValueError(
            f"{root} has folders of classes without a sound: {', '.join(empty)}; remove them, or put sounds there"
        )
    loose = sorted(file for file, label in labels.items() if not label)
    if loose and role != BACKGROUND:
        raise ValueError(f"{root} has sounds that lie in no folder of a class: {some_of(loose)}")
    if not labels:
        raise ValueError(f"{root} has no sound: expected files <class>/<file> that soundfile can read")
    return root, {file: label or role for file, label in labels.items()}


def _names_in_csv(arguments: SourceArguments, role: str) -> tuple[pathlib.Path, dict[str, str]]:
    """File -> class, of the rows that the filters keep."""
    path = pathlib.Path(arguments.path)
    if not path.is_file():
        raise ValueError(f"{role} sounds: there is no CSV file {arguments.path!r}")
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    wanted = [arguments.file_column, arguments.class_column, *arguments.filters]
    if not rows or set(wanted) - set(rows[0]):
        columns = ", ".join(rows[0]) if rows else "no rows"
        raise ValueError(f"{path} must have rows with the columns {', '.join(wanted)}; it has {columns}")
    kept = {column: set(map(str, values)) for column, values in arguments.filters.items()}
    rows = [row for row in rows if all(row[column] in values for column, values in kept.items())]
    if not rows:
        raise ValueError(f"no row of {path} is kept by the filters {arguments.filters}")
    labels = {row[arguments.file_column]: row[arguments.class_column] for row in rows}
    if unlabelled := sorted(str(file) for file, label in labels.items() if not label or not file):
        raise ValueError(f"{path} has rows without a class or a file: {some_of(unlabelled)}")
    pairs = {(row[arguments.file_column], row[arguments.class_column]) for row in rows}
    if contradicted := sorted({file for file, label in pairs if label != labels[file]}):
        raise ValueError(f"{path} gives several classes to one sound: {some_of(contradicted)}")
    return pathlib.Path(arguments.audio_root or path.parent), labels


def _is_hidden(name: str) -> bool:
    """Whether it is a folder of a version control, or what file systems write beside files (`._name`)."""
    return name.startswith(".")


def _is_loop(folder: str, name: str) -> bool:
    """Whether a folder in `folder` is a link to one that it lies in."""
    return pathlib.Path(folder).resolve().is_relative_to(pathlib.Path(folder, name).resolve())


def _read_header(root: pathlib.Path, file: str) -> tuple[str, float, str]:
    """(file, seconds, why it cannot be used)."""
    try:
        header = soundfile.info(root / file)
    except (soundfile.SoundFileError, OSError) as error:
        return file, 0.0, str(error)
    return file, header.frames / header.samplerate, "" if header.frames else "it holds no samples"


def some_of(names: list[str]) -> str:
    """The first names of a list for a message, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
