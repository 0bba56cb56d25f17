"""Fields of the hub's EAT repositories, translated."""

import pytest
from transformers import AutoConfig

from modeling_sslam import EatConfig
from modeling_sslam.configuration_eat import to_hub_config

HUB_CONFIG = {
    "model_type": "eat",
    "architectures": ["EATModel"],
    "auto_map": {"AutoConfig": "configuration_eat.EATConfig", "AutoModel": "modeling_eat.EATModel"},
    "embed_dim": 32,
    "depth": 2,
    "num_heads": 4,
    "patch_size": 16,
    "stride": 16,
    "in_chans": 1,
    "mel_bins": 128,
    "max_length": 8,
    "num_classes": 527,
    "mlp_ratio": 2.0,
    "qkv_bias": True,
    "drop_rate": 0.0,
    "attn_drop_rate": 0.0,
    "activation_dropout": 0.0,
    "post_mlp_drop": 0.0,
    "start_drop_path_rate": 0.0,
    "end_drop_path_rate": 0.0,
    "layer_norm_first": False,
    "norm_eps": 1e-6,
    "norm_affine": True,
    "fixed_positions": True,
    "img_size": [128, 128],
}


def test_fields_are_translated():
    config = EatConfig(**HUB_CONFIG)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (32, 2, 4)
    assert (config.intermediate_size, config.num_mel_bins, config.max_time_patches) == (64, 128, 8)
    assert (config.layer_norm_eps, config.classifier_norm_eps) == (1e-6, 1e-5)


def test_audioset_labels_come_with_527_classes_only():
    config = EatConfig(**HUB_CONFIG)
    assert (config.id2label[0], config.id2label[526]) == ("Speech", "Field recording")
    assert config.label2id["Radio"] == 525
    assert config.problem_type == "multi_label_classification"
    assert EatConfig(**HUB_CONFIG | {"num_classes": 3}).id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert EatConfig(**HUB_CONFIG, num_labels=3).num_labels == 3


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("layer_norm_first", True, "layer_norm_first is True"),
        ("stride", 10, "stride is 10: the encoder supports only 16"),
        ("post_mlp_drop", 0.1, "post_mlp_drop is 0.1"),
        ("model_variant", "both", "model_variant is 'both': choose one of pretrain, finetune"),
    ],
)
def test_an_architecture_that_nobody_released_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        EatConfig(**HUB_CONFIG | {field: value})


def test_config_round_trip(tmp_path):
    config = EatConfig(**HUB_CONFIG)
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is EatConfig
    assert loaded.to_diff_dict() == config.to_diff_dict()


def test_two_labels_survive_a_round_trip(tmp_path):
    """transformers leaves two unnamed labels out of the file; 527 must not take their place."""
    EatConfig(num_labels=2).save_pretrained(tmp_path)
    assert EatConfig.from_pretrained(tmp_path).num_labels == 2


def test_to_hub_config_is_the_inverse():
    config = EatConfig(**HUB_CONFIG, model_variant="finetune")
    fields = to_hub_config(config, "finetune")
    wanted = {name: value for name, value in HUB_CONFIG.items() if name != "img_size"}
    assert {name: fields[name] for name in wanted} == wanted
