import pytest
import torch

from modeling_sslam.audio_windows import merge_windows, split_windows, window_starts


@pytest.mark.parametrize(
    ("num_samples", "window", "hop", "starts"),
    [
        (10, 4, 2, [0, 2, 4, 6]),
        (11, 4, 2, [0, 2, 4, 6, 7]),
        (10, 4, 4, [0, 4, 6]),
        (8, 4, 4, [0, 4]),
        (4, 4, 1, [0]),
        (3, 4, 2, [0]),
    ],
)
def test_window_starts(num_samples, window, hop, starts):
    assert window_starts(num_samples, window, hop) == starts


@pytest.mark.parametrize("num_samples", range(1, 40))
def test_windows_are_whole_and_cover_every_sample(num_samples):
    windows = split_windows(torch.arange(num_samples), window=7, hop=3)
    assert {len(window) for window in windows} == {min(7, num_samples)}
    assert torch.cat(windows).unique().tolist() == list(range(num_samples))


def test_windows_are_views():
    waveform = torch.zeros(2, 100)
    split_windows(waveform, window=40, hop=30)[1].fill_(1.0)
    assert waveform[:, 30:70].eq(1).all()
    assert waveform.sum() == 80


def test_merging():
    scores = torch.tensor([[0.0, 1.0], [1.0, 0.5]])
    assert merge_windows(scores, "mean").tolist() == [0.5, 0.75]
    assert merge_windows(scores, "max").tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="Unknown merge 'median': expected one of mean, max"):
        merge_windows(scores, "median")


@pytest.mark.parametrize("hop", [0, 5])
def test_a_hop_outside_of_the_window_is_refused(hop):
    with pytest.raises(ValueError, match=f"Windows of 4 samples cannot start every {hop} samples"):
        window_starts(10, window=4, hop=hop)
