"""What every objective does between updates and checkpoints."""

import torch
from torch import nn

from training.objectives.objective import Objective


class Processes:
    """An accelerator among two processes, of which the other one's tensors are all 3."""

    def reduce(self, tensor: torch.Tensor, reduction: str) -> torch.Tensor:
        assert reduction == "mean"
        return (tensor + 3.0) / 2


class Anything(Objective):
    def __init__(self):
        self.config = None


def test_running_statistics_are_averaged_over_processes_before_a_checkpoint():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.BatchNorm1d(2, track_running_stats=False))
    model.register_buffer("table", torch.ones(2))
    model[1].num_batches_tracked.fill_(5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Anything().before_checkpoint(model, Processes())
    after = model.state_dict()
    assert after["1.running_mean"].tolist() == [1.5, 1.5]
    assert after["1.running_var"].tolist() == [2.0, 2.0]
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"1.running_mean", "1.running_var"}


def test_a_model_without_batch_normalisation_is_left_alone():
    Anything().before_checkpoint(nn.LayerNorm(2), accelerator=None)
