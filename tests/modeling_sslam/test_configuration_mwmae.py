"""Sizes and windows of MW-MAE and MAE."""

import pytest

from modeling_sslam import MwmaeConfig
from modeling_sslam.configuration_mwmae import published_windows
from tests.modeling_sslam.test_modeling_mwmae import PLAIN, TINY


@pytest.mark.parametrize(
    ("num_tokens", "windows"),
    [
        (125, (5, 25, 0, 0)),
        (250, (2, 5, 10, 25, 50, 125, 0, 0)),
        (500, (2, 4, 5, 10, 20, 25, 50, 100, 125, 250, 0, 0)),
        (640, (2, 4, 5, 8, 10, 16, 20, 32, 40, 64, 80, 128, 160, 320, 0, 0)),
    ],
)
def test_published_rule_gives_the_published_windows(num_tokens, windows):
    assert published_windows(num_tokens) == windows


@pytest.mark.parametrize(
    ("patch_size", "heads"), [((8, 16), 4), ((4, 16), 8), ((8, 8), 8), ((4, 8), 12), ((5, 5), 16)]
)
def test_decoder_has_the_heads_of_the_published_rule_also_without_windows(patch_size, heads):
    assert len(MwmaeConfig(patch_size=patch_size).decoder_window_sizes) == heads
    assert MwmaeConfig(patch_size=patch_size, **PLAIN).decoder_window_sizes == (0,) * heads


def test_configuration_survives_json(tmp_path):
    config = MwmaeConfig(**TINY)
    config.save_pretrained(tmp_path)
    assert MwmaeConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"decoder_window_sizes": (3, 0)}, r"\(3, 0\) do not all divide 20 tokens \(20 patches\)"),
        ({"use_class_token": True, "decoder_window_sizes": (5, 0)}, "21 tokens .20 patches and a class token"),
        ({"encoder_window_sizes": (3, 0)}, "encoder_window_sizes"),
        ({"decoder_window_sizes": (2, 0), "decoder_num_attention_heads": 3}, "2 windows for 3 attention heads"),
        ({"decoder_hidden_size": 26}, "decoder_hidden_size 26 is not a multiple"),
        ({"hidden_size": 18}, "multiple of 4, not 18"),
        ({"window_frames": 42}, "window_frames 42 is not a multiple of the 4"),
        ({"num_mel_bins": 30}, "num_mel_bins 30 is not a multiple of the 16"),
        ({"patch_size": (4, 16, 1)}, "patch_size"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        MwmaeConfig(**(TINY | fields))
