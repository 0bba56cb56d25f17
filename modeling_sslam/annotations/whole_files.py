"""Files that are either whole or not there, also after a process was killed while it wrote them."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A path to write to in the folder of `path`, whose file takes the place of `path` when nothing was raised.

    It is the same path at every call, so that what a killed process left is overwritten by the next one. Its suffix is
    that of `path`, which tells writers the format. The folder is made where it is not there.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".unfinished-{path.name}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_text_whole(path: str | os.PathLike, content: str) -> None:
    """Writes text as UTF-8 with the line ends that it has."""
    with written_whole(path) as unfinished:
        unfinished.write_text(content, encoding="utf-8", newline="")
