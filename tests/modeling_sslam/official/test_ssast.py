"""Official SSAST checkpoints, pretrained and fine-tuned."""

import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, AutoModelForPreTraining

from modeling_sslam import SsastConfig, SsastForAudioClassification, SsastForPreTraining
from modeling_sslam.convert_checkpoints import convert_to_ours
from modeling_sslam.official.checkpoints import load_official
from tests.golden.ssast_model import PREFIX, stripped, to_official

SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 96}
PRETRAINED = {
    "patch": SsastConfig.patch(**SIZES, position_grid=(6, 8)),
    "frame": SsastConfig.frame(**SIZES, position_grid=(24, 1)),
    "other bins": SsastConfig(**SIZES, num_mel_bins=64, patch_size=(4, 32), position_grid=(5, 2)),
}
FINE_TUNED = {
    "patch": SsastConfig.patch(**SIZES, patch_stride=(10, 10), position_grid=(7, 12), num_labels=3),
    "frame": SsastConfig.frame(**SIZES, patch_stride=(1, 128), position_grid=(30, 1), num_labels=3),
}


def build(model_class, config):
    torch.manual_seed(0)
    return model_class(config).eval()


def write(path, model, parallel: bool = True, **changes):
    """A file as the authors save it; a change of None leaves a weight out."""
    config = model.config
    weights = stripped(to_official(config, model.state_dict()))
    # Classes of ImageNet, which nothing uses.
    for head in ("v.head", "v.head_dist"):
        weights |= {f"{head}.weight": torch.randn(5, config.hidden_size), f"{head}.bias": torch.randn(5)}
    if isinstance(model, SsastForPreTraining):
        weights["p_input_fdim"] = torch.tensor(config.num_mel_bins)
        weights["p_input_tdim"] = torch.tensor(config.position_grid[0] * config.patch_size[0])
    weights = {name: tensor for name, tensor in (weights | changes).items() if tensor is not None}
    torch.save({PREFIX * parallel + name: tensor for name, tensor in weights.items()}, path)
    return path


def assert_same(official, model):
    got, want = official.config.to_dict(), model.config.to_dict()
    assert {field: got[field] for field in want if got[field] != want[field]} == {}
    assert official.model_class is type(model)
    torch.testing.assert_close(official.build().state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("parallel", [True, False], ids=["module.", "plain"])
@pytest.mark.parametrize("name", PRETRAINED)
def test_pretrained_file_gives_model_and_sizes(name, parallel, tmp_path):
    model = build(SsastForPreTraining, PRETRAINED[name])
    assert_same(load_official(write(tmp_path / "SSAST.pth", model, parallel)), model)


@pytest.mark.parametrize("parallel", [True, False], ids=["module.", "plain"])
@pytest.mark.parametrize("name", FINE_TUNED)
def test_fine_tuned_file_needs_no_pretraining_file(name, parallel, tmp_path):
    """Where the reference demands one."""
    model = build(SsastForAudioClassification, FINE_TUNED[name])
    assert_same(load_official(write(tmp_path / "best_audio_model.pth", model, parallel)), model)


def test_fine_tuned_patches_without_overlap_are_told_by_their_number(tmp_path):
    config = SsastConfig.patch(**SIZES, position_grid=(4, 8), num_labels=3)
    model = build(SsastForAudioClassification, config)
    assert_same(load_official(write(tmp_path / "best_audio_model.pth", model)), model)


def test_weights_count_pixels_in_time_order(tmp_path):
    """Inside a patch the official files have all frames of a mel bin before the next bin."""
    model = build(SsastForPreTraining, PRETRAINED["other bins"])
    path = write(tmp_path / "SSAST.pth", model)
    official = torch.load(path)
    kernel = model.ssast.embeddings.patch_embeddings.projection.weight
    assert torch.equal(official["module.v.patch_embed.proj.weight"][:, :, 3, 1], kernel[:, :, 1, 3])
    frames, bins = model.config.patch_size
    bias = model.generative_head.output.bias
    assert torch.equal(official["module.gpredlayer.2.bias"][3 * frames + 1], bias[1 * bins + 3])


@pytest.mark.parametrize(
    ("config", "mean", "frames"),
    [
        (FINE_TUNED["patch"], -4.2677393, 76),
        (SsastConfig.patch(**SIZES, position_grid=(64, 8)), -4.2677393, 1024),
        (SsastConfig.patch(**SIZES, patch_stride=(10, 10), position_grid=(50, 12)), -6.6268077, 512),
        (SsastConfig.frame(**SIZES, patch_stride=(1, 128), position_grid=(127, 1)), -6.845978, 128),
    ],
    ids=["other", "audioset", "esc50", "speech commands"],
)
def test_feature_extractor_is_that_of_the_data_set(config, mean, frames, tmp_path):
    overlaps = config.patch_stride != config.patch_size
    model = build(SsastForAudioClassification if overlaps else SsastForPreTraining, config)
    extractor = load_official(write(tmp_path / "SSAST.pth", model)).feature_extractor
    assert (extractor.mean, extractor.target_length, extractor.num_mel_bins) == (mean, frames, 128)


@pytest.mark.parametrize(
    ("config", "auto_class"),
    [(PRETRAINED["patch"], AutoModelForPreTraining), (FINE_TUNED["frame"], AutoModelForAudioClassification)],
    ids=["pretrained", "fine-tuned"],
)
def test_converted_folder_loads_with_the_auto_classes(config, auto_class, tmp_path):
    model = auto_class.from_config(config)
    convert_to_ours(write(tmp_path / "SSAST.pth", model), tmp_path / "ours")
    loaded = auto_class.from_pretrained(tmp_path / "ours")
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert AutoFeatureExtractor.from_pretrained(tmp_path / "ours").num_mel_bins == config.num_mel_bins


def test_heads_that_no_shape_tells_must_be_given(tmp_path):
    config = SsastConfig(**SIZES | {"hidden_size": 48, "num_attention_heads": 3}, position_grid=(4, 8))
    path = write(tmp_path / "SSAST.pth", build(SsastForPreTraining, config))
    with pytest.raises(ValueError, match="no shape tells the attention heads of width 48: pass num_attention_heads"):
        load_official(path)
    assert load_official(path, num_attention_heads=3).config.num_attention_heads == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"v.pos_embed": None}, "the checkpoint lacks v.pos_embed"),
        ({"v.blocks.1.norm1.weight": None}, "ssast.layers.1.norm1.weight is missing"),
        ({"fc.weight": torch.zeros(3)}, "1 parameter names belong to no known layout: fc.weight"),
        ({"mask_embed": torch.zeros(1, 1, 3)}, r"mask_token is \(1, 1, 3\) instead of \(1, 1, 64\)"),
    ],
)
def test_files_that_do_not_fit_are_refused(changes, message, tmp_path):
    path = write(tmp_path / "SSAST.pth", build(SsastForPreTraining, PRETRAINED["patch"]), **changes)
    with pytest.raises(ValueError, match=message):
        load_official(path)


def test_positions_of_no_known_stride_are_refused(tmp_path):
    config = SsastConfig.patch(**SIZES, patch_stride=(10, 13), position_grid=(5, 9), num_labels=3)
    path = write(tmp_path / "best_audio_model.pth", build(SsastForAudioClassification, config))
    with pytest.raises(ValueError, match="v.pos_embed has 45 patches, which 12 or 8 frequency patches do not divide"):
        load_official(path)
