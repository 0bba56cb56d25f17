"""The msgpack format of Flax checkpoints."""

import struct

import pytest
import torch

from modeling_sslam.official.flax_msgpack import is_msgpack, load_flax


def pack(value) -> bytes:
    """msgpack of the kinds that a checkpoint holds."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return bytes([value]) if 0 <= value < 128 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"\xd9" + bytes([len(value)]) + value.encode()
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, (list, tuple)):
        return b"\xdc" + struct.pack(">H", len(value)) + b"".join(map(pack, value))
    if isinstance(value, torch.Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        content = value.contiguous().view(torch.uint8).numpy().tobytes() if value.ndim else value.numpy().tobytes()
        payload = pack([list(value.shape), kind, content])
        return b"\xc9" + struct.pack(">I", len(payload)) + b"\x01" + payload
    return b"\xde" + struct.pack(">H", len(value)) + b"".join(pack(key) + pack(item) for key, item in value.items())


def write(path, tree) -> None:
    path.write_bytes(pack(tree))


def test_large_arrays_in_pieces_are_joined(tmp_path):
    array = torch.arange(24.0).reshape(2, 3, 4)
    pieces = dict(enumerate(array.flatten().split(10)))
    chunked = {
        "__msgpack_chunked_array__": True,
        "shape": {"0": 2, "1": 3, "2": 4},
        "chunks": {str(place): piece for place, piece in pieces.items()},
    }
    write(tmp_path / "checkpoint_0", {"params": {"x": chunked}, "rate": 0.5, "none": None, "big": -(2**40)})
    tree = load_flax(tmp_path / "checkpoint_0")
    assert torch.equal(tree["params"]["x"], array)
    assert (tree["rate"], tree["none"], tree["big"]) == (0.5, None, -(2**40))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pack({"params": torch.zeros(4)})[:-3], "cut off"),
        (pack({"a": 1}) + b"\x00", "1 bytes"),
        (b"\xde\x00\x01\xa1a\xc1", "0xc1 starts no msgpack value"),
        (b"\xde\x00\x01\xa1a\xd4\x09\x00", "extension type 9"),
        (b"\x81\xff\xff\xff", "no checkpoint of Flax"),
    ],
)
def test_broken_files_are_refused(content, message, tmp_path):
    path = tmp_path / "checkpoint_0"
    path.write_bytes(content)
    assert is_msgpack(path)
    with pytest.raises(ValueError, match=message):
        load_flax(path)
