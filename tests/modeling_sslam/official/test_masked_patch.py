"""Official checkpoints of SSAM, AxLSTM and their transformer baseline."""

import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModelForPreTraining

from modeling_sslam import AxlstmConfig, PowerMelFeatureExtractor, SsamConfig, SsastMaeConfig
from modeling_sslam.convert_checkpoints import convert_to_ours
from modeling_sslam.official.checkpoints import load_official
from modeling_sslam.official.masked_patch import to_official
from modeling_sslam.tokens_positions import time_frequency_table

SIZES = {"hidden_size": 64, "num_hidden_layers": 2}
TRANSFORMER = SIZES | {"num_attention_heads": 1, "intermediate_size": 96}
CONFIGS = {
    "ssam": SsamConfig(**SIZES, expand=2, state_size=6, conv_kernel=3),
    "axlstm": AxlstmConfig(**SIZES),
    "ssast_mae": SsastMaeConfig(**TRANSFORMER),
    "other grid": SsastMaeConfig(**TRANSFORMER, patch_size=(4, 8), num_mel_bins=32, window_frames=40),
    "no class token": SsastMaeConfig(**TRANSFORMER, use_class_token=False),
    "transformer head": SsastMaeConfig(
        **TRANSFORMER, prediction_num_layers=2, prediction_hidden_size=128, prediction_num_attention_heads=2
    ),
}


def build(config):
    torch.manual_seed(0)
    return AutoModelForPreTraining.from_config(config).eval()


def positions(config) -> torch.Tensor:
    num_time = config.window_frames // config.time_stride
    table = time_frequency_table(num_time, config.num_frequency_patches, config.hidden_size)
    return torch.nn.functional.pad(table, (0, 0, int(config.use_class_token), 0))[None]


def write(path, model, **changes):
    """A file as the authors save it; a change of None leaves a weight out."""
    weights = to_official(model.config, model.state_dict()) | {"pos_embed": positions(model.config)} | changes
    weights = {name: tensor for name, tensor in weights.items() if tensor is not None}
    torch.save({"model": weights, "epoch": 99, "scaler": {"scale": 1.0}}, path)
    return path


@pytest.mark.parametrize("name", CONFIGS)
def test_official_file_gives_model_and_sizes(name, tmp_path):
    model = build(CONFIGS[name])
    official = load_official(write(tmp_path / "checkpoint-99.pth", model))
    got, want = official.config.to_dict(), CONFIGS[name].to_dict()
    assert {field: got[field] for field in want if got[field] != want[field]} == {}
    torch.testing.assert_close(official.build().state_dict(), model.state_dict(), rtol=0, atol=0)
    assert official.feature_extractor.num_mel_bins == CONFIGS[name].num_mel_bins


def test_converted_folder_loads_with_the_auto_classes(tmp_path):
    model = build(CONFIGS["ssast_mae"])
    convert_to_ours(write(tmp_path / "checkpoint-99.pth", model), tmp_path / "ours")
    loaded = AutoModelForPreTraining.from_pretrained(tmp_path / "ours").eval()
    clip = {"input_values": torch.randn(1, 200, 80), "bool_masked_pos": (torch.arange(250) % 2 == 0)[None]}
    with torch.no_grad():
        torch.testing.assert_close(loaded(**clip).prediction, model(**clip).prediction, rtol=0, atol=0)
    assert type(AutoFeatureExtractor.from_pretrained(tmp_path / "ours")) is PowerMelFeatureExtractor


def test_published_names():
    names = to_official(CONFIGS["ssast_mae"], build(CONFIGS["ssast_mae"]).state_dict())
    assert {"cls_token", "mask_token", "patch_embed.proj.weight", "encoder_norm.bias"} < names.keys()
    assert {
        "pred.0.weight",
        "pred.2.bias",
        "blocks.1.attn.qkv_layer.weight",
        "blocks.0.mlp.layer2.bias",
    } < names.keys()


def test_heads_that_no_shape_tells_must_be_given(tmp_path):
    config = SsastMaeConfig(hidden_size=48, num_hidden_layers=1, num_attention_heads=3, intermediate_size=96)
    path = write(tmp_path / "checkpoint-1.pth", build(config))
    with pytest.raises(ValueError, match="no shape tells the attention heads of width 48: pass num_attention_heads"):
        load_official(path)
    assert load_official(path, num_attention_heads=3).config.num_attention_heads == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pos_embed": torch.randn(1, 251, 64)}, r"pos_embed \(1, 251, 64\) is not a fixed sine/cosine table"),
        ({"pos_embed": None}, "the checkpoint lacks pos_embed"),
        ({"blocks.1.norm1.weight": None}, "encoder.layers.1.norm1.weight is missing"),
        ({"fc.weight": torch.zeros(3)}, "1 parameter names belong to no known layout: fc.weight"),
        ({"pred.2.bias": torch.zeros(3)}, r"prediction_head.output.bias is \(3,\) instead of \(64,\)"),
    ],
)
def test_files_that_do_not_fit_are_refused(changes, message, tmp_path):
    path = write(tmp_path / "checkpoint-1.pth", build(CONFIGS["ssast_mae"]), **changes)
    with pytest.raises(ValueError, match=message):
        load_official(path)
