"""Which patches SSAST masks (Gong et al., AAAI 2022): clusters of them, or single ones; the same number in every clip.

The official code counts patches frequency by frequency (index `frequency * num_time + time`) and draws one clip at a
time. The samplers for training draw a whole batch at once from the same distribution, and count time-major.
"""

from __future__ import annotations

import random

import torch

SMALLEST_CLUSTER, LARGEST_CLUSTER = 3, 5
# The first patch is never masked by official clusters, and one more patch is collected than masked.
UNMASKABLE = 2


def cluster_mask(num_rows: int, grid: tuple[int, int], num_masked: int, generator: torch.Generator) -> torch.Tensor:
    """Square clusters of 3, 4 or 5 patches a side (one size a clip), as the official code draws them.

    Clusters begin anywhere, with repeats, until more than `num_masked` patches are collected. Its peculiarities are
    kept, since a mask that is spread more evenly trains another model: the first patch is never masked; a cluster at
    the end of the clip goes on at its beginning, one frequency patch higher, and one at the highest frequencies is cut
    off; the surplus is taken from the highest frequencies. So the lowest frequencies are masked half as often as
    those in the middle.

    Args:
        num_rows: clips.
        grid: (time steps, frequency patches).
        num_masked: masked patches M of every clip.
        generator: source of all randomness; masks are made on its device.
    Returns:
        (num_rows, L) bool, True = masked, time-major, M in every row.
    Raises:
        ValueError: more than L - 2 patches are to be masked, or none.
    """
    num_time, num_frequency = grid
    first_draw = _collect(num_rows, grid, num_masked, generator, wrap=False)
    last_draw = first_draw.kthvalue(num_masked + 1, dim=1, keepdim=True).values
    collected = first_draw <= last_draw
    mask = collected & (collected.cumsum(dim=1) <= num_masked)
    return mask.unflatten(1, (num_frequency, num_time)).transpose(1, 2).flatten(1)


def unbiased_cluster_mask(
    num_rows: int, grid: tuple[int, int], num_masked: int, generator: torch.Generator
) -> torch.Tensor:
    """Clusters as in `cluster_mask`, but every patch is as likely to be masked as any other.

    Clusters go on at the opposite side of the grid, and the surplus is taken at random from the last one.

    Arguments, result and errors are those of `cluster_mask`.
    """
    num_time, num_frequency = grid
    first_draw = _collect(num_rows, grid, num_masked, generator, wrap=True)
    order = first_draw + torch.rand(first_draw.shape, generator=generator, device=generator.device, dtype=torch.double)
    mask = _lowest(order, num_masked)
    return mask.unflatten(1, (num_frequency, num_time)).transpose(1, 2).flatten(1)


def uniform_mask(num_rows: int, grid: tuple[int, int], num_masked: int, generator: torch.Generator) -> torch.Tensor:
    """Single patches, all equally likely: the masks of frame models.

    Arguments and result are those of `cluster_mask`.

    Raises:
        ValueError: all patches are to be masked, or none.
    """
    num_tokens = grid[0] * grid[1]
    _check(num_masked, grid, num_tokens - 1)
    return _lowest(torch.rand(num_rows, num_tokens, generator=generator, device=generator.device), num_masked)


SAMPLERS = {"clusters": cluster_mask, "clusters_unbiased": unbiased_cluster_mask, "uniform": uniform_mask}


def official_cluster_indices(numbers: random.Random, grid: tuple[int, int], num_masked: int) -> list[int]:
    """One clip's mask from Python's random numbers: what the official code gives from the same state of them.

    Args:
        numbers: the source of random numbers.
        grid: (time steps, frequency patches).
        num_masked: masked patches.
    Returns:
        Frequency-major indices, in the order of the official code.
    Raises:
        ValueError: as `cluster_mask`, where the official code never returns.
    """
    num_time, num_tokens = grid[0], grid[0] * grid[1]
    _check(num_masked, grid, num_tokens - UNMASKABLE)
    side = SMALLEST_CLUSTER + numbers.randrange(LARGEST_CLUSTER - SMALLEST_CLUSTER + 1)
    collected: set[int] = set()
    while len(collected) <= num_masked:
        corner = numbers.randrange(num_tokens)
        cluster = (corner + num_time * row + column for row in range(side) for column in range(side))
        collected.update(cell for cell in cluster if 0 < cell < num_tokens)
    # A set of small integers: in ascending order, unless the table behind it is smaller than the largest of them.
    return list(collected)[:num_masked]


def official_uniform_indices(numbers: random.Random, num_tokens: int, num_masked: int) -> list[int]:
    """The same for frame models: indices of one clip's masked patches, in the order of the official code."""
    return numbers.sample(range(num_tokens), num_masked)


def time_major(indices: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Official, frequency-major indices of patches as those of our tokens; any shape.

    Args:
        grid: (time steps, frequency patches).
    """
    num_time, num_frequency = grid
    return indices % num_time * num_frequency + indices // num_time


def _collect(
    num_rows: int, grid: tuple[int, int], num_masked: int, generator: torch.Generator, wrap: bool
) -> torch.Tensor:
    """Draws clusters for every row until each has collected more than `num_masked` patches.

    Args:
        wrap: whether clusters go on at the opposite side; otherwise they run on along the frequency-major indices.
    Returns:
        (num_rows, L) int64, frequency-major: number of the cluster that a patch was collected with first.
    """
    num_time, num_frequency = grid
    num_tokens = num_time * num_frequency
    _check(num_masked, grid, num_tokens - UNMASKABLE)
    device = generator.device
    sides = torch.randint(SMALLEST_CLUSTER, LARGEST_CLUSTER + 1, (num_rows, 1, 1), generator=generator, device=device)
    columns = torch.arange(LARGEST_CLUSTER, device=device).repeat(LARGEST_CLUSTER)
    rows = torch.arange(LARGEST_CLUSTER, device=device).repeat_interleave(LARGEST_CLUSTER)
    in_cluster = (rows < sides) & (columns < sides)

    never = torch.iinfo(torch.int64).max
    # One column more, for what lies outside.
    first_draw = torch.full((num_rows, num_tokens + 1), never, device=device)
    num_draws = max(1, num_tokens // 4)  # at a time
    draws = torch.arange(num_draws, device=device).repeat_interleave(LARGEST_CLUSTER**2).expand(num_rows, -1)
    while ((first_draw[:, :num_tokens] < never).sum(dim=1) <= num_masked).any():
        corners = torch.randint(num_tokens, (num_rows, num_draws, 1), generator=generator, device=device)
        if wrap:
            frequencies = (corners.div(num_time, rounding_mode="floor") + rows) % num_frequency
            cells = frequencies * num_time + (corners + columns) % num_time
        else:
            cells = corners + rows * num_time + columns
        inside = in_cluster & (wrap | (cells > 0)) & (cells < num_tokens)
        cells = torch.where(inside, cells, num_tokens).flatten(1)
        first_draw.scatter_reduce_(1, cells, draws, reduce="amin")
        draws = draws + num_draws
    return first_draw[:, :num_tokens]


def _lowest(order: torch.Tensor, num_masked: int) -> torch.Tensor:
    """(B, L) bool, True for the `num_masked` lowest of every row."""
    lowest = order.topk(num_masked, dim=1, largest=False, sorted=False).indices
    return torch.zeros(order.shape, dtype=torch.bool, device=order.device).scatter_(1, lowest, True)


def _check(num_masked: int, grid: tuple[int, int], most: int) -> None:
    """Raises ValueError unless between one and `most` patches are to be masked."""
    if not 0 < num_masked <= most:
        num_time, num_frequency = grid
        raise ValueError(
            f"num_masked is {num_masked}, but of the {num_time} x {num_frequency} = {num_time * num_frequency} "
            f"patches of these clips at least 1 and at most {most} can be masked: mask fewer, or take longer clips"
        )
