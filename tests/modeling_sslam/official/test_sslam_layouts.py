"""Names of the official layouts of SSLAM and EAT, and ours."""

import pytest
import torch

from modeling_sslam.official.sslam_layouts import official_to_ours, ours_to_official_hub, split_teacher


def test_names_are_renamed_as_published():
    names = {
        "model.modality_encoders.IMAGE.context_encoder.norm.weight": "sslam.embeddings.norm.weight",
        "model.pre_norm.bias": "sslam.embeddings.norm.bias",
        "modality_encoders.IMAGE.extra_tokens": "sslam.embeddings.class_token",
        "blocks.11.attn.proj.bias": "sslam.layers.11.attention.out_proj.bias",
        "modality_encoders.IMAGE.decoder.blocks.3.0.weight": "decoder.layers.3.conv.weight",
        "model.fc_norm.weight": "classifier.norm.weight",
        "head.bias": "classifier.dense.bias",
    }
    assert list(official_to_ours(dict.fromkeys(names, torch.ones(1)))) == list(names.values())


def test_hub_variant_is_checked(teacher):
    with pytest.raises(ValueError, match="variant must be 'pretrain' or 'finetune', got 'both'"):
        ours_to_official_hub(teacher.state_dict(), "both")


def test_split_without_teacher():
    assert split_teacher({"a": 1}) == ({"a": 1}, None)
