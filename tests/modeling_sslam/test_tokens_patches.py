import pytest
import torch

from modeling_sslam.tokens_patches import PatchEmbedding, patch_attention_mask, patchify


def test_tokens_are_time_major():
    embedding = PatchEmbedding(hidden_size=1, patch_size=(2, 2))
    torch.nn.init.constant_(embedding.projection.weight, 0.25)
    torch.nn.init.zeros_(embedding.projection.bias)
    clip = torch.zeros(1, 4, 4)
    clip[:, :2, 2:] = 1.0  # first time step, second frequency patch
    assert embedding(clip).squeeze().tolist() == [0.0, 1.0, 0.0, 0.0]


def test_stride_gives_overlapping_patches():
    assert PatchEmbedding(4, (16, 16), stride=(10, 10))(torch.zeros(2, 36, 26)).shape == (2, 3 * 2, 4)


def test_tail_that_fills_no_patch_is_left_out():
    embedding = PatchEmbedding(4, (16, 16))
    clip = torch.randn(1, 47, 128)
    assert torch.equal(embedding(clip), embedding(clip[:, :32]))


def test_wrong_rank_names_the_fix():
    with pytest.raises(ValueError, match=r"has shape \(1, 1, 32, 128\).*squeeze\(1\)"):
        PatchEmbedding(4, (16, 16))(torch.zeros(1, 1, 32, 128))


def test_clip_shorter_than_a_patch():
    with pytest.raises(ValueError, match="15 frames x 128 mel bins, less than one patch of 16 x 16: pad the clip"):
        PatchEmbedding(4, (16, 16))(torch.zeros(1, 15, 128))


def test_a_patch_is_real_when_all_its_frames_are():
    frames = torch.tensor([[1] * 31 + [0] * 17])
    assert patch_attention_mask(frames, torch.zeros(1, 48, 32), 16, 2).tolist() == [
        [True, True, False, False, False, False]
    ]


def test_a_clip_shorter_than_a_patch_keeps_its_first():
    frames = torch.tensor([[1] * 5 + [0] * 43, [0] * 48])
    assert patch_attention_mask(frames, torch.zeros(2, 48, 16), 16, 1).tolist() == [[True, False, False], [False] * 3]


def test_patchify_takes_patches_and_their_cells_in_time_order():
    clip = torch.arange(5 * 7).reshape(1, 5, 7)  # one frame and one bin fill no patch
    patches = patchify(clip, (2, 3))
    assert patches.shape == (1, 4, 6)
    assert patches[0, 1].tolist() == [3, 4, 5, 10, 11, 12]
    assert patches[0, 2].tolist() == [14, 15, 16, 21, 22, 23]


def test_patchify_agrees_with_the_patch_embedding(generator):
    clip = torch.randn(2, 40, 80, generator=generator)
    embedding = PatchEmbedding(hidden_size=8, patch_size=(4, 16))
    expected = patchify(clip, (4, 16)) @ embedding.projection.weight.flatten(1).T + embedding.projection.bias
    assert torch.allclose(embedding(clip), expected, atol=1e-5)
