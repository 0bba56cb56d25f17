"""Official layouts to folders of ours, and back."""

import json
import pathlib
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, AutoModelForPreTraining

import tests.contracts
from modeling_sslam import SslamConfig, SslamForAudioClassification, SslamModel
from modeling_sslam.audioset_labels import AUDIOSET_LABELS
from modeling_sslam.convert_checkpoints import convert_to_hub, convert_to_ours
from modeling_sslam.official.checkpoints import load_official
from modeling_sslam.official.sslam_layouts import ours_to_official_hub
from tests.modeling_sslam.official.sslam_files import (
    PLAIN_CFG,
    SIZES,
    finetuned_weights,
    pretrained_weights,
    same,
    write_hub_folder,
)

FORMER_CHECKPOINTS = pathlib.Path(tests.contracts.__file__).parent / "checkpoints"


def test_fairseq_pretrained_becomes_a_folder(student, teacher, tmp_path):
    source, target = tmp_path / "checkpoint.pt", tmp_path / "ours"
    torch.save({"cfg": PLAIN_CFG, "model": pretrained_weights(student, teacher, nested=True)}, source)
    convert_to_ours(source, target)
    model = AutoModelForPreTraining.from_pretrained(target)
    assert same(model.state_dict(), student.state_dict())
    assert same(load_file(target / "teacher.safetensors"), teacher.state_dict())
    extractor = AutoFeatureExtractor.from_pretrained(target)
    assert (extractor.mean, extractor.std, extractor.target_length) == (-4.268, 4.569, 1024)


def test_fairseq_finetuned(classifier, tmp_path):
    cfg = {"model": {"_name": "mae_image_classification", "pretrained_model_args": PLAIN_CFG}}
    torch.save({"cfg": cfg, "model": finetuned_weights(classifier)}, tmp_path / "checkpoint_best.pt")
    convert_to_ours(tmp_path / "checkpoint_best.pt", tmp_path / "ours")
    model = AutoModelForAudioClassification.from_pretrained(tmp_path / "ours").eval()
    assert model.classifier.norm.eps == 1e-6
    assert [model.config.id2label[index] for index in range(527)] == list(AUDIOSET_LABELS)
    assert model.config.problem_type == "multi_label_classification"
    inputs = torch.randn(2, 64, 128)
    with torch.no_grad():
        torch.testing.assert_close(model(inputs).logits, classifier(inputs).logits, rtol=0, atol=0)


def test_hub_finetuned_and_back(classifier, tmp_path):
    hub = write_hub_folder(tmp_path / "hub", classifier, "finetune")
    convert_to_ours(hub, tmp_path / "ours")
    model = AutoModelForAudioClassification.from_pretrained(tmp_path / "ours")
    assert model.classifier.norm.eps == 1e-5
    assert same(model.state_dict(), classifier.state_dict())
    convert_to_hub(tmp_path / "ours", tmp_path / "back")
    assert same(load_file(tmp_path / "back" / "model.safetensors"), load_file(hub / "model.safetensors"))
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (hub, tmp_path / "back"))
    assert {name: after[name] for name in before} == before
    assert after["id2label"]["525"] == "Radio"


def test_labels_of_our_own_survive_the_hub_layout(tmp_path):
    labels = {0: "rain", 1: "dog", 2: "clock"}
    names = {"id2label": labels, "label2id": {label: index for index, label in labels.items()}}
    config = SslamConfig(**SIZES, **names, problem_type="single_label_classification")
    SslamForAudioClassification(config).save_pretrained(tmp_path / "ours")
    convert_to_hub(tmp_path / "ours", tmp_path / "hub")
    config = load_official(tmp_path / "hub").config
    assert (config.id2label, config.problem_type) == (labels, "single_label_classification")
    assert config.classifier_norm_eps == 1e-6  # not the hub's: written into its configuration
    model = AutoModelForAudioClassification.from_pretrained(tmp_path / "hub")
    assert (model.config.id2label, model.classifier.norm.eps) == (labels, 1e-6)


def test_hub_pretrained_and_back(teacher, tmp_path):
    hub = write_hub_folder(tmp_path / "hub", teacher, "pretrain")
    official = load_official(hub / "model.safetensors")
    assert official.config.num_attention_heads == 3
    assert same(official.weights, teacher.state_dict())
    assert official.teacher is None
    convert_to_ours(hub, tmp_path / "ours")
    assert same(SslamModel.from_pretrained(tmp_path / "ours").state_dict(), teacher.state_dict())
    convert_to_hub(tmp_path / "ours", tmp_path / "back")
    assert same(load_file(tmp_path / "back" / "model.safetensors"), load_file(hub / "model.safetensors"))


def test_converted_folder_goes_to_the_hub_without_decoder(student, teacher, tmp_path):
    torch.save({"cfg": PLAIN_CFG, "model": pretrained_weights(student, teacher, nested=True)}, tmp_path / "last.pt")
    convert_to_ours(tmp_path / "last.pt", tmp_path / "ours")
    convert_to_hub(tmp_path / "ours", tmp_path / "hub")
    want = ours_to_official_hub(student.sslam.state_dict(), "pretrain")
    assert same(load_file(tmp_path / "hub" / "model.safetensors"), want)


def test_command_line(classifier, tmp_path):
    hub = write_hub_folder(tmp_path / "hub", classifier, "finetune")
    command = [sys.executable, "-m", "modeling_sslam.convert_checkpoints", str(hub), str(tmp_path / "ours")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "wrote SslamForAudioClassification" in done.stderr


def test_only_folders_of_ours_go_to_the_hub(classifier, tmp_path):
    hub = write_hub_folder(tmp_path / "hub", classifier, "finetune")
    with pytest.raises(ValueError, match="no saved SSLAM model: the model_type there is 'eat'"):
        convert_to_hub(hub, tmp_path / "again")


def test_pooled_patches_do_not_go_to_the_hub(tmp_path):
    SslamForAudioClassification(SslamConfig(**SIZES, pooling="mean")).save_pretrained(tmp_path / "ours")
    with pytest.raises(ValueError, match="pooling is 'mean': the hub's code classifies the class token only"):
        convert_to_hub(tmp_path / "ours", tmp_path / "hub")


def test_a_classifier_of_version_01_goes_to_the_hub(tmp_path):
    """Its head had other names."""
    convert_to_hub(FORMER_CHECKPOINTS / "sslam_clips", tmp_path / "hub")
    model = AutoModelForAudioClassification.from_pretrained(FORMER_CHECKPOINTS / "sslam_clips")
    want = ours_to_official_hub(model.state_dict(), "finetune")
    assert same(load_file(tmp_path / "hub" / "model.safetensors"), want)


def test_a_frame_classifier_does_not_go_to_the_hub(tmp_path):
    """The hub's code has no such head."""
    with pytest.raises(ValueError, match="belong to no known layout: frame_classifier.dense.bias"):
        convert_to_hub(FORMER_CHECKPOINTS / "sslam_frames", tmp_path / "hub")
