import pytest
import torch

from training.objectives.mixing import draw_windows, mix_with_neighbours, unmixed_frames, window_starts


def test_choices_of_the_published_length():
    first = window_starts(1024, 240, 16)
    assert (first[0], first[-1], len(first)) == (0, 496, 32)
    second = window_starts(1024, 240, 16, first=496)
    assert (second[0], second[-1]) == (736, 768)
    assert list(window_starts(1024, 240, 16, first=0))[-1] == 768


def test_windows_never_overlap_and_leave_the_last_patch(generator):
    windows = draw_windows(500, 1024, 240, 16, generator)
    assert (windows % 16 == 0).all()
    assert (windows[:, 1] >= windows[:, 0] + 240).all()
    unmixed = unmixed_frames(windows, 1024, 240)
    assert (unmixed.sum(1) == 480).all()
    assert not unmixed[:, -16:].any()
    assert len(windows[:, 0].unique()) == 32


def test_adjacent_windows_leave_an_empty_middle():
    unmixed = unmixed_frames(torch.tensor([[16, 256]]), 1024, 240)
    assert unmixed[0, 16:496].all()
    assert unmixed.sum() == 480


def test_the_louder_cell_wins_outside_the_windows():
    clips = torch.tensor([[[0.0], [5.0]], [[3.0], [-1.0]]])
    mixed = mix_with_neighbours(clips, torch.tensor([[True, False]]))
    assert mixed.squeeze(-1).tolist() == [[0.0, 5.0], [3.0, 5.0]]


def test_the_foreign_clip_is_the_one_before():
    clips = torch.tensor([10.0, 20.0, 30.0]).reshape(3, 1, 1).expand(3, 4, 1)
    mixed = mix_with_neighbours(clips, torch.zeros(1, 4, dtype=torch.bool))
    assert mixed[:, 0, 0].tolist() == [30.0, 20.0, 30.0]


def test_a_batch_of_one_has_no_neighbour():
    with pytest.raises(ValueError, match="at least 2 clips in each process's batch, got 1: raise data.batch_size"):
        mix_with_neighbours(torch.zeros(1, 64, 4), torch.zeros(1, 64, dtype=torch.bool))


@pytest.mark.parametrize("window", [0, 100, 272])
def test_a_window_that_does_not_fit_is_refused(window):
    with pytest.raises(ValueError, match=f"window of {window} frames.*multiple of 16 that is at most 256"):
        window_starts(1024, window, 16)
