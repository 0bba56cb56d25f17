"""ResNets against those of transformers, whose blocks they are made of; parity with the official code is golden."""

import pytest
import torch
from torch import nn
from transformers import ResNetConfig, ResNetForImageClassification

from modeling_sslam import SpectrogramCnnConfig, SpectrogramCnnForAudioClassification
from modeling_sslam.layers_masked_conv import CnnStage
from modeling_sslam.layers_resnet import (
    BasicBlock,
    BottleneckBlock,
    CifarBlock,
    ZeroPaddedShortcut,
    cifar_resnet_sizes,
    resnet_sizes,
    resnet_stages,
)

# (their names, ours)
NAMES = (
    ("resnet.embedder.", "encoder.stem."),
    ("resnet.encoder.stages.", "encoder.layers."),
    (".layers.", ".blocks."),
    ("classifier.1.", "classifier.dense."),
)


def our_name(name: str) -> str:
    for theirs, ours in NAMES if "stages" in name else (*NAMES[:2], NAMES[3]):
        name = name.replace(theirs, ours)
    return name.replace("encoder.blocks.", "encoder.layers.")


@pytest.mark.parametrize(("architecture", "layer_type"), [("resnet18", "basic"), ("resnet50", "bottleneck")])
@pytest.mark.parametrize("training", [False, True])
def test_logits_are_exactly_those_of_transformers(architecture, layer_type, training, generator):
    torch.manual_seed(0)
    ours = SpectrogramCnnForAudioClassification(
        SpectrogramCnnConfig(architecture=architecture, width_multiplier=1 / 8, num_frequency_bins=65, num_labels=5)
    )
    sizes = ours.config.sizes
    theirs = ResNetForImageClassification(
        ResNetConfig(
            num_channels=1,
            embedding_size=sizes.channels[0],
            hidden_sizes=list(sizes.channels[1:]),
            depths=list(sizes.depths),
            layer_type=layer_type,
            num_labels=5,
        )
    )
    state = theirs.state_dict()
    for name, tensor in state.items():
        if name.endswith(("running_mean", "running_var")):
            tensor.copy_(1 + torch.rand(tensor.shape, generator=generator))
    ours.load_state_dict({our_name(name): tensor for name, tensor in state.items()})
    clips = 15 * torch.randn(2, 70, 65, generator=generator)
    ours.train(training)
    theirs.train(training)
    with torch.no_grad():
        wanted = theirs(clips.transpose(1, 2)[:, None]).logits
        torch.testing.assert_close(ours(clips).logits, wanted, rtol=0, atol=0)
    torch.testing.assert_close(
        ours.state_dict(), {our_name(name): tensor for name, tensor in theirs.state_dict().items()}, rtol=0, atol=0
    )


def test_a_shortcut_without_parameters_by_hand():
    maps = torch.arange(2.0 * 3 * 4).view(1, 2, 3, 4)
    made = ZeroPaddedShortcut(2, 5, 2)(maps)
    assert made.shape == (1, 5, 2, 2)
    assert made[0, [0, 3, 4]].count_nonzero() == 0
    assert made[0, 1].tolist() == [[0, 2], [8, 10]]
    assert made[0, 2].tolist() == [[12, 14], [20, 22]]


def test_a_cifar_block_has_parameters_in_its_convolutions_and_norms_only():
    names = {name.partition(".")[0] for name, _ in CifarBlock(4, 8, 2).named_parameters()}
    assert names == {"layer"}
    assert isinstance(CifarBlock(4, 4).shortcut, nn.Identity)


@pytest.mark.parametrize("make", [BasicBlock, BottleneckBlock, CifarBlock])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_makes_of_a_padded_clip_what_it_makes_of_it_alone(make, stride, generator):
    torch.manual_seed(0)
    block = make(8, 16, stride).eval()
    maps, num_real = torch.randn(2, 8, 9, 15, generator=generator), torch.tensor([15, 8])
    with torch.no_grad():
        made, lengths = block(maps, num_real)
        for row, length in enumerate(num_real.tolist()):
            alone, none = block(maps[row : row + 1, ..., :length])
            assert none is None
            torch.testing.assert_close(made[row, ..., : lengths[row]], alone[0], rtol=0, atol=1e-5)
            assert lengths[row] == alone.shape[3]


def test_a_gate_in_the_branch_is_one_method():
    """How attention enters a block: the branch is overridden, and the stages are built of these blocks."""

    class GatedBlock(BasicBlock):
        def branch(self, maps, num_real):
            maps, num_real = super().branch(maps, num_real)
            return 0.0 * maps, num_real

    sizes = resnet_sizes("18", 1 / 16)
    stages = resnet_stages(type(sizes)(sizes.channels, (1,), sizes.windows, block=GatedBlock))
    assert [type(stage) for stage in stages] == [CnnStage]
    maps = torch.rand(1, sizes.channels[0], 4, 4)
    torch.testing.assert_close(stages[0](maps)[0], maps)


def test_widths_are_multiples_of_the_published_ones():
    assert resnet_sizes("50", 1.0).channels == (64, 256, 512, 1024, 2048)
    assert resnet_sizes("34", 0.25).channels == (16, 16, 32, 64, 128)
    assert cifar_resnet_sizes("44", 1.0).channels == (32, 32, 64, 128)
    assert cifar_resnet_sizes("44", 1.0).depths == (7, 7, 7)
    assert resnet_sizes("18", 0.001).channels == (1, 1, 2, 4, 8)


@pytest.mark.parametrize("depth", ["2", "21", "0"])
def test_depths_without_whole_blocks_are_refused(depth):
    with pytest.raises(ValueError, match=rf"CIFAR-ResNet of {depth} layers has no whole blocks: expected 6n \+ 2"):
        cifar_resnet_sizes(depth, 1.0)
