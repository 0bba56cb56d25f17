"""The weight rule of the golden cases of SSAM, AxLSTM and their transformer baseline (see the cases' READMEs)."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping

import torch

GAINS = (".norm.weight", ".norm1.weight", ".norm2.weight")


def rule_weight(key: str, shape: Iterable[int], family: str) -> torch.Tensor:
    """The value of the official parameter `key`, seeded by its name's CRC, whatever the order.

    Args:
        family: "ssam", "ssast_mae" or "axlstm"; the block norms of the last one hold the gain minus one.
    """
    shape = tuple(shape)
    draw = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
    if key in ("cls_token", "mask_token"):
        return 0.5 * draw
    if key.endswith("A_log"):
        return torch.arange(1.0, shape[-1] + 1).log() + 0.1 * draw
    if key.endswith("dt_proj.bias"):
        return -3 + 0.5 * draw
    if key.endswith("fgate.bias"):
        return 4 + draw
    if len(shape) >= 2:
        return draw / math.prod(shape[1:]) ** 0.5
    is_gain = key == "encoder_norm.weight" or key.endswith((".mixer.D", ".learnable_skip"))
    if is_gain or (family != "axlstm" and key.endswith(GAINS)):
        return 1 + 0.1 * draw
    return 0.1 * draw


def absolute_sum(weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """What `rule_abs_sum` of a case holds."""
    return sum(weight.double().abs().sum() for weight in weights.values()).float()
