"""Rows of `training.benchmark` about length: what scans, and the encoders around them, cost as clips grow."""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Callable

import torch
from torch import nn

from modeling_sslam import AxlstmConfig, AxlstmModel, SsamConfig, SsamModel, SsastMaeConfig, SsastMaeModel
from modeling_sslam.layers_mlstm_cell import chunkwise_cell, parallel_cell
from modeling_sslam.layers_selective_scan import ChunkedScan, fused_kernel, fused_scan
from training.benchmarks.measure import Row, fastest, peak_tensor_memory

LENGTHS = (250, 1000, 4000)
# Backward through the loop is quadratic: a minute at this length, a quarter of an hour at the next.
LONGEST_LOOP = 1000
# Models by name; clips/s are given relative to the last of them.
ENCODERS = {
    "ssam": (SsamModel, SsamConfig),
    "axlstm": (AxlstmModel, AxlstmConfig),
    "ssast_mae": (SsastMaeModel, SsastMaeConfig),
}
# Seconds of audio by size. A minute shows where a transformer's cost, quadratic in the length, takes over.
DURATIONS = {"tiny": (2, 10, 60), "small": (2, 10), "base": (2, 10)}


def scan_arguments(length: int, clips: int, device: str) -> list[torch.Tensor]:
    """Arguments of `selective_scan` with the channels and states of SSAM tiny."""
    config = SsamConfig.tiny()
    channels, states = config.inner_size, config.state_size
    generator = torch.Generator(device).manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=device)

    time_steps, A = draw(clips, length, channels).exp() / 100, -draw(channels, states).exp()
    write, read = draw(clips, length, states), draw(clips, length, states)
    arguments = [draw(clips, length, channels), time_steps, A, write, read]
    return [argument.requires_grad_() for argument in arguments]


def forward_backward(
    compute: Callable[..., torch.Tensor], arguments: list[torch.Tensor]
) -> Callable[[], tuple[torch.Tensor, ...]]:
    return lambda: torch.autograd.grad(compute(*arguments).sum(), arguments)


def transformers_scan(use_mambapy: bool) -> Callable[..., torch.Tensor]:
    """What transformers runs without kernels, on our layout: its loop, or the parallel scan of the package mambapy."""
    from transformers.models.mamba.modeling_mamba import mamba_selective_scan

    def compute(inputs, time_steps, A, B, C):
        inputs, time_steps, B, C = (tensor.transpose(1, 2) for tensor in (inputs, time_steps, B, C))
        return mamba_selective_scan(inputs, time_steps, A, B, C, use_mambapy=use_mambapy)

    return compute


def scan_rows() -> list[Row]:
    """Forward and backward of our scan against transformers' two, and its growth, on one CPU thread."""
    rows, costs = [], []
    for length in LENGTHS:
        arguments = scan_arguments(length, 1, "cpu")
        work = forward_backward(ChunkedScan.apply, arguments)
        costs.append((fastest(work, 5), peak_tensor_memory(work)))
        name = f"scan of {length} tokens against"
        for other, seconds, peak in (loop_cost(length, arguments), mambapy_cost(arguments)):
            rows.append(comparison_row(f"{name} {other}", *costs[-1], seconds, peak))
    return [*rows, growth_row("scan", costs)]


def loop_cost(length: int, arguments: list[torch.Tensor]) -> tuple[str, float | None, float | None]:
    """Name, seconds and MiB of transformers' loop, all from one run; None beyond `LONGEST_LOOP`."""
    name = "transformers' loop"
    if length > LONGEST_LOOP:
        return name, None, None
    begin = time.thread_time()
    peak = peak_tensor_memory(forward_backward(transformers_scan(False), arguments))
    return name, time.thread_time() - begin, peak


def mambapy_cost(arguments: list[torch.Tensor]) -> tuple[str, float | None, float | None]:
    """The same of the package mambapy; None where it is not installed."""
    if importlib.util.find_spec("mambapy") is None:
        return "mambapy", None, None
    work = forward_backward(transformers_scan(True), arguments)
    return "mambapy", fastest(work, 3), peak_tensor_memory(work)


def comparison_row(
    name: str, seconds: float, peak: float, other_seconds: float | None, other_peak: float | None
) -> Row:
    """Ours against another implementation; its cost is None where it is not installed or takes too long."""
    if other_seconds is None:
        return Row(name, seconds, "not installed, or too slow to measure", None, None, peak)
    ratio = other_seconds / seconds
    return Row(name, seconds, f"{ratio:.1f}x the speed, {peak / other_peak:.2f}x the memory", ratio, None, peak)


def growth_row(name: str, costs: list[tuple[float, float]]) -> Row:
    """Cost a token at the shortest of `LENGTHS` over the cost a token at the longest: below 1 is worse than linear.

    Args:
        costs: (seconds, MiB) at each of `LENGTHS`.
    """
    growth = LENGTHS[-1] / LENGTHS[0]
    (seconds, peak), (long_seconds, long_peak) = costs[0], costs[-1]
    time_share, memory_share = growth * seconds / long_seconds, growth * peak / long_peak
    measure = f"{growth:.0f}x the tokens: {long_seconds / seconds:.1f}x the time, {long_peak / peak:.1f}x the memory"
    return Row(f"growth of the {name}", long_seconds, measure, min(time_share, memory_share), 0.8, long_peak)


def cell_arguments(length: int, clips: int, device: str) -> list[torch.Tensor]:
    """Arguments of `mlstm_cell` with the heads of AxLSTM tiny; forget gates as at the start of training."""
    config = AxlstmConfig.tiny()
    heads = config.num_cell_heads
    generator = torch.Generator(device).manual_seed(0)
    shapes = [(clips, heads, length, config.inner_size // heads)] * 3 + [(clips, heads, length)] * 2
    arguments = [torch.randn(shape, generator=generator, device=device) for shape in shapes]
    arguments[-1] += 4.0
    return [argument.requires_grad_() for argument in arguments]


def cell_rows(clips: int = 1, device: str = "cpu") -> list[Row]:
    """Forward and backward of the mLSTM cell in chunks against its parallel form, and the growth of the former."""
    in_chunks = functools.partial(chunkwise_cell, chunk_size=AxlstmConfig().chunk_size)
    rows, costs = [], []
    for length in LENGTHS:
        arguments = cell_arguments(length, clips, device)
        cost, parallel_cost = (
            (fastest(work, 3, device), peak_tensor_memory(work, device))
            for work in (forward_backward(cell, arguments) for cell in (in_chunks, parallel_cell))
        )
        costs.append(cost)
        rows.append(
            comparison_row(
                f"{device} mLSTM, {clips} x {length} tokens in chunks against all at once", *cost, *parallel_cost
            )
        )
    return [*rows, growth_row(f"{device} mLSTM", costs)]


@torch.inference_mode()
def encoder_rows(size: str, clips: int = 1, device: str = "cpu") -> list[Row]:
    """Clips a second of each architecture, by length of the audio, against the transformer baseline.

    On a GPU in bfloat16.
    """
    rows = []
    for seconds_of_audio in DURATIONS[size]:
        costs = {}
        for family, (model_class, config_class) in ENCODERS.items():
            model = model_class(getattr(config_class, size)()).to(device).eval()
            costs[family] = encoding_cost(model, seconds_of_audio, clips, device)
        baseline = costs["ssast_mae"][0]
        for family, (seconds, peak) in costs.items():
            name = f"{device} {family} {size}, {clips} x {seconds_of_audio} s of audio"
            measure = f"{clips / seconds:.2f} clips/s, {baseline / seconds:.2f}x the transformer"
            rows.append(Row(name, seconds, measure, baseline / seconds, None, peak))
    return rows


def encoding_cost(model: nn.Module, seconds_of_audio: int, clips: int, device: str) -> tuple[float, float]:
    """Seconds and MiB of a forward pass."""
    values = torch.randn(clips, 100 * seconds_of_audio, model.config.num_mel_bins, device=device)
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        return fastest(lambda: model(values), 2, device), peak_tensor_memory(lambda: model(values), device)


def gpu_scan_rows(clips: int = 16) -> list[Row]:
    """Our scan of bfloat16 inputs on a GPU, against the kernel of mamba-ssm where that is installed."""
    kernel, rows = fused_kernel(), []
    for length in LENGTHS:
        arguments = [
            argument if argument.ndim == 2 else argument.detach().bfloat16().requires_grad_()
            for argument in scan_arguments(length, clips, "cuda")
        ]
        work = forward_backward(lambda *tensors: ChunkedScan.apply(*(tensor.float() for tensor in tensors)), arguments)
        cost = fastest(work, 5, "cuda"), peak_tensor_memory(work, "cuda")
        other_cost = None, None
        if kernel is not None:
            fused = forward_backward(lambda *tensors: fused_scan(kernel, *tensors), arguments)
            other_cost = fastest(fused, 5, "cuda"), peak_tensor_memory(fused, "cuda")
        rows.append(comparison_row(f"GPU scan of {clips} x {length} tokens against mamba-ssm", *cost, *other_cost))
    return rows


SEQUENCE_BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "scan": scan_rows,
    "mlstm": cell_rows,
    **{f"encoders-{size}": functools.partial(encoder_rows, size) for size in DURATIONS},
}
GPU_SEQUENCE_BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "gpu-scan": gpu_scan_rows,
    "gpu-mlstm": functools.partial(cell_rows, 16, "cuda"),
    **{f"gpu-encoders-{size}": functools.partial(encoder_rows, size, 64, "cuda") for size in DURATIONS},
}
