"""Classifiers on the encoders of official checkpoints, and checkpoints that are not there."""

import pathlib

import pytest
import torch

from modeling_sslam import SpectrogramCnnConfig, SpectrogramCnnForAudioClassification, SsastConfig, SsastForPreTraining
from modeling_sslam.official.spectrogram_cnn import our_name
from tests.modeling_sslam.official.test_ssast import write as write_ssast
from training.run.classifier import build_classifier, read_config
from training.settings.finetuning import ClassifierArguments

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
CLASSES = ["dog", "rain", "sea"]


def official_names() -> list[str]:
    """Of a CIFAR-ResNet with one block a stage."""
    parts = [("conv1", "bn1"), *((f"layer{n}.0.conv{k}", f"layer{n}.0.bn{k}") for n in (1, 2, 3) for k in (1, 2))]
    names = [name for conv, norm in parts for name in (f"{conv}.weight", *(f"{norm}.{kind}" for kind in NORM))]
    return [*names, "linear.weight", "linear.bias"]


def write_cnn(path: pathlib.Path) -> SpectrogramCnnForAudioClassification:
    """A checkpoint of Lightning, with as many classes as the run below has, and the model that it holds."""
    torch.manual_seed(0)
    config = SpectrogramCnnConfig(architecture="cifar-resnet8", num_labels=len(CLASSES))
    model = SpectrogramCnnForAudioClassification(config)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    weights = model.state_dict()
    torch.save({"state_dict": {f"net.{name}": weights[our_name(config, name)] for name in official_names()}}, path)
    return model


def build(**fields) -> torch.nn.Module:
    arguments = ClassifierArguments(**fields)
    return build_classifier(arguments, read_config(arguments), CLASSES, multi_label=False)


def test_official_network_keeps_its_encoder_and_gets_a_new_classifier(tmp_path):
    official = write_cnn(tmp_path / "mAP=0.56.ckpt")
    model = build(init_from=str(tmp_path / "mAP=0.56.ckpt"))
    assert model.config.architecture == "cifar-resnet8"
    assert list(model.config.id2label.values()) == CLASSES
    for name, weight in model.encoder.state_dict().items():
        assert torch.equal(weight, official.encoder.state_dict()[name]), name
    assert model.classifier.dense.weight.shape == official.classifier.dense.weight.shape
    assert not torch.equal(model.classifier.dense.weight, official.classifier.dense.weight)


@pytest.mark.parametrize("head", ["own", "weighted_layers"])
def test_official_pretrained_transformer(tmp_path, head):
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 96}
    official = SsastForPreTraining(SsastConfig.patch(**sizes, position_grid=(6, 8)))
    write_ssast(tmp_path / "SSAST.pth", official)
    model = build(init_from=str(tmp_path / "SSAST.pth"), head=head, options={"patch_stride": [10, 10]})
    for name, weight in model.base_model.state_dict().items():
        assert torch.equal(weight, official.ssast.state_dict()[name]), name
    assert tuple(model.config.patch_stride) == (10, 10)


@pytest.mark.parametrize("head", ["own", "weighted_layers"])
def test_classifier_of_as_many_classes_keeps_its_encoder_and_gets_a_new_head(tmp_path, head):
    torch.manual_seed(0)
    trained = SpectrogramCnnForAudioClassification(
        SpectrogramCnnConfig(architecture="cifar-resnet8", num_labels=len(CLASSES))
    )
    trained.save_pretrained(tmp_path)
    model = build(init_from=str(tmp_path), head=head)
    for name, weight in model.base_model.state_dict().items():
        assert torch.equal(weight, trained.encoder.state_dict()[name]), name
    if head == "own":
        assert not torch.equal(model.classifier.dense.weight, trained.classifier.dense.weight)


def test_fields_that_change_the_encoder_of_a_folder_of_ours(tmp_path):
    SpectrogramCnnForAudioClassification(SpectrogramCnnConfig(architecture="cifar-resnet8")).save_pretrained(tmp_path)
    wider = {"width_multiplier": 2.0, "hidden_size": None}
    with pytest.raises(ValueError, match="the encoder of .* does not fit the fields of section model: "):
        build(init_from=str(tmp_path), options=wider)
    deeper = {"architecture": "cifar-resnet14"}
    with pytest.raises(ValueError, match="the encoder of .* does not fit the fields of section model: "):
        build(init_from=str(tmp_path), options=deeper)


def test_fields_that_change_the_encoder(tmp_path):
    write_cnn(tmp_path / "model.pth")
    with pytest.raises(ValueError, match=r"model\.pth does not fit the fields of section model: .*\n\tsize mismatch"):
        build(init_from=str(tmp_path / "model.pth"), options={"width_multiplier": 0.5, "hidden_size": None})
    with pytest.raises(ValueError, match="unknown field of section model: depth; see SpectrogramCnnConfig"):
        build(init_from=str(tmp_path / "model.pth"), options={"depth": 3})


def test_a_file_that_is_not_there_is_no_training_from_scratch(tmp_path):
    with pytest.raises(ValueError, match=r"model\.init_from is '.*gone\.pth': there is no such file"):
        build(init_from=str(tmp_path / "gone.pth"))
    with pytest.raises(ValueError, match=r"model\.init_from is '.*gone': there is no such file, folder or repository"):
        build(init_from=str(tmp_path / "gone"))


def test_a_file_of_something_else(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth is not one of the official layouts: it holds weight"):
        build(init_from=str(tmp_path / "other.pth"))
