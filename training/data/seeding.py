"""Random generators as a function of what they are for, so that a checkpoint need not hold them."""

from __future__ import annotations

import hashlib

import torch


def seeded_generator(*keys: int) -> torch.Generator:
    """A CPU generator for `keys`, such as (seed, step, rank); neighbouring keys give unrelated generators."""
    digest = hashlib.sha256(" ".join(map(str, keys)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
