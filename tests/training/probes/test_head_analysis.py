import math

import pytest
import torch

from training.probes.head_analysis import (
    attention_distance,
    attention_entropy,
    correlation_matrix,
    projection_weighted_cca,
)


def heads(*weights: torch.Tensor) -> torch.Tensor:
    """(2, heads, L, L): two clips with the same attention."""
    return torch.stack(weights).expand(2, -1, -1, -1)


def test_entropy_of_one_token_and_of_all():
    attention = heads(torch.eye(8), torch.full((8, 8), 1 / 8))
    torch.testing.assert_close(attention_entropy(attention), torch.tensor([0.0, math.log(8)]))


def test_distance_on_a_grid_of_two_by_two():
    # To itself; to the other frequency of the same time; to the patch across: distances 0, 1 and sqrt(2).
    flip = torch.eye(4)[[1, 0, 3, 2]]
    across = torch.eye(4)[[3, 2, 1, 0]]
    attention = heads(torch.eye(4), flip, across, (torch.eye(4) + across) / 2)
    wanted = torch.tensor([0.0, 1.0, 2**0.5, 2**0.5 / 2])
    torch.testing.assert_close(attention_distance(attention, (2, 2)), wanted)


def test_time_comes_before_frequency():
    step = torch.eye(6)[[2, 3, 4, 5, 4, 5]]  # each patch to the same frequency one time later; the last to themselves
    torch.testing.assert_close(attention_distance(heads(step), (3, 2)), torch.tensor([4 / 6]))


def test_special_tokens_have_no_distance():
    attention = torch.zeros(1, 1, 5, 5)
    attention[..., 0] = 0.9  # what goes to the class token is left out
    attention[..., 1:, 1:] = 0.1 * torch.eye(4)[[1, 0, 3, 2]]
    torch.testing.assert_close(attention_distance(attention, (2, 2)), torch.tensor([1.0]))


def samples(channels: int, seed: int, number: int = 4000) -> torch.Tensor:
    return torch.randn(number, channels, generator=torch.Generator().manual_seed(seed))


def test_the_same_subspace_correlates_fully():
    first = samples(6, seed=0)
    mixing = samples(6, seed=1, number=6)
    assert projection_weighted_cca(first, 3 * first @ mixing + 5) == pytest.approx(1)


def test_unrelated_subspaces_hardly_correlate():
    assert projection_weighted_cca(samples(4, 0), samples(4, 1)) < 0.08


def test_shared_directions_count_by_their_weight():
    """One direction shared and one not: the mean correlation is half, the weighted one follows the variances."""
    shared, noise = samples(1, 0), samples(2, 1)
    strong = projection_weighted_cca(
        torch.cat([10 * shared, noise[:, :1]], 1), torch.cat([10 * shared, noise[:, 1:]], 1)
    )
    weak = projection_weighted_cca(
        torch.cat([shared, 10 * noise[:, :1]], 1), torch.cat([shared, 10 * noise[:, 1:]], 1)
    )
    assert strong == pytest.approx(10 / 11, abs=0.03)
    assert weak == pytest.approx(1 / 11, abs=0.03)


def test_matrix_is_symmetric_and_each_is_like_itself():
    first, second = samples(5, 0), samples(3, 1)
    matrix = correlation_matrix([first, second, torch.cat([first, second], 1)])
    assert torch.equal(matrix, matrix.T)
    assert matrix.diag().tolist() == [1, 1, 1]
    assert matrix[0, 1] < 0.1
    assert matrix[0, 2] > 0.75  # all of the first lies in the third, but only five of eight directions back


def test_a_silent_channel_is_no_direction():
    first = samples(4, 0)
    padded = torch.nn.functional.pad(first, (0, 2))
    assert projection_weighted_cca(padded, first) == pytest.approx(1)


def test_too_few_samples():
    with pytest.raises(ValueError, match="10 samples of 12 channels correlate whatever they are"):
        projection_weighted_cca(samples(6, 0, number=10), samples(6, 1, number=10))
