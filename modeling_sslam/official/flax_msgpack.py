"""Reads checkpoints that Flax wrote as one msgpack file, without JAX, Flax or msgpack.

The format is small and holds data only, so that a reader of our own is shorter than the care that an optional
dependency needs. Format: github.com/msgpack/msgpack/blob/master/spec.md. Flax adds three extension types: arrays (1),
complex numbers (2) and numpy scalars (3), and writes large arrays in pieces.
"""

from __future__ import annotations

import math
import os
import pathlib
import struct
from typing import Any

import torch

ARRAY, COMPLEX, SCALAR = 1, 2, 3
CHUNKED_ARRAY = "__msgpack_chunked_array__"
# First byte -> format of the number that follows.
NUMBERS = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
# First byte -> format of the length that follows.
BINARIES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
EXTENSIONS = {0xC7: ">B", 0xC8: ">H", 0xC9: ">I"}
FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
STRINGS = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
ARRAYS = {0xDC: ">H", 0xDD: ">I"}
MAPS = {0xDE: ">H", 0xDF: ">I"}


def is_msgpack(path: str | os.PathLike) -> bool:
    """Whether a file starts as a msgpack map that holds something; neither pickles nor safetensors do."""
    with open(path, "rb") as file:
        first = file.read(1)
    return bool(first) and (0x81 <= first[0] <= 0x8F or first[0] in MAPS)


def load_flax(path: str | os.PathLike) -> dict:
    """The tree of a checkpoint as nested dictionaries, arrays as tensors of the type they were saved in.

    Raises:
        ValueError: not such a file, or one that is cut off.
    """
    try:
        reader = _Reader(pathlib.Path(path).read_bytes())
        tree = reader.value()
    except (struct.error, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no whole msgpack file: {error}") from error
    if not isinstance(tree, dict) or reader.rest:
        raise ValueError(f"{path} is no checkpoint of Flax: a {type(tree).__name__} and {reader.rest} bytes")
    return _join_chunks(tree)


class _Reader:
    """Reads values one after another from bytes."""

    def __init__(self, content: bytes):
        self.content = memoryview(content)
        self.place = 0

    @property
    def rest(self) -> int:
        """Bytes that are not read yet."""
        return len(self.content) - self.place

    def value(self) -> Any:
        first = self._number(">B")
        if first < 0x80:
            return first
        if first >= 0xE0:
            return first - 0x100
        if first < 0x90:
            return self._map(first - 0x80)
        if first < 0xA0:
            return self._list(first - 0x90)
        if first < 0xC0:
            return str(self._bytes(first - 0xA0), "utf-8")
        if first in CONSTANTS:
            return CONSTANTS[first]
        if first in NUMBERS:
            return self._number(NUMBERS[first])
        if first in BINARIES:
            return self._bytes(self._number(BINARIES[first]))
        if first in STRINGS:
            return str(self._bytes(self._number(STRINGS[first])), "utf-8")
        if first in ARRAYS:
            return self._list(self._number(ARRAYS[first]))
        if first in MAPS:
            return self._map(self._number(MAPS[first]))
        if first in FIXED_EXTENSIONS:
            return self._extension(FIXED_EXTENSIONS[first])
        if first in EXTENSIONS:
            return self._extension(self._number(EXTENSIONS[first]))
        raise ValueError(f"byte {first:#x} starts no msgpack value")

    def _number(self, form: str) -> int | float:
        (number,) = struct.unpack(form, self._bytes(struct.calcsize(form)))
        return number

    def _bytes(self, size: int) -> memoryview:
        if size > self.rest:
            raise ValueError(f"the file is cut off: {size} bytes are needed, {self.rest} are left")
        self.place += size
        return self.content[self.place - size : self.place]

    def _list(self, length: int) -> list:
        return [self.value() for _ in range(length)]

    def _map(self, length: int) -> dict:
        return {self.value(): self.value() for _ in range(length)}

    def _extension(self, size: int) -> Any:
        kind = self._number(">b")
        content = self._bytes(size)
        if kind == COMPLEX:
            return complex(*_Reader(content).value())
        if kind not in (ARRAY, SCALAR):
            raise ValueError(f"msgpack extension type {kind} is not one of Flax's")
        array = _array(*_Reader(content).value())
        return array if kind == ARRAY else array.item()


def _array(shape: list[int], dtype: str, content: memoryview) -> torch.Tensor:
    """A tensor from the name of its type, and its values in C order."""
    torch_dtype = getattr(torch, dtype, None)
    if not isinstance(torch_dtype, torch.dtype):
        raise ValueError(f"arrays of type {dtype!r} cannot be read")
    if len(content) != math.prod(shape) * torch_dtype.itemsize:
        raise ValueError(f"{len(content)} bytes are no {dtype} array of shape {tuple(shape)}")
    # A copy, because the bytes of a file start where no number may.
    return torch.frombuffer(bytearray(content), dtype=torch_dtype).reshape(shape) if content else torch.empty(shape)


def _join_chunks(tree: Any) -> Any:
    """Puts large arrays together again."""
    if not isinstance(tree, dict):
        return tree
    if CHUNKED_ARRAY in tree:
        return torch.cat(_ordered(tree["chunks"])).reshape(_ordered(tree["shape"]))
    return {name: _join_chunks(value) for name, value in tree.items()}


def _ordered(numbered: dict | list) -> list:
    """Flax writes a tuple as a dictionary of its places."""
    return [numbered[str(place)] for place in range(len(numbered))] if isinstance(numbered, dict) else numbered
