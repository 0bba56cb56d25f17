"""What attention heads look at, and how alike the layers of a network are: numbers for `training/plots.py`.

Entropy and distance of attention: Yadav et al., "Masked Autoencoders with Multi-Window Local-Global Attention Are
Better Audio Learners", ICLR 2024. Likeness: projection-weighted canonical correlation (PWCCA) of Morcos, Raghu and
Bengio, "Insights on representational similarity in neural networks with canonical correlation", NeurIPS 2018.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import torch


@dataclasses.dataclass(frozen=True)
class HeadStatistics:
    """(layers, heads) entropy of attention in nats, and its mean distance in patches."""

    entropy: torch.Tensor
    distance: torch.Tensor

    @classmethod
    def of(cls, attentions: Sequence[torch.Tensor], grid: tuple[int, int]) -> HeadStatistics:
        """From the attention of every layer, see the functions below."""
        return cls(
            torch.stack([attention_entropy(attention) for attention in attentions]),
            torch.stack([attention_distance(attention, grid) for attention in attentions]),
        )

    @classmethod
    def mean(cls, batches: Sequence[HeadStatistics]) -> HeadStatistics:
        """Over batches of about the same size."""
        return cls(
            torch.stack([batch.entropy for batch in batches]).mean(dim=0),
            torch.stack([batch.distance for batch in batches]).mean(dim=0),
        )


def attention_entropy(attention: torch.Tensor) -> torch.Tensor:
    """Mean entropy of each head, in nats: 0 where every token looks at one token, log L where it looks at all alike.

    Args:
        attention: (B, heads, L, L) weights; the last axis sums to one.
    Returns:
        (heads,)
    """
    return torch.special.entr(attention.float()).sum(dim=-1).mean(dim=(0, 2))


def attention_distance(attention: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Mean distance of each head, in patches, from a patch to those it looks at, by how much it looks.

    Args:
        attention: (B, heads, S + L, S + L) weights. The S special tokens in front have no place: they are left out,
            and the weights of the others scaled to a sum of one.
        grid: patches along time and frequency; their product is L, and patches are time-major.
    Returns:
        (heads,)
    """
    num_patches = grid[0] * grid[1]
    weights = attention[..., -num_patches:, -num_patches:].float()
    places = torch.cartesian_prod(*(torch.arange(size, device=attention.device) for size in grid)).float()
    expected = (weights * torch.cdist(places, places)).sum(dim=-1) / weights.sum(dim=-1)
    return expected.mean(dim=(0, 2))


def projection_weighted_cca(first: torch.Tensor, second: torch.Tensor) -> float:
    """Likeness of two representations of the same samples: 1 for the same subspace, near 0 for unrelated ones.

    The canonical correlations are averaged, each weighted by how much of the representation lies along its direction.
    Differs from Morcos et al.: that is done from both sides, and their mean taken, so that the order does not matter.

    Args:
        first, second: (N, D1) and (N, D2).
    Raises:
        ValueError: fewer samples than channels of both, which would correlate whatever they are.
    """
    return _weighted_correlation(_Representation(first), _Representation(second))


def correlation_matrix(representations: Sequence[torch.Tensor]) -> torch.Tensor:
    """(R, R) PWCCA of every two of R representations (N, D) of the same samples; raises ValueError as that does."""
    prepared = [_Representation(representation) for representation in representations]
    matrix = torch.eye(len(prepared))
    for row, column in itertools.combinations(range(len(prepared)), 2):
        matrix[row, column] = matrix[column, row] = _weighted_correlation(prepared[row], prepared[column])
    return matrix


class _Representation:
    """Centred samples and an orthonormal basis of the space that their channels span."""

    def __init__(self, samples: torch.Tensor):
        self.samples = samples.double() - samples.double().mean(dim=0)
        basis, spread, _ = torch.linalg.svd(self.samples, full_matrices=False)
        self.basis = basis[:, spread > spread[0] * 1e-6]  # directions below float32's resolution are rounding


def _weighted_correlation(first: _Representation, second: _Representation) -> float:
    num_samples, num_channels = len(first.samples), first.samples.shape[1] + second.samples.shape[1]
    if num_samples <= num_channels:
        raise ValueError(
            f"{num_samples} samples of {num_channels} channels correlate whatever they are: take more or longer clips"
        )
    left, correlations, right = torch.linalg.svd(first.basis.T @ second.basis, full_matrices=False)
    sides = []
    for side, rotation in ((first, left), (second, right.T)):
        weights = ((side.basis @ rotation).T @ side.samples).abs().sum(dim=1)
        sides.append((weights * correlations.clamp(max=1)).sum() / weights.sum())
    return float(sum(sides) / 2)
