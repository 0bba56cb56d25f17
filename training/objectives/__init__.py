"""Pretraining objectives by name. Each is `objective(model, batch, generator) -> (loss, logs)` with `after_step`."""

from __future__ import annotations

from torch import nn

from training.objectives.masked_reconstruction import MaskedReconstructionObjective
from training.objectives.objective import Objective
from training.objectives.ssast import SsastObjective
from training.objectives.sslam import SslamStage1Objective, SslamStage2Objective

OBJECTIVES: dict[str, type[Objective]] = {
    "masked_reconstruction": MaskedReconstructionObjective,
    "sslam_stage1": SslamStage1Objective,
    "sslam_stage2": SslamStage2Objective,
    "ssast": SsastObjective,
}


def build_objective(name: str, config: dict, model: nn.Module) -> Objective:
    """Builds the objective `name` for `model` from the fields in `config`.

    Raises:
        ValueError: unknown name or field, or a model of another family.
    """
    if name not in OBJECTIVES:
        raise ValueError(f"unknown objective {name!r}: choose one of {', '.join(sorted(OBJECTIVES))}")
    objective_class = OBJECTIVES[name]
    if model.config.model_type not in objective_class.model_types:
        raise ValueError(
            f"objective {name!r} trains {', '.join(objective_class.model_types)}, not {model.config.model_type}"
        )
    config_class = objective_class.config_class
    unknown = sorted(set(config) - set(config_class.__dataclass_fields__))
    if unknown:
        raise ValueError(
            f"unknown field {', '.join(unknown)} of objective {name!r}: it has "
            f"{', '.join(config_class.__dataclass_fields__)}"
        )
    return objective_class(model, config_class(**config))
