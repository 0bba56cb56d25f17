import pytest
import torch

from modeling_sslam.layers_densenet import DenseLayer, Transition, build_densenet, densenet_sizes


def test_a_layer_adds_channels_to_those_it_has(generator):
    layer = DenseLayer(6, 2).eval()
    maps = torch.randn(1, 6, 4, 5, generator=generator)
    with torch.no_grad():
        made, _ = layer(maps)
        assert made.shape == (1, 8, 4, 5)
        assert layer.conv1.out_channels == 8
        torch.testing.assert_close(made[:, :6], maps, rtol=0, atol=0)
        hidden = layer.conv1(layer.norm1(maps).relu())
        torch.testing.assert_close(made[:, 6:], layer.conv2(layer.norm2(hidden).relu()), rtol=0, atol=0)


def test_a_transition_halves_channels_and_sides(generator):
    transition = Transition(6).eval()
    maps = torch.randn(1, 6, 5, 7, generator=generator)
    with torch.no_grad():
        made, _ = transition(maps)
        halved = transition.conv(transition.norm(maps).relu())
    assert made.shape == (1, 3, 2, 3)
    torch.testing.assert_close(made[0, :, 1, 2], halved[0, :, 2:4, 4:6].mean(dim=(1, 2)))


@pytest.mark.parametrize("make", [lambda: DenseLayer(6, 2), lambda: Transition(6)])
def test_a_padded_clip_is_what_it_is_alone(make, generator):
    torch.manual_seed(0)
    layer = make().eval()
    maps, num_real = torch.randn(2, 6, 4, 9, generator=generator), torch.tensor([9, 5])
    with torch.no_grad():
        made, lengths = layer(maps, num_real)
        alone, _ = layer(maps[1:, ..., :5])
    assert lengths[1] == alone.shape[3]
    torch.testing.assert_close(made[1, ..., : lengths[1]], alone[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("depth", "width", "channels"),
    [
        ("121", 1.0, (64, 256, 512, 1024, 1024)),
        ("161", 1.0, (96, 384, 768, 2112, 2208)),
        ("169", 1.0, (64, 256, 512, 1280, 1664)),
        ("201", 1.0, (64, 256, 512, 1792, 1920)),
        ("121", 1 / 16, (4, 16, 32, 64, 64)),
    ],
)
def test_channels_are_those_of_the_paper(depth, width, channels):
    """Table 1: the last map of each network; the others by growth and compression."""
    assert densenet_sizes(depth, width).channels == channels


def test_maps_have_the_channels_that_the_sizes_say(generator):
    sizes = densenet_sizes("121", 1 / 16)
    stem, stages = build_densenet(sizes)
    maps, num_real = stem(torch.randn(1, 1, 33, 64, generator=generator))
    found = [maps.shape[1]]
    for stage in stages:
        maps, num_real = stage(maps, num_real)
        found.append(maps.shape[1])
    assert tuple(found) == sizes.channels
    assert maps.shape[2:] == (1, 2)
    assert maps.min() == 0  # a ReLU is the last thing
