"""What is inferred from SSLAM and EAT files, and files that do not fit."""

import argparse

import pytest
import torch
from safetensors.torch import save_file

from modeling_sslam import SslamConfig, SslamModel
from modeling_sslam.official.checkpoints import load_official
from modeling_sslam.official.sslam_layouts import ours_to_official_hub
from tests.modeling_sslam.official.sslam_files import PLAIN_CFG, SIZES, finetuned_weights, pretrained_weights, same


@pytest.mark.parametrize("nested", [True, False], ids=["nested _ema", "flat _ema"])
def test_fairseq_pretrained(student, teacher, nested, tmp_path):
    content = {"args": None, "cfg": PLAIN_CFG, "model": pretrained_weights(student, teacher, nested)}
    torch.save(content, tmp_path / "checkpoint_last.pt")
    official = load_official(tmp_path)
    assert {name: getattr(official.config, name) for name in SIZES} == SIZES
    assert same(official.weights, student.state_dict())
    assert same(official.teacher, teacher.state_dict())


@pytest.mark.parametrize(("width", "heads"), [(768, 12), (1024, 16)])
def test_published_widths_tell_the_heads(width, heads, tmp_path):
    sizes = SIZES | {"hidden_size": width, "num_attention_heads": heads, "num_hidden_layers": 1}
    model = SslamModel(SslamConfig(**sizes))
    save_file(ours_to_official_hub(model.state_dict(), "pretrain"), tmp_path / "model.safetensors")
    assert load_official(tmp_path).config.num_attention_heads == heads


def test_unknown_width_needs_the_heads(teacher, tmp_path):
    save_file(ours_to_official_hub(teacher.state_dict(), "pretrain"), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="attention heads of width 48: pass num_attention_heads"):
        load_official(tmp_path)
    assert load_official(tmp_path, num_attention_heads=3).config.num_attention_heads == 3


def test_missing_names_are_listed(student, teacher, tmp_path):
    weights = pretrained_weights(student, teacher, nested=True)
    del weights["blocks.1.norm2.bias"], weights["modality_encoders.IMAGE.decoder.proj.weight"]
    torch.save({"cfg": PLAIN_CFG, "model": weights}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"layers\.1\.norm2\.bias is missing; decoder\.projection\.weight is missing"):
        load_official(tmp_path / "a.pt")


def test_unknown_names_are_listed(classifier, tmp_path):
    weights = finetuned_weights(classifier) | {"model.relative_bias": torch.ones(1), "model.gamma": torch.ones(1)}
    torch.save({"cfg": PLAIN_CFG, "model": weights}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"2 parameter names .*: gamma, relative_bias"):
        load_official(tmp_path / "a.pt")


def test_wrong_shapes_are_listed(classifier, tmp_path):
    weights = finetuned_weights(classifier) | {"model.blocks.1.mlp.fc1.weight": torch.ones(7, 48)}
    torch.save({"cfg": PLAIN_CFG, "model": weights}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"layers\.1\.mlp\.fc1\.weight is \(7, 48\) instead of \(96, 48\)"):
        load_official(tmp_path / "a.pt", num_attention_heads=3)


def test_configuration_that_cannot_be_read_is_ignored(teacher, student, tmp_path):
    """A stubbed `cfg` tells no heads, so they must be given."""
    content = {"cfg": argparse.Namespace(model=1), "model": pretrained_weights(student, teacher, nested=True)}
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="pass num_attention_heads"):
        load_official(tmp_path / "a.pt")
    assert load_official(tmp_path / "a.pt", num_attention_heads=3).config.num_attention_heads == 3
