"""Writes a set of soundscapes with one or many processes; what a killed one left, the next one completes.

A set consists of parts, soundscapes or shards, each of which is a function of the recipe and its number. A part is
whole or not there, so that the set neither depends on who wrote which part nor on how often that was tried.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import errno
import functools
import json
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import filelock
from tqdm.auto import tqdm

from modeling_sslam.annotations.whole_files import write_text_whole
from training.data.processes import worker_pool
from training.settings.recipe import write_arguments
from training.settings.synthesis import SynthesisArguments
from training.soundscapes.generator import GeneratedSoundscape, SoundscapeGenerator
from training.soundscapes.manifest import check_disjoint, claim_folder, describe_set
from training.soundscapes.set_files import SoundscapeFiles
from training.soundscapes.set_shards import ParquetShards, WebDatasetShards

LOCK_FILE = ".lock"
RECIPE_FILE = "recipe.yaml"
SUMMARY_FILE = "summary.json"  # written last
SOUNDSCAPES_AT_A_TIME = 32  # that a process is asked for, at least


class SetFormat(Protocol):
    """How a set is written, see `SoundscapeFiles`."""

    def parts(self) -> list[range]: ...

    def is_there(self, part: range) -> bool: ...

    def write(self, part: range, soundscapes: Iterable[GeneratedSoundscape]) -> None: ...

    def finish(self) -> None: ...


@dataclasses.dataclass
class SetReport:
    """What a call has done.

    Attributes:
        num_soundscapes: of the set.
        seconds: of audio in the set.
        made: soundscapes that this call has written.
        already_there: those that earlier ones have.
        drawn_again: those of `made` that had a source which could not be read.
        skipped: source that could not be read -> reason.
        times_real_time: seconds of audio made in a second, by the wall clock; None where nothing was made.
    """

    num_soundscapes: int
    seconds: float
    made: int = 0
    already_there: int = 0
    drawn_again: int = 0
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    times_real_time: float | None = None


def produce(arguments: SynthesisArguments, processes: int = 1) -> SetReport:
    """Writes what is missing of the set of a recipe.

    Args:
        processes: that draw and write; the set does not depend on it.
    Raises:
        ValueError: sources that cannot be used; a folder in which another process writes, or that belongs to another
            set; sources of a set from which this one is to be apart; or a full disk.
    """
    if processes < 1:
        raise ValueError(f"processes is {processes}: there must be at least 1")
    folder = pathlib.Path(arguments.output.folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _only_writer(folder), _full_disk_explained(folder):
        generator = SoundscapeGenerator(arguments)
        manifest = describe_set(generator)
        check_disjoint(manifest, arguments.output.disjoint_from)
        set_format = build_format(arguments, generator.classes)
        claim_folder(folder, manifest)
        write_arguments(arguments, folder / RECIPE_FILE)
        report = _complete(generator, set_format, processes)
        set_format.finish()
        write_text_whole(folder / SUMMARY_FILE, json.dumps(dataclasses.asdict(report), indent=2))
    return report


def build_format(arguments: SynthesisArguments, classes: list[str]) -> SetFormat:
    """What writes `output.format`. Raises ValueError for classes that it cannot write."""
    if arguments.output.format == "files":
        return SoundscapeFiles(arguments, classes)
    return {"parquet": ParquetShards, "webdataset": WebDatasetShards}[arguments.output.format](arguments)


def _complete(generator: SoundscapeGenerator, set_format: SetFormat, processes: int) -> SetReport:
    """Writes the parts that are missing."""
    number = generator.arguments.output.num_soundscapes
    report = SetReport(number, number * generator.arguments.mixture.duration)
    for collection in (generator.events, generator.background):
        if collection is not None:
            report.skipped |= {str(collection.path_of(file)): reason for file, reason in collection.skipped.items()}
    missing = [part for part in set_format.parts() if not set_format.is_there(part)]
    report.made = sum(map(len, missing))
    report.already_there = number - report.made
    start = time.monotonic()
    with tqdm(total=number, initial=report.already_there, desc="soundscapes", unit="") as progress:
        for done in _written(generator, set_format, missing, processes):
            progress.update(done.made)
            report.drawn_again += done.drawn_again
            report.skipped |= done.unreadable
    if report.made:
        seconds = report.made * generator.arguments.mixture.duration
        report.times_real_time = round(seconds / (time.monotonic() - start), 1)
    return report


@dataclasses.dataclass
class _Done:
    """What became of a few parts."""

    made: int
    drawn_again: int
    unreadable: dict[str, str]


def _write_parts(generator: SoundscapeGenerator, set_format: SetFormat, parts: Sequence[range]) -> _Done:
    again = 0

    def rendered(part: range) -> Iterator[GeneratedSoundscape]:
        nonlocal again
        for index in part:
            made = generator.render(index)
            again += made.attempt > 0
            yield made

    for part in parts:
        set_format.write(part, rendered(part))
    return _Done(sum(map(len, parts)), again, generator.unreadable)


def _written(
    generator: SoundscapeGenerator, set_format: SetFormat, parts: list[range], processes: int
) -> Iterator[_Done]:
    groups = list(_grouped(parts))
    if processes == 1:
        yield from (_write_parts(generator, set_format, group) for group in groups)
        return
    with worker_pool(min(processes, max(len(groups), 1)), _start_worker, (generator, set_format)) as pool:
        waiting = [pool.submit(_work, group) for group in groups]
        for done in concurrent.futures.as_completed(waiting):
            yield done.result()


def _grouped(parts: list[range]) -> Iterator[list[range]]:
    """Consecutive parts with at least `SOUNDSCAPES_AT_A_TIME` soundscapes together."""
    group: list[range] = []
    for part in parts:
        group.append(part)
        if sum(map(len, group)) >= SOUNDSCAPES_AT_A_TIME:
            yield group
            group = []
    if group:
        yield group


_work_of_this_process: Callable[[Sequence[range]], _Done]


def _start_worker(generator: SoundscapeGenerator, set_format: SetFormat) -> None:
    global _work_of_this_process
    _work_of_this_process = functools.partial(_write_parts, generator, set_format)


def _work(parts: Sequence[range]) -> _Done:
    return _work_of_this_process(parts)


@contextlib.contextmanager
def _only_writer(folder: pathlib.Path) -> Iterator[None]:
    """Holds a lock that the operating system takes back from a process that was killed."""
    try:
        with filelock.FileLock(folder / LOCK_FILE, timeout=0):
            yield
    except filelock.Timeout as error:
        raise ValueError(
            f"another process is writing soundscapes to {folder}: wait for it, or choose another output.folder; one "
            "command makes use of several cores with --processes"
        ) from error


@contextlib.contextmanager
def _full_disk_explained(folder: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise ValueError(
            f"no space is left for {folder}: what is written there is whole and stays; make room and run the same "
            "command again"
        ) from error
