"""SSAST's masks: the official draws one by one, and the statistics of the samplers that training uses."""

from __future__ import annotations

import pathlib
import random
from collections.abc import Iterator

import torch

from training.objectives.cluster_masks import (
    cluster_mask,
    official_cluster_indices,
    official_uniform_indices,
    time_major,
    uniform_mask,
)

from .registry import Check, Tensors, case, exact

DRAWS = 3000
PAIR_RATE_TOLERANCE = 0.02


@case("ssast/masks")
def masks(path: pathlib.Path, config: dict, tensors: Tensors) -> Iterator[Check]:
    for setting in config["settings"]:
        num_tokens, num_masked, num_time = (setting[name] for name in ("sequence_len", "mask_size", "t_dim"))
        grid = num_time, num_tokens // num_time
        name = f"{setting['kind']}_L{num_tokens}_M{num_masked}"
        is_clustered = setting["kind"] == "patch"

        want = tensors[f"{name}_exact"]
        for seed, row in zip(config["exact_seeds"], want, strict=True):
            numbers = random.Random(seed)
            got = (
                official_cluster_indices(numbers, grid, num_masked)
                if is_clustered
                else official_uniform_indices(numbers, num_tokens, num_masked)
            )
            yield exact(f"{name}, seed {seed}", torch.tensor(got), row)

        sampler = cluster_mask if is_clustered else uniform_mask
        drawn = sampler(DRAWS, grid, num_masked, torch.Generator().manual_seed(config["seed"]))
        yield exact(f"{name} masked patches", drawn.sum(dim=1).unique().tolist(), [num_masked])
        # Our tokens are time-major.
        drawn = drawn[:, time_major(torch.arange(num_tokens), grid)].double()
        yield _same_probability(name, drawn.mean(dim=0), tensors[f"{name}_probability"], config["draws"])
        rows = drawn.unflatten(1, grid[::-1])
        pairs, recorded = (rows[..., 1:] * rows[..., :-1]).mean(), tensors[f"{name}_horizontal_pair_rate"]
        yield Check(f"{name} neighbours", abs(pairs / recorded - 1).item(), PAIR_RATE_TOLERANCE)


def _same_probability(name: str, got: torch.Tensor, want: torch.Tensor, draws: int) -> Check:
    """Four standard errors of both estimates; what was never masked must never be."""
    spread = (want * (1 - want)).sqrt().double()
    tolerance = 4 * spread / draws**0.5 + 4 * spread / DRAWS**0.5
    error = (got - want.double()).abs()
    return Check(f"{name} probability", (error / tolerance).nan_to_num(nan=0.0).max().item(), 1.0)
