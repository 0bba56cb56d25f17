"""What encoders share, by hand; that every family keeps the contract is seen in `tests/contracts/`."""

import pytest
import torch

from modeling_sslam import SsamConfig, SsastConfig, SsastForAudioClassification, SsastModel, SslamConfig, SslamModel
from modeling_sslam.encoder import Tokens, cut_windows, over_time, scene_embedding, step_intervals
from modeling_sslam.hear.embeddings import group_tokens
from tests.families import FAMILIES, SSLAM

GROUPINGS = ("time", "reference")
# Three time steps of two frequencies, one channel.
CONTENT = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])[None, :, None]
OVERLAP = SsastConfig(num_mel_bins=32, patch_stride=(10, 10), position_grid=(5, 2), position_fit="start")


def test_scene_embedding_by_time_is_the_mean_over_time_of_each_frequency():
    scene = scene_embedding(CONTENT, None, 2, "time")
    torch.testing.assert_close(scene, torch.tensor([[(1 + 4 + 16) / 3, (2 + 8 + 32) / 3]]))


def test_scene_embedding_of_the_reference_is_the_mean_of_each_stretch_of_time():
    scene = scene_embedding(CONTENT, None, 2, "reference")
    torch.testing.assert_close(scene, torch.tensor([[(1 + 2 + 4) / 3, (8 + 16 + 32) / 3]]))


def test_padding_has_no_part_in_the_scene_embedding():
    mask = torch.tensor([[True] * 4 + [False] * 2])
    assert scene_embedding(CONTENT, mask, 2, "time").tolist() == [[(1 + 4) / 2, (2 + 8) / 2]]
    assert scene_embedding(CONTENT, mask, 2, "reference").tolist() == [[(1 + 2) / 2, (4 + 8) / 2]]


def test_channels_of_a_scene_embedding_stand_together_for_each_frequency():
    content = torch.tensor([[[1.0, 10.0], [2.0, 20.0]]])
    assert scene_embedding(content, None, 2, "time").tolist() == [[1, 10, 2, 20]]


def test_a_clip_without_a_real_step_has_a_scene_embedding_of_zeros():
    assert scene_embedding(CONTENT, torch.zeros(1, 6, dtype=torch.bool), 2, "time").tolist() == [[0, 0]]


@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize("num_frequency", [1, 2, 5])
def test_scene_embedding_is_the_mean_over_time_of_the_features_of_hear(grouping, num_frequency, generator):
    content = torch.randn(3, 10, 7, generator=generator)
    wanted = group_tokens(content, num_frequency, grouping).mean(dim=1)
    torch.testing.assert_close(scene_embedding(content, None, num_frequency, grouping), wanted)


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_scene_embeddings_of_a_padded_batch_are_those_of_single_clips(grouping, generator):
    content, steps = torch.randn(3, 15, 4, generator=generator), (5, 2, 3)
    mask = torch.arange(15) < 3 * torch.tensor(steps)[:, None]
    together = scene_embedding(content, mask, 3, grouping)
    for row, num_steps in enumerate(steps):
        alone = scene_embedding(content[row : row + 1, : 3 * num_steps], None, 3, grouping)
        torch.testing.assert_close(together[row], alone[0])


def test_the_scene_embedding_has_the_precision_of_the_tokens():
    assert scene_embedding(CONTENT.bfloat16(), None, 2, "time").dtype == torch.bfloat16


def test_content_over_time_is_time_major():
    tokens = Tokens(torch.zeros(1, 1, 1), CONTENT, torch.tensor([[True] * 4 + [False] * 2]))
    bands, is_real = over_time(tokens, 2)
    assert bands.squeeze(3).tolist() == [[[1, 2], [4, 8], [16, 32]]]
    assert is_real.tolist() == [[True, True, False]]
    assert over_time(tokens._replace(mask=None), 2)[1] is None


def test_steps_are_end_to_end_where_patches_do_not_overlap():
    intervals = step_intervals(SslamConfig(), 3)
    torch.testing.assert_close(intervals, torch.tensor([[0.0, 0.16], [0.16, 0.32], [0.32, 0.48]]).double())


def test_a_step_of_overlapping_patches_lies_around_the_middle_of_its_patch():
    """Patch i spans frames 10 i to 10 i + 16, 10 ms each; its middle is 10 i + 8, and the next is ten frames on."""
    intervals = step_intervals(OVERLAP, 3)
    torch.testing.assert_close(intervals, torch.tensor([[0.03, 0.13], [0.13, 0.23], [0.23, 0.33]]).double())
    torch.testing.assert_close(intervals.mean(dim=1), torch.tensor([0.08, 0.18, 0.28]).double())


def test_steps_follow_the_shift_of_frames():
    config = SsamConfig(frame_shift_ms=5)
    assert step_intervals(config, 2).tolist() == [[0, 0.02], [0.02, 0.04]]
    assert step_intervals(config, 0).shape == (0, 2)


def test_a_clip_that_is_encoded_at_once_is_not_cut():
    clip, mask = torch.zeros(2, 5 * 16 + 3, 32), torch.ones(2, 5 * 16 + 3)
    for config in (SslamConfig(max_time_patches=6), SsamConfig()):
        ((frames, frame_mask),) = cut_windows(config, clip, mask)
        assert frames is clip
        assert frame_mask is mask
    ((_, frame_mask),) = cut_windows(SsamConfig(), clip, None)
    assert frame_mask is None


def windows_of(config, num_frames: int) -> list[list[int]]:
    """First and last frame of each window, whose mask is of these frames."""
    clip = torch.arange(num_frames)[None, :, None].expand(1, num_frames, config.num_mel_bins)
    windows = cut_windows(config, clip, clip[..., 0] % 7)
    for frames, frame_mask in windows:
        assert torch.equal(frames[:, 1:, 0] % 7, frame_mask[:, 1:])
    return [[int(frames[0, 0, 0]), int(frames[0, -1, 0])] for frames, _ in windows]


def test_long_clips_are_cut_end_to_end():
    config = SslamConfig(max_time_patches=4)
    assert windows_of(config, 64) == [[0, 63]]
    assert windows_of(config, 128) == [[0, 63], [64, 127]]
    # Eight frames at the end fill no step; a window of them would not be a clip.
    assert windows_of(config, 136) == [[0, 63], [64, 127]]
    assert windows_of(config, 145) == [[0, 63], [64, 127], [128, 144]]


def test_windows_of_overlapping_steps_share_frames_and_no_step():
    """The table reaches 5 steps, 56 frames: a window is 56 frames, and the next starts 5 steps on, at frame 50."""
    assert OVERLAP.longest_clip == 56
    assert windows_of(OVERLAP, 56) == [[0, 55]]
    assert windows_of(OVERLAP, 65) == [[0, 55]]  # the sixth step would end at 66
    assert windows_of(OVERLAP, 66) == [[0, 55], [50, 65]]
    assert windows_of(OVERLAP, 116) == [[0, 55], [50, 105], [100, 115]]


@pytest.mark.parametrize("num_frames", [50, 56, 57, 65, 66, 99, 106, 107, 250])
def test_long_clips_of_overlapping_patches_have_all_their_steps(num_frames, generator):
    torch.manual_seed(0)
    fields = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 32}
    encoder = SsastModel(SsastConfig(**(OVERLAP.to_dict() | fields))).eval()
    clip = torch.randn(1, num_frames, 32, generator=generator)
    with torch.no_grad():
        steps, is_real = encoder.steps(clip)
        assert (
            steps.shape[2] == is_real.shape[1] == encoder.config.num_steps(num_frames) == (num_frames - 16) // 10 + 1
        )
        for number in range(0, steps.shape[2], 5):
            window = encoder(clip[:, 10 * number : 10 * number + 56]).last_hidden_state[:, 2:]
            wanted = window.unflatten(1, (-1, 2)).mean(dim=2)[:, : steps.shape[2] - number]
            torch.testing.assert_close(steps[0, :, number : number + 5], wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("length", [5, 30, 32, 40, 64, 70, 96])
def test_padded_clips_of_several_windows_have_the_steps_of_single_clips(length, generator):
    """Also where a window begins with a step that is partly padding, or holds nothing but padding."""
    torch.manual_seed(0)
    encoder = SslamModel(SslamConfig(**(SSLAM | {"max_time_patches": 2}))).eval()
    clip = torch.randn(2, 96, 32, generator=generator)
    mask = (torch.arange(96) < torch.tensor([[96], [length]])).int()
    with torch.no_grad():
        steps, is_real = encoder.steps(clip, mask)
        num_steps = max(length // 16, 1)  # less than a step is one, with a mask
        assert is_real.tolist() == [[True] * 6, [True] * num_steps + [False] * (6 - num_steps)]
        assert steps.isfinite().all()
        if length >= 16:
            alone, _ = encoder.steps(clip[1:, :length])
            torch.testing.assert_close(steps[1, :, :num_steps], alone[0], atol=1e-5, rtol=0)
    assert mask[1].sum() == length  # not written to


def test_a_hole_in_the_mask_hides_its_step_and_no_other(generator):
    torch.manual_seed(0)
    mask = torch.ones(1, 96)
    mask[:, 35] = 0
    encoder = SslamModel(SslamConfig(**(SSLAM | {"max_time_patches": 2}))).eval()
    _, is_real = encoder.steps(torch.randn(1, 96, 32, generator=generator), mask)
    assert is_real.tolist() == [[True, True, False, True, True, True]]


def test_a_clip_shorter_than_a_step_is_refused():
    with pytest.raises(ValueError, match="15 frames x 32 mel bins, less than one patch"):
        SslamModel(SslamConfig(**SSLAM)).steps(torch.zeros(1, 15, 32))


def test_layers_are_counted_from_above():
    model = SsastForAudioClassification(FAMILIES["ssast patch"].config)
    above = {
        "ssast.layers.0.attention.qkv.weight": 2,
        "ssast.layers.1.mlp.fc1.bias": 1,
        "ssast.embeddings.class_token": 0,
        "ssast.norm.weight": 0,
        "classifier.dense.weight": 0,
        "decoder.layers.0.weight": 0,  # no blocks of the encoder
    }
    assert {name: model.layers_above(name) for name in above} == above
    assert model.ssast.layers_above("layers.0.attention.qkv.weight") == 2
