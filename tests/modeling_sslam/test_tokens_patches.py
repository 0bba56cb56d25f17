import pytest
import torch

from modeling_sslam import SsastConfig
from modeling_sslam.tokens_patches import PatchEmbedding, patch_attention_mask, patchify, with_special_tokens


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


def grid(**fields) -> SsastConfig:
    return SsastConfig(**({"num_mel_bins": 32, "patch_size": (16, 16)} | fields))


def test_a_patch_is_real_when_all_its_frames_are():
    frames = torch.tensor([[1] * 31 + [0] * 17])
    assert patch_attention_mask(frames, torch.zeros(1, 48, 32), grid()).tolist() == [
        [True, True, False, False, False, False]
    ]


def test_of_patches_that_overlap_each_is_real_by_itself():
    """Patches of 16 frames, 10 apart: of 45 real frames the third ends at 36, the fourth at 46."""
    frames = (torch.arange(60) < torch.tensor([[60], [45], [46]])).int()
    mask = patch_attention_mask(frames, torch.zeros(3, 60, 32), grid(patch_stride=(10, 16)))
    assert mask[:, ::2].tolist() == [[True] * 5, [True] * 3 + [False] * 2, [True] * 4 + [False]]
    assert torch.equal(mask[:, ::2], mask[:, 1::2])


def test_a_clip_shorter_than_a_patch_keeps_its_first():
    frames = torch.tensor([[1] * 5 + [0] * 43, [0] * 48])
    mask = patch_attention_mask(frames, torch.zeros(2, 48, 16), grid(num_mel_bins=16))
    assert mask.tolist() == [[True, False, False], [False] * 3]


def test_without_a_mask_nothing_is_padded():
    assert patch_attention_mask(None, torch.zeros(1, 48, 32), grid()) is None
    assert with_special_tokens(None, 2) is None


def test_a_mask_of_other_frames_is_refused():
    with pytest.raises(
        ValueError, match=r"attention_mask has shape \(1, 47\), but input_values has \(1, 48\) clips and frames"
    ):
        patch_attention_mask(torch.ones(1, 47), torch.zeros(1, 48, 32), grid())


def test_special_tokens_are_always_real():
    assert with_special_tokens(torch.tensor([[True, False]]), 2).tolist() == [[True, True, True, False]]


def test_other_mel_bins_are_refused():
    with pytest.raises(ValueError, match="input_values has 40 mel bins, but the model expects 32"):
        PatchEmbedding(4, (16, 16), num_mel_bins=32)(torch.zeros(1, 48, 40))


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
