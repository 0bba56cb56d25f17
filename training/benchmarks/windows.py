"""Rows of `training.benchmark` about MW-MAE: its decoder's heads in windows against attention to all tokens."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import nn

from modeling_sslam import MwmaeConfig, MwmaeForPreTraining
from modeling_sslam.configuration_mwmae import published_windows
from modeling_sslam.layers_window_attention import WindowAttention
from training.benchmarks.measure import Row, fastest, peak_tensor_memory
from training.objectives import build_objective

# Tokens of 2 s in patches of 4 x 16 and 5 x 5, and of 10 s in patches of 4 x 16.
LENGTHS = (250, 640, 1250)
HEAD_SIZE = 48  # of the published decoder


class DenseAttention(nn.Module):
    """The same result from all tokens by all tokens: one bias with the tables within windows, minus infinity between.

    What a fused kernel can do that knows no windows.
    """

    def __init__(self, windowed: WindowAttention):
        super().__init__()
        self.windowed = windowed

    def bias(self, num_tokens: int) -> torch.Tensor:
        """(heads, L, L)"""
        biases = []
        for group in self.windowed.groups:
            if group.window:
                blocks = group.relative_position_bias().expand(num_tokens // group.window, -1, -1, -1)
                outside = torch.block_diag(*torch.ones_like(blocks[:, 0])) == 0
                heads = [torch.block_diag(*blocks[:, head]) for head in range(group.num_heads)]
                biases += [head.masked_fill(outside, -torch.inf) for head in heads]
            else:
                biases += list(torch.zeros(group.num_heads, num_tokens, num_tokens))
        return torch.stack([bias.to(self.windowed.qkv.weight.device) for bias in biases])

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        qkv = self.windowed.qkv(hidden_states).unflatten(2, (3, -1, self.windowed.head_dim))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        bias = self.bias(hidden_states.shape[1]).to(query.dtype)[None]
        context = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.windowed.out_proj(context.transpose(1, 2).flatten(2))


def attention_rows(device: str = "cpu", clips: int = 4, repetitions: int = 5) -> list[Row]:
    """Forward and backward of one attention layer with the windows of the published rule, both ways.

    A ratio is dense over windowed: above 1, windows are better.
    """
    rows = []
    for num_tokens in LENGTHS:
        torch.manual_seed(0)
        windows = published_windows(num_tokens)
        width = HEAD_SIZE * len(windows)
        config = MwmaeConfig()
        config._attn_implementation = "sdpa"
        windowed = WindowAttention(config, width, windows, shifted=False).to(device)
        dense = DenseAttention(windowed)
        tokens = torch.randn(clips, num_tokens, width, device=device, requires_grad=True)
        works = [
            functools.partial(forward_backward, compute, tokens, device)
            for compute in (lambda tokens, layer=windowed: layer(tokens)[0], dense)
        ]
        ours, theirs = (fastest(work, repetitions, device) for work in works)
        our_peak, their_peak = (peak_tensor_memory(work, device) for work in works)
        name = f"{device} {len(windows)} heads in windows, {clips} x {num_tokens} tokens"
        measure = f"{theirs / ours:.1f}x the speed, {our_peak / their_peak:.2f}x the memory of dense attention"
        rows.append(Row(name, ours, measure, theirs / ours, None, our_peak))
    return rows


def forward_backward(compute: Callable[[torch.Tensor], torch.Tensor], tokens: torch.Tensor, device: str) -> None:
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        output = compute(tokens)
    output.float().square().mean().backward()


def pretraining_rows(device: str = "cpu", size: str = "base", clips: int = 4) -> list[Row]:
    """Clips a second of a pretraining step without the optimiser: MW-MAE, and the plain MAE of the same decoder."""
    rows, speeds = [], {}
    for name, fields in (("MAE", {"use_class_token": True, "decoder_window_sizes": 0}), ("MW-MAE", {})):
        torch.manual_seed(0)
        model = MwmaeForPreTraining(getattr(MwmaeConfig, size)(**fields)).to(device).train()
        work = functools.partial(training_step, model, device, clips)
        seconds = fastest(work, 3, device)
        speeds[name] = clips / seconds
        ratio = speeds[name] / speeds["MAE"]
        measure = f"{speeds[name]:.1f} clips/s, {ratio:.2f}x the MAE"
        rows.append(Row(f"{device} {name} {size} step, {clips} clips", seconds, measure, ratio))
    return rows


def training_step(model: MwmaeForPreTraining, device: str, clips: int) -> None:
    """Forward and backward pass of the published objective on noise."""
    config = model.config
    objective = build_objective("masked_reconstruction", {"mask_ratio": 0.8, "loss_on": "masked"}, model)
    model.zero_grad(set_to_none=True)
    batch = {"input_values": torch.randn(clips, config.window_frames, config.num_mel_bins, device=device)}
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        loss, _ = objective(model, batch, torch.Generator().manual_seed(0))
    loss.backward()


WINDOW_BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "windows": attention_rows,
    "mwmae-step": pretraining_rows,
}
GPU_WINDOW_BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "gpu-windows": functools.partial(attention_rows, "cuda", 128),
    "gpu-mwmae-step": functools.partial(pretraining_rows, "cuda", "base", 128),
}
