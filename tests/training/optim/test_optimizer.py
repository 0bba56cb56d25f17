"""Parameter groups, and the official form of AdamW."""

import math

import torch
from torch import nn

from modeling_sslam import SslamConfig, SslamForAudioClassification, SslamForPreTraining
from training.optim.optimizer import build_optimizer, parameter_groups
from training.optim.schedules import learning_rate, set_step

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_time_patches": 8,
    "decoder_hidden_size": 16,
    "decoder_num_layers": 2,
}


def test_everything_decays_by_default():
    (group,) = parameter_groups(SslamForPreTraining(SslamConfig(**SIZES)), 1e-3, 0.05)
    assert group["weight_decay"] == 0.05
    assert group["peak"] == 1e-3
    assert "sslam.embeddings.norm.bias" in group["names"]


def test_biases_and_norms_can_be_exempt():
    model = SslamForPreTraining(SslamConfig(**SIZES))
    groups = parameter_groups(model, 1e-3, 0.05, exclude_bias_and_norm=True)
    exempt = {name for group in groups if group["weight_decay"] == 0.0 for name in group["names"]}
    assert exempt == {name for name, p in model.named_parameters() if p.ndim == 1}


def test_layer_decay_spares_all_but_the_encoder_layers():
    groups = parameter_groups(SslamForAudioClassification(SslamConfig(**SIZES)), 1.0, 0.05, layer_decay=0.5)
    peaks = {name: group["peak"] for group in groups for name in group["names"]}
    assert [peaks[f"sslam.layers.{layer}.norm1.weight"] for layer in range(3)] == [0.125, 0.25, 0.5]
    assert {peaks[name] for name in peaks if ".layers." not in name} == {1.0}


def test_decoder_layers_are_no_encoder_layers():
    (decoder,) = (
        group
        for group in parameter_groups(SslamForPreTraining(SslamConfig(**SIZES)), 1.0, 0.05, layer_decay=0.5)
        if "decoder.layers.0.conv.weight" in group["names"]
    )
    assert decoder["peak"] == 1.0


def test_the_model_says_how_deep_a_parameter_lies():
    """A model without numbered layers."""

    class Model(nn.Module):
        base_model_prefix = "encoder"

        def __init__(self):
            super().__init__()
            self.encoder = nn.ModuleDict({"low": nn.Linear(2, 2, bias=False), "high": nn.Linear(2, 2, bias=False)})
            self.head = nn.Linear(2, 2, bias=False)

        def layers_above(self, name: str) -> int:
            return {"encoder.low.weight": 2, "encoder.high.weight": 1}.get(name, 0)

    groups = parameter_groups(Model(), 1.0, 0.0, layer_decay=0.5, head_factor=3.0)
    peaks = {name: group["peak"] for group in groups for name in group["names"]}
    assert peaks == {"encoder.low.weight": 0.25, "encoder.high.weight": 0.5, "head.weight": 3.0}


def test_frozen_parameters_are_left_out():
    model = SslamForAudioClassification(SslamConfig(**SIZES))
    model.sslam.requires_grad_(False)
    (group,) = parameter_groups(model, 1e-3, 0.0)
    assert {name.split(".")[0] for name in group["names"]} == {"classifier"}


def test_epsilon_after_the_correction_is_torchs_own():
    parameters = [torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64)) for _ in range(2)]
    group = {"params": parameters[:1], "lr": 0.0, "peak": 1e-2, "floor": 0.0, "weight_decay": 0.05}
    ours = build_optimizer([group], (0.9, 0.95), 0.1, epsilon_after_correction=True)
    theirs = torch.optim.AdamW(parameters[1:], betas=(0.9, 0.95), eps=0.1, weight_decay=0.05)
    for step in range(4):
        set_step(ours, step, warmup=2, total=10)
        theirs.param_groups[0]["lr"] = learning_rate(step, 1e-2, 2, 10)
        for parameter, optimizer in zip(parameters, (ours, theirs), strict=True):
            parameter.grad = torch.tensor([0.3, 0.01], dtype=torch.float64) * (step + 1)
            optimizer.step()
    assert torch.equal(*parameters)


def test_epsilon_is_added_before_the_bias_correction():
    """Against the update rule of the official Adam, with an epsilon that is large beside the gradients."""
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    epsilon, decay, (beta1, beta2) = 0.1, 0.05, (0.9, 0.95)
    group = {"params": [parameter], "lr": 0.0, "peak": 1e-2, "floor": 0.0, "weight_decay": decay}
    optimizer = build_optimizer([group], (beta1, beta2), epsilon)
    value, mean, square = parameter.detach().clone(), 0.0, 0.0
    for step in range(4):
        gradient = torch.tensor([0.3, 0.01], dtype=torch.float64) * (step + 1)
        set_step(optimizer, step, warmup=2, total=10)
        parameter.grad = gradient.clone()
        optimizer.step()

        rate, update = learning_rate(step, 1e-2, 2, 10), step + 1
        mean, square = beta1 * mean + (1 - beta1) * gradient, beta2 * square + (1 - beta2) * gradient**2
        size = rate * math.sqrt(1 - beta2**update) / (1 - beta1**update)
        value = value * (1 - rate * decay) - size * mean / (square.sqrt() + epsilon)
        torch.testing.assert_close(parameter.detach(), value, rtol=1e-12, atol=0)
