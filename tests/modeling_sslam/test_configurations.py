"""Fields, derived sizes and checks of the configurations; what is EAT's and MW-MAE's own has files of its own."""

import copy
import json

import pytest
from transformers import AutoConfig

from modeling_sslam import AxlstmConfig, SsamConfig, SsastConfig, SsastMaeConfig, SslamConfig
from modeling_sslam.configuration_audio_encoder import check_choice, check_divides
from modeling_sslam.configuration_patches import check_whole_patches, pair
from tests.families import FAMILIES

TRANSFORMER = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "num_mel_bins": 32}
SQUARE = ("sslam", "eat", "ssast patch")


@pytest.fixture(params=FAMILIES)
def config(request):
    return copy.deepcopy(FAMILIES[request.param].config)


@pytest.mark.parametrize(("value", "sizes"), [(16, (16, 16)), ([2, 128], (2, 128)), ((4, 16), (4, 16))])
def test_a_pair_is_time_before_frequency_and_one_number_a_square(value, sizes):
    assert pair("patch_size", value) == sizes


@pytest.mark.parametrize("value", [0, -1, (16,), (0, 16), (16, -1), (4, 16, 1), ()])
def test_what_is_no_pair_is_refused(value):
    with pytest.raises(ValueError, match="patch_size is .*: expected two positive numbers, time before frequency"):
        pair("patch_size", value)


def test_checks_name_what_they_compare():
    config = SslamConfig()
    check_divides(config, hidden_size="num_attention_heads", intermediate_size="hidden_size")
    with pytest.raises(ValueError, match="hidden_size 768 is not a multiple of max_time_patches 500"):
        check_divides(SslamConfig(max_time_patches=500), hidden_size="max_time_patches")
    check_choice(config, "pooling", ("mean", "cls"))
    with pytest.raises(ValueError, match="pooling is 'cls': choose one of mean, attentive"):
        check_choice(config, "pooling", ("mean", "attentive"))
    check_whole_patches(SsastConfig(num_mel_bins=32), "hidden_size", "num_mel_bins")
    with pytest.raises(ValueError, match="num_hidden_layers 12 is not a multiple of the 16 of a patch"):
        check_whole_patches(SsastConfig(), "num_hidden_layers", "num_mel_bins")
    with pytest.raises(ValueError, match="num_hidden_layers 12 is not a multiple of the 16 of a patch"):
        check_whole_patches(SsastConfig(), "hidden_size", "num_hidden_layers")


def test_steps_and_frames_of_patches_end_to_end():
    config = SslamConfig()
    assert (config.time_stride, config.step_frames, config.num_frequency_patches) == (16, 16, 8)
    assert config.seconds_per_step == pytest.approx(0.16)
    assert [config.num_steps(frames) for frames in (0, 15, 16, 31, 32, 1024)] == [0, 0, 1, 1, 2, 64]
    assert [config.frames_of(steps) for steps in (1, 2, 64)] == [16, 32, 1024]
    assert config.num_patches(1024) == 512


def test_steps_and_frames_of_patches_that_overlap():
    """As in fine-tuned SSAST: 16 frames x 16 bins, ten apart."""
    config = SsastConfig(patch_stride=(10, 10))
    assert (config.time_stride, config.step_frames, config.num_frequency_patches) == (10, 16, 12)
    assert config.seconds_per_step == pytest.approx(0.1)
    assert [config.num_steps(frames) for frames in (15, 16, 25, 26, 1024)] == [0, 1, 1, 2, 101]
    assert [config.frames_of(steps) for steps in (1, 2, 101)] == [16, 26, 1016]
    assert config.num_patches(1024) == 1212


def test_steps_of_frames_with_another_shift():
    assert SsastMaeConfig(frame_shift_ms=5).seconds_per_step == pytest.approx(0.02)
    assert SsastMaeConfig(frame_shift_ms=12.5).extractor_fields() == {"num_mel_bins": 80, "frame_shift_ms": 12.5}


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        (SslamConfig(), 768 * 16),
        (SsastConfig(), None),
        (SsastConfig(position_fit="start"), 1024),
        (SsastConfig(position_fit="start", patch_stride=(10, 10), position_grid=(101, 12)), 1016),
        (SsamConfig(), None),
        (AxlstmConfig(), None),
        (SsastMaeConfig(), None),
    ],
)
def test_the_longest_clip_is_where_positions_end(config, longest):
    assert config.longest_clip == longest
    assert config.positions_depend_on_length is (type(config) is SsastConfig and config.position_fit == "centre")


@pytest.mark.parametrize(
    ("config", "num_special", "has_class_token"),
    [
        (SslamConfig(), 1, True),
        (SsastConfig(), 2, True),
        (SsastMaeConfig(), 0, True),
        (SsastMaeConfig(use_class_token=False), 0, False),
        (AxlstmConfig(), 0, True),
        (SsamConfig(), 0, False),  # in one direction the class token hears nothing
        (SsamConfig(bidirectional=True), 0, True),
        (SsamConfig(bidirectional=True, use_class_token=False), 0, False),
    ],
)
def test_special_tokens(config, num_special, has_class_token):
    assert (config.num_special_tokens, config.has_class_token) == (num_special, has_class_token)


def test_windows_of_the_protocols_of_hear():
    assert (SslamConfig.window_frames, SslamConfig.window_padding, SslamConfig.token_grouping) == (
        None,
        "masked",
        "time",
    )
    assert (SsamConfig().window_frames, SsamConfig.window_padding, SsamConfig().token_grouping) == (
        200,
        "zeros",
        "reference",
    )


def test_published_sizes():
    assert [SsamConfig.tiny().hidden_size, SsamConfig.small().hidden_size, SsamConfig.base().hidden_size] == [
        192,
        384,
        768,
    ]
    assert SsastMaeConfig.small(num_hidden_layers=3).num_hidden_layers == 3
    frame = SsastConfig.frame("small", num_labels=5)
    assert (frame.hidden_size, frame.patch_size, frame.position_grid, frame.num_labels) == (384, (2, 128), (512, 1), 5)
    with pytest.raises(ValueError, match="Unknown size 'huge': expected one of tiny, small, base"):
        SsastConfig.patch("huge")


def test_a_configuration_survives_json(config, tmp_path):
    """Tuples come back as tuples."""
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is type(config)
    assert loaded.to_dict() == config.to_dict() | {"_name_or_path": str(tmp_path)}
    assert loaded.auto_map == config.auto_classes


def test_the_file_of_an_older_version_loads_and_is_saved_without_what_is_gone(config, tmp_path):
    """How patches are masked is said by objectives now, and a patch has two sides everywhere."""
    wanted = config.to_dict()
    config.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    fields = json.loads(file.read_text()) | {"mask_ratio": 0.8, "masking": "timestep"}
    if len(set(wanted.get("patch_size", ()))) == 1:
        fields["patch_size"] = wanted["patch_size"][0]
    file.write_text(json.dumps(fields))
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert not hasattr(loaded, "mask_ratio")
    assert not hasattr(loaded, "masking")
    assert getattr(loaded, "patch_size", None) == getattr(config, "patch_size", None)
    loaded.save_pretrained(tmp_path / "again")
    saved = json.loads((tmp_path / "again" / "config.json").read_text())
    assert not {"mask_ratio", "masking"} & saved.keys()
    assert saved.get("patch_size", wanted.get("patch_size")) == wanted.get("patch_size")


@pytest.mark.parametrize("name", SQUARE)
def test_a_square_patch_may_be_one_number(name):
    config = FAMILIES[name].config
    assert type(config)(**config.to_dict() | {"patch_size": 8}).patch_size == (8, 8)
    assert config.patch_size == (16, 16)


@pytest.mark.parametrize(
    ("config_class", "fields", "message"),
    [
        (SslamConfig, {"num_attention_heads": 5}, "hidden_size 32 is not a multiple of num_attention_heads 5"),
        (SslamConfig, {"num_mel_bins": 100}, "num_mel_bins 100 is not a multiple of .*16"),
        (SslamConfig, {"pooling": "max"}, "pooling is 'max': choose one of cls, mean, attentive, linear_softmax"),
        (SslamConfig, {"patch_size": (16, 64)}, r"patch_size \(16, 64\) has more mel bins than num_mel_bins 32"),
        (SsastConfig, {"patch_size": (16,)}, r"patch_size is \(16,\): expected two positive numbers, time before"),
        (SsastConfig, {"patch_stride": (0, 16)}, r"patch_stride is \(0, 16\): expected two positive numbers"),
        (SsastConfig, {"position_grid": (8,)}, r"position_grid is \(8,\): expected two positive numbers"),
        (SsastConfig, {"hidden_size": 34}, "hidden_size 34 is not a multiple of num_attention_heads 4"),
        (SsastConfig, {"patch_size": (2, 64)}, r"patch_size \(2, 64\) has more mel bins than num_mel_bins 32"),
        (SsastConfig, {"pooling": "max"}, "pooling is 'max': choose one of cls, mean, attentive, linear_softmax"),
        (SsastConfig, {"position_fit": "end"}, "position_fit is 'end': choose one of centre, start"),
        (SsastMaeConfig, {"patch_size": (4, 12)}, "num_mel_bins 32 is not a multiple of the 12 of a patch"),
        (SsastMaeConfig, {"patch_size": (4,)}, r"patch_size is \(4,\): expected two positive numbers"),
        (SsastMaeConfig, {"window_frames": 50}, "window_frames 50 is not a multiple of the 4 of a patch"),
        (SsastMaeConfig, {"hidden_size": 30, "num_attention_heads": 3}, "hidden_size 30 is not a multiple of 4"),
        (SsastMaeConfig, {"token_grouping": "frequency"}, "token_grouping is 'frequency': choose one of reference"),
        (SsastMaeConfig, {"num_attention_heads": 5}, "hidden_size 32 is not a multiple of num_attention_heads 5"),
        (
            SsastMaeConfig,
            {"prediction_hidden_size": 100},
            "prediction_hidden_size 100 is not a multiple of prediction",
        ),
        (SsastMaeConfig, {"use_class_token": False, "pooling": "cls"}, "pooling is 'cls': choose one of mean"),
    ],
)
def test_a_transformer_that_does_not_fit_is_refused(config_class, fields, message):
    with pytest.raises(ValueError, match=message):
        config_class(**(TRANSFORMER | fields))


@pytest.mark.parametrize(
    ("config_class", "fields", "message"),
    [
        (SsamConfig, {"state_size": 0}, "state_size is 0: expected at least 1"),
        (SsamConfig, {"time_step_rank": -1}, "time_step_rank is -1"),
        (SsamConfig, {"pooling": "cls"}, "pooling is 'cls': choose one of mean, attentive, linear_softmax"),
        (AxlstmConfig, {"num_cell_heads": 0}, "num_cell_heads is 0: expected at least 1"),
        (AxlstmConfig, {"num_cell_heads": 7}, "expand x hidden_size is 64, not a multiple of num_cell_heads 7"),
        (AxlstmConfig, {"projection_block_size": 5}, "not a multiple of projection_block_size 5"),
    ],
)
def test_a_recurrent_model_that_does_not_fit_is_refused(config_class, fields, message):
    with pytest.raises(ValueError, match=message):
        config_class(**({"hidden_size": 32, "num_mel_bins": 32} | fields))


def test_rank_of_the_time_steps_is_a_sixteenth_of_the_width_rounded_up():
    assert [SsamConfig(hidden_size=size).time_step_rank for size in (16, 20, 768)] == [1, 2, 48]
    assert SsamConfig(time_step_rank=7).time_step_rank == 7
    assert (SsamConfig().inner_size, AxlstmConfig().inner_size) == (3 * 768, 2 * 768)
