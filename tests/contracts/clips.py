"""Generated clips and tiny models that the contracts share."""

import copy

import torch
import transformers

from tests.families import Family


def build(family: Family, auto_class: str = "AutoModel") -> torch.nn.Module:
    torch.manual_seed(0)
    return getattr(transformers, auto_class).from_config(copy.deepcopy(family.config)).eval()


def clips(*seconds: float) -> list[torch.Tensor]:
    """Coloured noise at 16 kHz."""
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(int(16000 * length), generator=generator) for length in seconds]
    return [0.1 * clip.cumsum(0) / clip.cumsum(0).abs().max() + 0.05 * clip for clip in noise]


def features(family: Family, *seconds: float, **kwargs) -> dict[str, torch.Tensor]:
    """What the family's extractor makes of such clips, whole and padded to the longest."""
    kwargs = {"padding": "longest", "truncation": False} | kwargs
    return dict(family.feature_extractor(clips(*seconds), sampling_rate=16000, return_tensors="pt", **kwargs))
