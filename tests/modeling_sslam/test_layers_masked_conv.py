import pytest
import torch
from torch import nn

from modeling_sslam.layers_masked_conv import (
    CnnSizes,
    CnnStage,
    PaddedConv2d,
    Window,
    centred,
    masked,
    mean_of_cells,
    same_window,
    silence,
    time_window,
)

NUM_REAL = torch.tensor([11, 6])


@pytest.fixture
def maps(generator) -> torch.Tensor:
    """(2, 3, 5, 11); the second clip has six frames, and loud garbage behind them."""
    maps = torch.randn(2, 3, 5, 11, generator=generator)
    maps[1, ..., 6:] = 99.0
    return maps


@pytest.mark.parametrize("window", [Window(1), centred(3), centred(7, 2), Window(2, 2), Window(5, 2, 1, 2)])
@pytest.mark.parametrize("size", [7, 8, 9, 30])
def test_the_size_of_a_window_is_that_of_a_convolution(window, size):
    padded = nn.functional.pad(torch.zeros(1, 1, size), (window.before, window.after))
    made = nn.functional.conv1d(padded, torch.zeros(1, 1, window.kernel), stride=window.stride)
    assert window.size(size) == made.shape[2]
    assert window.size(torch.tensor([size])).tolist() == [made.shape[2]]


@pytest.mark.parametrize(
    ("kernel", "stride", "size", "padding"),
    [
        (3, 2, 221, (1, 1)),
        (3, 2, 111, (1, 1)),
        (5, 2, 56, (1, 2)),
        (3, 2, 28, (0, 1)),
        (5, 2, 14, (1, 2)),
        (5, 1, 9, (2, 2)),
    ],
)
def test_same_padding_is_that_of_tensorflow(kernel, stride, size, padding):
    """The paddings that spec section 9 lists for 221 cells, and a stride of one."""
    window = same_window(kernel, stride, size)
    assert (window.before, window.after) == padding
    assert window.size(size) == -(-size // stride)


def test_silence_is_behind_the_real_frames_only(maps):
    quiet = silence(maps, NUM_REAL)
    torch.testing.assert_close(quiet[0], maps[0], rtol=0, atol=0)
    torch.testing.assert_close(quiet[1, ..., :6], maps[1, ..., :6], rtol=0, atol=0)
    assert not quiet[1, ..., 6:].any()
    assert silence(maps, None) is maps


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, 3, padding=1),
        nn.Conv2d(3, 4, 7, stride=2, padding=3),
        nn.Conv2d(3, 4, 1, stride=2),
        nn.AvgPool2d(2, 2),
        PaddedConv2d(3, 4, Window(5, 2, 1, 2)),
        PaddedConv2d(3, 3, Window(3, 2, 0, 1), groups=3),
    ],
)
def test_a_layer_makes_of_a_padded_clip_what_it_makes_of_it_alone(layer, maps):
    made, num_real = masked(layer, maps, NUM_REAL)
    for row, length in enumerate(NUM_REAL.tolist()):
        alone, _ = masked(layer, maps[row : row + 1, ..., :length], None)
        assert num_real[row] == alone.shape[3] == time_window(layer).size(length)
        torch.testing.assert_close(made[row, ..., : num_real[row]], alone[0], rtol=0, atol=1e-5)


def test_without_a_mask_nothing_is_touched(maps):
    heard = []
    layer = nn.Conv2d(3, 4, 3, padding=1)
    layer.register_forward_pre_hook(lambda module, inputs: heard.append(inputs[0]))
    masked(layer, maps, None)
    assert heard[0] is maps


def test_a_mean_is_over_real_cells(maps):
    means = mean_of_cells(maps, NUM_REAL)
    torch.testing.assert_close(means[0], maps[0].mean(dim=(1, 2)))
    torch.testing.assert_close(means[1], maps[1, ..., :6].mean(dim=(1, 2)))
    assert mean_of_cells(maps.bfloat16(), NUM_REAL).dtype == torch.bfloat16
    assert mean_of_cells(maps, torch.tensor([11, 0]))[1].tolist() == [0, 0, 0]


def test_a_mean_of_half_precision_does_not_overflow():
    maps = torch.full((1, 1, 64, 64), 100.0, dtype=torch.float16)
    assert mean_of_cells(maps, torch.tensor([64])).item() == 100.0


def test_a_padded_convolution_pads_both_axes_as_its_window_says(maps):
    layer = PaddedConv2d(3, 4, Window(3, 2, 0, 1))
    wanted = nn.functional.conv2d(nn.functional.pad(maps, (0, 1, 0, 1)), layer.weight, stride=2)
    torch.testing.assert_close(layer(maps), wanted, rtol=0, atol=0)
    symmetric = PaddedConv2d(3, 4, centred(3, 2))
    assert symmetric.padding == (1, 1)
    torch.testing.assert_close(symmetric(maps), nn.functional.conv2d(maps, symmetric.weight, stride=2, padding=1))


def test_sizes_know_strides_and_the_last_map():
    windows = ((centred(7, 2), centred(3, 2)), (), (Window(2, 2),))
    sizes = CnnSizes(channels=(4, 8, 16), depths=(1, 1), windows=windows)
    assert sizes.strides == (4, 4, 8)
    assert [sizes.last_size(length) for length in (221, 16, 4, 1)] == [28, 2, 0, 0]


def test_parts_of_a_stage_are_applied_in_their_order(maps):
    class Add(nn.Module):
        def __init__(self, number: int):
            super().__init__()
            self.number = number

        def forward(self, maps, num_real):
            return 2 * maps + self.number, num_real

    stage = CnnStage([Add(1), Add(2)], transition=Add(3), head=Add(4))
    made, num_real = stage(maps, NUM_REAL)
    torch.testing.assert_close(made, 2 * (2 * (2 * (2 * maps + 3) + 1) + 2) + 4)
    assert num_real is NUM_REAL
