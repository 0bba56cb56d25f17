"""What is inferred from the tree of weights in an official Flax checkpoint."""

import pytest
import torch
from safetensors.torch import save_file

from modeling_sslam import MwmaeConfig, MwmaeForPreTraining
from modeling_sslam.official.checkpoints import load_official
from modeling_sslam.official.mwmae import infer_config, places
from tests.golden.mwmae_weights import to_official
from tests.modeling_sslam.official.test_flax_msgpack import write


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
