"""What is inferred from official state dicts of GISE-51's networks, whose names are spelled out here."""

import itertools

import pytest
import torch

from modeling_sslam import SpectrogramCnnConfig, SpectrogramCnnForAudioClassification
from modeling_sslam.convert_checkpoints import convert_to_ours
from modeling_sslam.gise51_labels import GISE51_LABELS
from modeling_sslam.official.checkpoints import load_official
from modeling_sslam.official.spectrogram_cnn import infer_config, our_name

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def with_norm(convolution: str, norm: str) -> list[str]:
    return [f"{convolution}.weight", *(f"{norm}.{kind}" for kind in NORM)]


def resnet_names(depths: tuple[int, ...], convolutions: int, classifier: str, downsampled: set[int]) -> list[str]:
    """In the order of the official state dict."""
    names = with_norm("conv1", "bn1")
    for stage, depth in enumerate(depths, start=1):
        for block in range(depth):
            prefix = f"layer{stage}.{block}"
            for number in range(1, convolutions + 1):
                names += with_norm(f"{prefix}.conv{number}", f"{prefix}.bn{number}")
            if block == 0 and stage in downsampled:
                names += with_norm(f"{prefix}.downsample.0", f"{prefix}.downsample.1")
    return [*names, f"{classifier}.weight", f"{classifier}.bias"]


def densenet_names(depths: tuple[int, ...]) -> list[str]:
    names = with_norm("features.conv0", "features.norm0")
    for stage, depth in enumerate(depths, start=1):
        for layer, number in itertools.product(range(1, depth + 1), (1, 2)):
            prefix = f"features.denseblock{stage}.denselayer{layer}"
            names += with_norm(f"{prefix}.conv{number}", f"{prefix}.norm{number}")
        if stage < len(depths):
            names += with_norm(f"features.transition{stage}.conv", f"features.transition{stage}.norm")
    return [*names, *(f"features.norm5.{kind}" for kind in NORM), "classifier.weight", "classifier.bias"]


def efficientnet_names(num_blocks: int, without_expansion: int) -> list[str]:
    names = with_norm("_conv_stem", "_bn0")
    for block in range(num_blocks):
        prefix = f"_blocks.{block}."
        if block >= without_expansion:
            names += with_norm(f"{prefix}_expand_conv", f"{prefix}_bn0")
        names += with_norm(f"{prefix}_depthwise_conv", f"{prefix}_bn1")
        names += [f"{prefix}_se_{part}.{kind}" for part in ("reduce", "expand") for kind in ("weight", "bias")]
        names += with_norm(f"{prefix}_project_conv", f"{prefix}_bn2")
    return [*names, *with_norm("_conv_head", "_bn1"), "_fc.weight", "_fc.bias"]


OFFICIAL_NAMES = {
    "resnet18": resnet_names((2, 2, 2, 2), 2, "fc", {2, 3, 4}),
    "resnet34": resnet_names((3, 4, 6, 3), 2, "fc", {2, 3, 4}),
    "resnet50": resnet_names((3, 4, 6, 3), 3, "fc", {1, 2, 3, 4}),
    "cifar-resnet20": resnet_names((3, 3, 3), 2, "linear", set()),
    "cifar-resnet56": resnet_names((9, 9, 9), 2, "linear", set()),
    "densenet121": densenet_names((6, 12, 24, 16)),
    "efficientnet-b0": efficientnet_names(16, 1),
    "efficientnet-b1": efficientnet_names(23, 2),
}


def network(architecture: str, num_labels: int = 3, device: str = "cpu") -> SpectrogramCnnForAudioClassification:
    torch.manual_seed(0)
    config = SpectrogramCnnConfig(architecture=architecture, num_labels=num_labels)
    with torch.device(device):
        return SpectrogramCnnForAudioClassification(config).eval()


def to_official(model: SpectrogramCnnForAudioClassification) -> dict[str, torch.Tensor]:
    state, config = model.state_dict(), model.config
    return {name: state[our_name(config, name)] for name in OFFICIAL_NAMES[config.architecture]}


@pytest.mark.parametrize("architecture", OFFICIAL_NAMES)
def test_names_of_a_network_are_one_to_one_and_tell_it(architecture):
    model = network(architecture, device="meta")
    ours = [our_name(model.config, name) for name in OFFICIAL_NAMES[architecture]]
    assert sorted(ours) == sorted(model.state_dict())
    assert infer_config(to_official(model)).architecture == architecture


@pytest.mark.parametrize("architecture", ["cifar-resnet20", "efficientnet-b0"])
@pytest.mark.parametrize("kind", ["pth", "ckpt"])
def test_a_checkpoint_gives_the_model_back(architecture, kind, tmp_path):
    model = network(architecture)
    for name, buffer in model.named_buffers():
        buffer.add_(7 if name.endswith("num_batches_tracked") else 0.5)
    official, path = to_official(model), tmp_path / f"network.{kind}"
    if kind == "ckpt":
        lightning = {f"net.{name}": tensor for name, tensor in official.items()} | {"loss.weight": torch.ones(3)}
        official = {"epoch": 3, "state_dict": lightning, "optimizer_states": [{"state": {}}], "hyper_parameters": {}}
    torch.save(official, path)
    for source in (path, tmp_path):
        read = load_official(source)
        torch.testing.assert_close(read.build().state_dict(), model.state_dict(), rtol=0, atol=0)
    convert_to_ours(path, tmp_path / "ours")
    ours = SpectrogramCnnForAudioClassification.from_pretrained(tmp_path / "ours")
    torch.testing.assert_close(ours.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("num_labels", "problem_type", "first_label"),
    [
        (51, "multi_label_classification", "Applause"),
        (527, "multi_label_classification", "LABEL_0"),
        (50, None, "LABEL_0"),
    ],
)
def test_a_classifier_has_the_labels_of_its_data_set_where_they_are_known(num_labels, problem_type, first_label):
    config = infer_config(to_official(network("cifar-resnet20", num_labels, device="meta")))
    assert (config.num_labels, config.problem_type, config.id2label[0]) == (num_labels, problem_type, first_label)
    if num_labels == 51:
        assert tuple(config.id2label.values()) == GISE51_LABELS
        assert config.label2id["Zipper_(clothing)"] == 50


def test_unknown_missing_and_misshapen_weights_are_listed(tmp_path):
    official, path = to_official(network("cifar-resnet20")), tmp_path / "network.pth"
    torch.save(official | {"layer1.0.gate.weight": torch.zeros(1), "head.bias": torch.zeros(1)}, path)
    with pytest.raises(
        ValueError, match=r"2 names belong to no layer of cifar-resnet20: layer1\.0\.gate\.weight, head\.bias"
    ):
        load_official(path)
    del official["bn1.bias"]
    official["conv1.weight"] = torch.zeros(32, 1, 3, 3)
    torch.save(official, path)
    with pytest.raises(
        ValueError, match=r"stem\.embedder\.normalization\.bias is missing.*\(32, 1, 3, 3\) instead of \(32, 1, 7, 7\)"
    ):
        load_official(path)


def test_networks_that_were_never_published_are_refused():
    official = to_official(network("resnet18", device="meta"))
    names = [name for name in official if not name.startswith("layer4.1")]
    with pytest.raises(ValueError, match="no published resnet has 7 blocks and 512 channels in the end: .*resnet34"):
        infer_config({name: official[name] for name in names})


def test_an_image_network_of_three_channels_is_none_of_these(tmp_path):
    official = to_official(network("cifar-resnet20")) | {"conv1.weight": torch.zeros(32, 3, 7, 7)}
    torch.save(official, tmp_path / "network.pth")
    with pytest.raises(ValueError, match="is not one of the official layouts: it holds conv1.weight"):
        load_official(tmp_path / "network.pth")
