import pytest
import torch

from modeling_sslam.layers_efficientnet import (
    ChannelGate,
    EfficientNetSizes,
    InvertedBottleneck,
    build_efficientnet,
    efficientnet_sizes,
    scaled_channels,
)
from modeling_sslam.layers_masked_conv import Window, centred


def test_padding_is_that_of_the_nominal_input():
    """Spec section 9: symmetric in the stem and the second stage, more behind in the third, fourth and sixth."""
    sizes = efficientnet_sizes("b0", 1.0, 221)
    first = [windows[0] for windows in sizes.block_windows]
    paddings = [(window.before, window.after) for window in (sizes.stem_window, *first)]
    assert paddings == [(1, 1), (1, 1), (1, 1), (1, 2), (0, 1), (2, 2), (1, 2), (1, 1)]
    assert all(window.before == window.after for windows in sizes.block_windows for window in windows[1:])
    assert efficientnet_sizes("b0", 1.0, 224).stem_window == Window(3, 2, 0, 1)


def test_whoever_pads_otherwise_passes_other_windows():
    """As front ends do that pad as for the size at hand."""
    fixed = efficientnet_sizes("b0", 1 / 40, 221)
    windows = tuple(tuple(centred(window.kernel, window.stride) for window in stage) for stage in fixed.block_windows)
    fields = {name: getattr(fixed, name) for name in ("channels", "depths", "windows", "branch_channels")}
    sizes = EfficientNetSizes(**fields, stem_window=centred(3, 2), block_windows=windows)
    _, stages = build_efficientnet(sizes, 0.0)
    assert stages[3].blocks[0].depthwise.convolution.padding == (1, 1)


@pytest.mark.parametrize(
    ("channels", "scale", "scaled"),
    [(32, 1.0, 32), (24, 1.1, 24), (32, 1.1, 32), (1280, 1.1, 1408), (16, 0.1, 8), (40, 1.4, 56), (18, 1.0, 24)],
)
def test_channels_are_multiples_of_eight_and_never_below_nine_tenths(channels, scale, scaled):
    assert scaled_channels(channels, scale) == scaled


@pytest.mark.parametrize(
    ("size", "depths", "last"),
    [("b0", (1, 2, 2, 3, 3, 4, 1), 1280), ("b1", (2, 3, 3, 4, 4, 5, 2), 1280), ("b7", (4, 7, 7, 10, 10, 13, 4), 2560)],
)
def test_sizes_are_those_of_the_paper(size, depths, last):
    sizes = efficientnet_sizes(size, 1.0, 221)
    assert sizes.depths == depths
    assert sizes.channels[-1] == last
    assert len(sizes.channels) == 8


def test_a_gate_hears_the_real_cells_of_a_whole_clip(generator):
    torch.manual_seed(0)
    gate = ChannelGate(4, 2)
    maps, num_real = torch.randn(2, 4, 3, 8, generator=generator), torch.tensor([8, 5])
    gated = gate(maps, num_real)
    torch.testing.assert_close(gated[1, ..., :5], gate(maps[1:, ..., :5])[0])
    means = maps[:1].mean(dim=(2, 3), keepdim=True)
    weights = gate.expand(torch.nn.functional.silu(gate.reduce(means))).sigmoid()
    torch.testing.assert_close(gated[:1], weights * maps[:1])


@pytest.mark.parametrize("window", [centred(3), Window(5, 2, 1, 2), Window(3, 2, 0, 1)])
def test_a_block_makes_of_a_padded_clip_what_it_makes_of_it_alone(window, generator):
    torch.manual_seed(0)
    block = InvertedBottleneck(8, 8, 6, window, 0.0).eval()
    maps, num_real = torch.randn(2, 8, 9, 14, generator=generator), torch.tensor([14, 7])
    with torch.no_grad():
        made, lengths = block(maps, num_real)
        alone, _ = block(maps[1:, ..., :7])
    assert lengths[1] == alone.shape[3]
    torch.testing.assert_close(made[1, ..., : lengths[1]], alone[0], rtol=0, atol=1e-6)


def test_shortcuts_are_where_the_shape_stays():
    assert InvertedBottleneck(8, 8, 6, centred(3), 0.0).has_shortcut
    assert not InvertedBottleneck(8, 8, 6, centred(3, 2), 0.0).has_shortcut
    assert not InvertedBottleneck(8, 16, 6, centred(3), 0.0).has_shortcut
    assert InvertedBottleneck(8, 16, 1, centred(3), 0.0).expansion is None


def test_stochastic_depth_rises_in_even_steps_and_leaves_out_whole_branches(generator):
    _, stages = build_efficientnet(efficientnet_sizes("b0", 1 / 40, 221), 0.2)
    rates = [block.drop_path.rate for stage in stages for block in stage.blocks]
    assert rates == pytest.approx([0.2 * index / 16 for index in range(16)])
    block = InvertedBottleneck(8, 8, 6, centred(3), 1 - 1e-6).train()
    maps = torch.randn(3, 8, 4, 4, generator=generator)
    torch.testing.assert_close(block(maps)[0], maps)


def test_norms_have_the_statistics_of_the_reference():
    stem, stages = build_efficientnet(efficientnet_sizes("b0", 1 / 40, 221), 0.0)
    norms = [
        module for part in (stem, *stages) for module in part.modules() if isinstance(module, torch.nn.BatchNorm2d)
    ]
    assert len(norms) == 49
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
