"""Generated clips and tiny models that the contracts share."""

import copy

import torch
import transformers

from tests.families import Family


def build(family: Family, auto_class: str = "AutoModel") -> torch.nn.Module:
    torch.manual_seed(0)
    model = getattr(transformers, auto_class).from_config(copy.deepcopy(family.config))
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    if norms:
        settle(norms, model.base_model, features(family, 2.0, 2.0)["input_values"])
    return model.eval()


@torch.no_grad()
def settle(norms: list[torch.nn.BatchNorm2d], encoder: torch.nn.Module, input_values: torch.Tensor) -> None:
    """Gives batch norms the statistics of clips, as training does: an untrained one passes values of any size on."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    encoder.train()(input_values)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def clips(*seconds: float) -> list[torch.Tensor]:
    """Coloured noise at 16 kHz."""
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(int(16000 * length), generator=generator) for length in seconds]
    return [0.1 * clip.cumsum(0) / clip.cumsum(0).abs().max() + 0.05 * clip for clip in noise]


def features(family: Family, *seconds: float, **kwargs) -> dict[str, torch.Tensor]:
    """What the family's extractor makes of such clips, whole and padded to the longest."""
    kwargs = {"padding": "longest", "truncation": False} | kwargs
    return dict(family.feature_extractor(clips(*seconds), sampling_rate=16000, return_tensors="pt", **kwargs))
