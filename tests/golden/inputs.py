"""Inputs that a case does not hold but names: a tensor of a neighbouring case, or a rule by which it is drawn.

Both stand in the README of a case, or in a text of its `config.json`. References look like

    `fbank` of case `fbank_inference_wav`           `fbank` of `fbank_inference_wav`, first 1024 frames
    clip 0 = `fbank` of case one_wav, clip 1 = `fbank` of the other recording (case other_wav)

and rules like

    g = torch.Generator().manual_seed(zlib.crc32("tiny_frame_250".encode())), input = 0.5 * torch.randn(1, 1024, 128,
        generator=g)
    torch.randn(3,1,1024,128, generator seeded 63)*0.5 plus per-clip offsets (-0.3, 0.2, 0.0, 0.4, ...)
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import json
import pathlib
import re
import zlib
from collections.abc import Container, Iterable, Iterator

import torch
from safetensors.torch import load_file

SHARED = pathlib.Path(__file__).resolve().parents[3] / "shared" / "golden"

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
CASE_NAME = r"[A-Za-z0-9](?:[\w./-]*\w)?"
# What a name without backticks and without "case" before it must look like, or it would be any word.
BARE_NAME = r"(?=[A-Za-z]+[\d_-])[A-Za-z](?:[\w./-]*\w)"
REFERENCE = re.compile(
    rf"(?:clip\s+(?P<clip>\d+)\s*(?:=|is|:)\s*(?:the\s+)?(?:tensor\s+)?)?`(?P<tensor>[\w./-]+)`\s+(?:of|in|from)\s+(?:"
    rf"(?:the\s+)?case\s+(?:`(?P<a>{CASE_NAME})`|(?P<b>{CASE_NAME}))"
    rf"|[^.;,:`\n]{{0,80}}?\(\s*case\s+(?:`(?P<c>{CASE_NAME})`|(?P<d>{CASE_NAME}))"
    rf"|(?P<quoted>`{CASE_NAME}`)"
    rf"|(?P<bare>{BARE_NAME}))"
)
FIRST_FRAMES = re.compile(r"first\s+(\d+)\s+frames")
OF_ALL = re.compile(r"first\s+\d+\s+frames\s+of\s+(?:each|both|all)")

DRAW = re.compile(
    rf"(?:(?P<before>{NUMBER})\s*\*\s*)?torch\.randn\(\s*\(?\s*(?P<shape>\d+(?:\s*,\s*\d+)*)\s*\)?\s*,\s*"
    rf"generator\s*(?:=\s*\w+|(?:is\s+)?seeded\s+(?:with\s+)?(?P<seed>\d+))\s*\)"
    rf"(?:\s*\*\s*(?P<after>{NUMBER}))?"
)
SEED = re.compile(
    r"manual_seed\(\s*(?:zlib\.crc32\(\s*[\"'](?P<word>[^\"']+)[\"']\.encode\(\)\s*\)|(?P<number>\d+))\s*\)"
)
OFFSETS = re.compile(rf"offsets?\s*\(\s*(?P<numbers>{NUMBER}(?:\s*,\s*{NUMBER})*)\s*(?:,\s*\.\.\.\s*)?\)")

ROOT: contextvars.ContextVar[pathlib.Path | None] = contextvars.ContextVar("root", default=None)


@dataclasses.dataclass(frozen=True)
class Reference:
    """A tensor of another case.

    Args:
        tensor, case: their names.
        clip: which clip of the batch it is, where the text says it.
        num_frames: so many frames from its start, None = all.
    """

    tensor: str
    case: str
    clip: int | None = None
    num_frames: int | None = None


@contextlib.contextmanager
def cases_below(root: pathlib.Path | None) -> Iterator[None]:
    """Cases anywhere below `root` can be referred to by name while the context lasts."""
    token = ROOT.set(root)
    try:
        yield
    finally:
        ROOT.reset(token)


def text_of(path: pathlib.Path) -> str:
    """What a case says in words: its README, if it has one, and every text in its configuration."""
    readme = path / "README.md"
    texts = [readme.read_text()] if readme.is_file() else []
    return "\n".join([*texts, *_strings(json.loads((path / "config.json").read_text()))])


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def references(text: str, own_tensors: Container[str] = ()) -> list[Reference]:
    """The tensors of other cases that a text names, each once.

    Where it numbers them ("clip 0 = ..."), these alone, in order of their numbers; else in the order of the text.

    Args:
        own_tensors: names of the case's own tensors, to which `one` of `other` may refer too.
    """
    matches = [match for match in REFERENCE.finditer(text) if not _is_own(match, own_tensors)]
    ends = [*(match.start() for match in matches), len(text)][1:]
    found: list[Reference] = []
    for match, end in zip(matches, ends, strict=True):
        rest = re.split(r"\n|\.\s", text[match.end() : end], maxsplit=1)[0]
        frames = FIRST_FRAMES.search(rest)
        if frames and OF_ALL.search(rest):
            found = [dataclasses.replace(earlier, num_frames=int(frames[1])) for earlier in found]
        clip = None if match["clip"] is None else int(match["clip"])
        found.append(Reference(match["tensor"], _case_name(match), clip, int(frames[1]) if frames else None))
    is_numbered = any(reference.clip is not None for reference in found)
    unique: dict[object, Reference] = {}
    for reference in found:
        if is_numbered and reference.clip is None:
            continue
        key = reference.clip if is_numbered else (reference.tensor, reference.case)
        if key not in unique or unique[key].num_frames is None:
            unique[key] = reference
    return [unique[key] for key in sorted(unique)] if is_numbered else list(unique.values())


def _case_name(match: re.Match) -> str:
    return next(name for name in match.group("a", "b", "c", "d", "quoted", "bare") if name is not None).strip("`")


def _is_own(match: re.Match, own_tensors: Container[str]) -> bool:
    return (match["quoted"] or match["bare"]) is not None and _case_name(match) in own_tensors


def neighbour(path: pathlib.Path, name: str) -> pathlib.Path:
    """The folder of the case that `path` refers to by `name`.

    Looked for beside `path`, then below the folder that is being run, then in the project's shared folder.

    Raises:
        ValueError: there is none.
    """
    root = ROOT.get()
    beside = [path.parent / name, path.parent.parent / name]
    for folder in beside:
        if (folder / "config.json").is_file():
            return folder
    for above in (root, SHARED):
        if above is not None and above.is_dir():
            found = sorted(file.parent for file in above.rglob(f"{name}/config.json"))
            if found:
                return found[0]
    places = ", ".join(str(place) for place in (path.parent, root, SHARED) if place is not None)
    raise ValueError(f"{path} names the case {name}, which is in none of {places}")


def load_reference(path: pathlib.Path, reference: Reference) -> torch.Tensor:
    """(B, T, F) clips that `path` refers to.

    Raises:
        ValueError: there is no such case, or it has no such tensor or too few frames.
    """
    folder = neighbour(path, reference.case)
    stored = load_file(folder / "io.safetensors")
    if reference.tensor not in stored:
        raise ValueError(
            f"{path} names the tensor {reference.tensor} of {folder}, which has only {', '.join(sorted(stored))}"
        )
    clips = as_batch(stored[reference.tensor])
    if reference.num_frames is not None and reference.num_frames > clips.shape[1]:
        raise ValueError(
            f"{path} names the first {reference.num_frames} frames of {reference.tensor} of {folder}, which has "
            f"{clips.shape[1]}"
        )
    return clips[:, : reference.num_frames]


def as_batch(clips: torch.Tensor) -> torch.Tensor:
    """(T, F), (B, T, F), (B, 1, T, F) or (B, T, F, 1) -> (B, T, F)."""
    if clips.ndim == 4:
        return clips.squeeze(1 if clips.shape[1] == 1 else 3)
    return clips[None] if clips.ndim == 2 else clips


def drawn(text: str) -> torch.Tensor | None:
    """The tensor that a text describes by a rule, in the shape of the rule; None where it describes none.

    Raises:
        ValueError: the text draws from a generator whose seed it does not tell.
    """
    # Weights by rule are drawn too, but of a `shape` without numbers.
    draw = DRAW.search(text)
    if draw is None:
        return None
    shape = [int(size) for size in draw["shape"].split(",")]
    generator = torch.Generator().manual_seed(_seed(text, draw))
    # The product is that of the rule, and rounds as it does: one factor, before or behind.
    value = torch.randn(shape, generator=generator) * float(draw["before"] or draw["after"] or 1.0)
    offsets = OFFSETS.search(text, draw.end())
    if offsets is not None:
        numbers = torch.tensor([float(number) for number in offsets["numbers"].split(",")])
        numbers = numbers.repeat(-(-shape[0] // len(numbers)))[: shape[0]]
        value = value + numbers.reshape(-1, *[1] * (len(shape) - 1))
    return value


def _seed(text: str, draw: re.Match) -> int:
    if draw["seed"] is not None:
        return int(draw["seed"])
    # The generator was made before, or in the same sentence behind.
    before = list(SEED.finditer(text, 0, draw.start()))
    seed = before[-1] if before else SEED.search(text, draw.end())
    if seed is None:
        raise ValueError(f"the rule {draw[0]!r} draws from a generator, but no seed stands before or behind it")
    return int(seed["number"]) if seed["word"] is None else zlib.crc32(seed["word"].encode())


def input_of(path: pathlib.Path, tensors: dict[str, torch.Tensor], names: Iterable[str]) -> torch.Tensor:
    """(B, T, F) input of a case: its own tensor, drawn by the rule that it states, or of the cases that it names.

    Args:
        tensors: of the case.
        names: under which it may hold its input itself.
    Raises:
        ValueError: it says nothing of its input, or names what does not exist.
    """
    for name in names:
        if name in tensors:
            return as_batch(tensors[name])
    text = text_of(path)
    clips = drawn(text)
    if clips is not None:
        return as_batch(clips)
    found = references(text, tensors)
    if not found:
        raise ValueError(
            f"{path} holds none of the tensors {list(names)}, and its README and config.json name neither a tensor of "
            "another case nor a rule for it"
        )
    return torch.cat([load_reference(path, reference) for reference in found])
