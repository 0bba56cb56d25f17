"""What a set of soundscapes was made of: its recipe, and every source with a digest of its content.

A folder belongs to one recipe. Where the sources lie does not matter, what they are does: sounds that were moved make
the same set, a sound that was changed does not.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import importlib.metadata
import json
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy
import soundfile
import torch

from modeling_sslam.annotations.whole_files import write_text_whole
from training.settings.recipe import dump_arguments
from training.soundscapes.generator import SoundscapeGenerator
from training.soundscapes.sources import SoundCollection, some_of

MANIFEST_FILE = "manifest.json"
DIGEST_BYTES = 16
FILES_AT_A_TIME = 8
# Fields of a recipe that say where something lies, or against what it is checked, and not what is made
PLACES = {
    "events": ("path", "audio_root"),
    "background": ("path", "audio_root"),
    "output": ("folder", "disjoint_from"),
}


def describe_set(generator: SoundscapeGenerator) -> dict[str, Any]:
    """The manifest of a set; all of its sources are read for it."""
    collections = {"events": generator.events, "background": generator.background}
    return {
        "made_with": {
            "modeling_sslam": _package_version(),
            "numpy": numpy.__version__,
            "torch": torch.__version__,
            "soundfile": soundfile.__version__,
            "libsndfile": soundfile.__libsndfile_version__,
        },
        "recipe": dump_arguments(generator.arguments),
        "classes": generator.classes,
        "sources": {name: [] if of is None else _described(of) for name, of in collections.items()},
        "skipped": {name: {} if of is None else of.skipped for name, of in collections.items()},
    }


def claim_folder(folder: pathlib.Path, manifest: dict[str, Any]) -> None:
    """Writes a manifest into the folder of its set, or finds the same one there.

    Raises:
        ValueError: the folder belongs to another set; all differences are named.
    """
    path = folder / MANIFEST_FILE
    if not path.exists():
        write_text_whole(path, json.dumps(manifest, indent=1))
    elif found := differences(read_manifest(folder), manifest):
        raise ValueError(
            f"{folder} has soundscapes of another recipe: choose another output.folder, or remove it\n"
            + "\n".join(f"  {line}" for line in found)
        )


def read_manifest(folder: str | pathlib.Path) -> dict[str, Any]:
    """The manifest of a set. Raises ValueError where there is none."""
    path = pathlib.Path(folder, MANIFEST_FILE)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{folder} is no set of soundscapes: it has no {MANIFEST_FILE}") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def differences(there: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """In what two sets differ, one line each: fields of their recipes, and sources; versions do not count."""
    return [*_recipe_differences(there["recipe"], wanted["recipe"])] + [
        line
        for collection in ("events", "background")
        for line in _source_differences(collection, there["sources"][collection], wanted["sources"][collection])
    ]


def check_disjoint(manifest: dict[str, Any], others: Iterable[str]) -> None:
    """Refuses foreground sounds that other sets were made of too, under whatever name.

    Args:
        others: folders of these sets.
    Raises:
        ValueError: shared sounds, or a folder without a manifest.
    """
    own = {source["digest"]: source["file"] for source in manifest["sources"]["events"]}
    for folder in others:
        shared = [source for source in read_manifest(folder)["sources"]["events"] if source["digest"] in own]
        if shared:
            names = sorted(f"{own[source['digest']]} (there {source['file']})" for source in shared)
            raise ValueError(
                f"{len(shared)} of {len(own)} foreground sounds are those of the set {folder} too: {some_of(names)}; "
                "change events.path or events.filters"
            )


def _package_version() -> str:
    try:
        return importlib.metadata.version("modeling-sslam")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _described(collection: SoundCollection) -> list[dict[str, Any]]:
    with concurrent.futures.ThreadPoolExecutor(FILES_AT_A_TIME) as pool:
        digests = pool.map(_digest, [collection.path_of(source.file) for source in collection.sources])
        return [
            {"file": source.file, "label": source.label, "seconds": source.seconds, "digest": digest}
            for source, digest in zip(collection.sources, digests, strict=True)
        ]


def _digest(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=DIGEST_BYTES)).hexdigest()


def _recipe_differences(there: dict[str, dict], wanted: dict[str, dict]) -> Iterable[str]:
    for section, fields in wanted.items():
        for field, value in fields.items():
            found = there.get(section, {}).get(field)
            if found != value and field not in PLACES.get(section, ()):
                yield f"{section}.{field}: {found} there, {value} asked for"


def _source_differences(collection: str, there: list[dict], wanted: list[dict]) -> Iterable[str]:
    before, now = ({source["file"]: source for source in sources} for sources in (there, wanted))
    changed = sorted(file for file in before.keys() & now.keys() if before[file] != now[file])
    for what, files in (
        ("were not there", sorted(now.keys() - before.keys())),
        ("are gone", sorted(before.keys() - now.keys())),
        ("are others", changed),
    ):
        if files:
            yield f"{len(files)} sounds of {collection} {what}: {some_of(files)}"
