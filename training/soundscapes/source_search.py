"""Finds the sounds that somebody else's soundscapes are made of in the user's own folder."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Collection, Sequence

from training.soundscapes.sources import AUDIO_SUFFIXES


class SourceSearch:
    """The files below a folder, by name.

    Args:
        root: the user's folder; links are followed.
        labels: classes of the soundscapes. A file in a folder that is named like one of these is of that class.
    Raises:
        ValueError: no such folder.
    """

    def __init__(self, root: str | os.PathLike, labels: Collection[str]):
        self.root = pathlib.Path(root)
        if not self.root.is_dir():
            raise ValueError(f"there is no folder {self.root} to find sounds in")
        self.labels = frozenset(labels)
        self.by_name: dict[str, list[pathlib.Path]] = {}
        self.by_stem: dict[str, list[pathlib.Path]] = {}
        for folder, _, names in os.walk(self.root, followlinks=True):
            for name in sorted(names):
                path = pathlib.Path(folder, name)
                self.by_name.setdefault(name, []).append(path)
                if path.suffix.lower() in AUDIO_SUFFIXES:
                    self.by_stem.setdefault(path.stem, []).append(path)

    def find(self, source_file: str, label: str) -> pathlib.Path:
        """The file that shares most with the end of the author's path: file, class, split, and so on.

        A file in another audio format stands for one that is not there. A file in a folder that has another name
        than that of the class (the folds of UrbanSound8K) counts when it is the only one of its name and its folder
        is not that of another class.

        Args:
            source_file: path on the author's machine, with slashes of any kind, or relative.
            label: its class.
        Raises:
            LookupError: no such file, or several that are as good; with the reason.
        """
        *folders, name = re.split(r"[\\/]", source_file)
        candidates = self.by_name.get(name) or self.by_stem.get(pathlib.PurePath(name).stem, [])
        if not candidates:
            raise LookupError("no file has this name")
        shared = {path: self._num_shared_folders(path, folders, label) for path in candidates}
        best = sorted(path for path in candidates if shared[path] == max(shared.values()))
        if len(best) > 1:
            listed = ", ".join(self._relative(path) for path in best)
            raise LookupError(f"{len(best)} files have this name: {listed}")
        if not shared[best[0]] and best[0].parent.name in self.labels:
            raise LookupError(f"the file of this name is of another class: {self._relative(best[0])}")
        return best[0]

    def _num_shared_folders(self, path: pathlib.Path, folders: Sequence[str], label: str) -> int:
        own = path.relative_to(self.root.parent).parts[:-1]
        number = 0
        for mine, theirs in zip(reversed(own), reversed(folders), strict=False):
            if mine != theirs:
                break
            number += 1
        return number or int(path.parent.name == label)

    def _relative(self, path: pathlib.Path) -> str:
        return path.relative_to(self.root).as_posix()
