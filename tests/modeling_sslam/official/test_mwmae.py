"""Official Flax checkpoints: the msgpack format, and what is inferred from a tree of weights."""

import struct

import pytest
import torch
from safetensors.torch import save_file

from modeling_sslam import MwmaeConfig, MwmaeForPreTraining
from modeling_sslam.official.checkpoints import load_official
from modeling_sslam.official.flax_msgpack import is_msgpack, load_flax
from modeling_sslam.official.mwmae import infer_config, places
from tests.golden.mwmae_weights import to_official


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


def tree_of(flat: dict[str, torch.Tensor]) -> dict:
    tree = {}
    for name, tensor in flat.items():
        *folders, leaf = name.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[leaf] = tensor
    return tree


def official_of(**fields) -> tuple[MwmaeForPreTraining, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    sizes = {"hidden_size": 192, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 64}
    sizes |= {"decoder_hidden_size": 32, "decoder_num_layers": 2, "patch_size": (8, 16)}
    model = MwmaeForPreTraining(MwmaeConfig(**(sizes | fields))).eval()
    return model, to_official(places(model.config), model.state_dict())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"use_class_token": True, "decoder_window_sizes": 0},
        {"patch_size": (4, 16)},
        {"encoder_window_sizes": (5, 5, 0)},
        {"decoder_window_sizes": (5, 5, 25, 25, 125, 125, 0, 0)},
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_checkpoint_gives_the_model_back(fields, dtype, tmp_path):
    model, official = official_of(**fields)
    tree = tree_of({name: tensor.to(dtype) for name, tensor in official.items()})
    write(tmp_path / "checkpoint_7", {"step": 7, "params": tree, "opt_state": {"0": {"count": torch.tensor([7])}}})
    read = load_official(tmp_path)
    assert read.config.to_dict() == model.config.to_dict()
    want = {name: tensor.to(dtype).float() for name, tensor in model.state_dict().items()}
    torch.testing.assert_close(read.build().state_dict(), want, rtol=0, atol=0)


def test_names_with_slashes_in_safetensors_serve_too(tmp_path):
    model, official = official_of()
    flat = {f"params/{name}": tensor.contiguous() for name, tensor in official.items()}
    save_file(flat, tmp_path / "model.safetensors")
    torch.testing.assert_close(load_official(tmp_path).build().state_dict(), model.state_dict(), rtol=0, atol=0)


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


def test_missing_and_unknown_weights_are_listed(tmp_path):
    _, official = official_of()
    del official["encoder_norm/scale"]
    official["momentum_encoder/kernel"] = torch.zeros(2)
    write(tmp_path / "checkpoint_0", {"params": tree_of(official)})
    with pytest.raises(ValueError, match="encoder_norm/scale is missing; momentum_encoder/kernel is unknown"):
        load_official(tmp_path / "checkpoint_0")


def test_heads_of_an_unpublished_width_must_be_given():
    _, official = official_of(hidden_size=64, num_attention_heads=4)
    with pytest.raises(ValueError, match="attention heads of width 64: pass num_attention_heads"):
        infer_config(official)
    assert infer_config(official, num_attention_heads=4).num_attention_heads == 4


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
