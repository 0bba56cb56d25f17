"""What a row of `training.benchmark` is, and how time and memory are measured."""

from __future__ import annotations

import dataclasses
import itertools
import resource
import time
from collections.abc import Callable

import torch


@dataclasses.dataclass
class Row:
    """One line of the table.

    Args:
        name: what was done.
        seconds: fastest of a few repetitions.
        measure: what is compared with the goal, in words and numbers.
        value, goal: the number to compare and the one to reach (higher is better), None where there is none.
        peak_mib: peak memory of the work in MiB.
    """

    name: str
    seconds: float
    measure: str
    value: float | None
    goal: float | None = None
    peak_mib: float | None = None


def fastest(work: Callable[[], object], repetitions: int, device: str = "cpu") -> float:
    """Seconds of the fastest repetition after a warm-up: CPU time of this thread, or GPU time by events."""
    work()
    times = []
    for _ in range(repetitions):
        if device == "cuda":
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            work()
            end.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(end) / 1000)
        else:
            begin = time.thread_time()
            work()
            times.append(time.thread_time() - begin)
    return min(times)


def matmul_rate(device: str = "cpu", dtype: torch.dtype = torch.float32) -> float:
    """FLOP/s of a large square matrix product."""
    size = 2048 if device == "cpu" else 8192
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / fastest(lambda: left @ right, 5, device)


def peak_memory() -> float:
    """Peak resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def share_row(name: str, work: Callable[[], None], flops: float, goal: float | None, repetitions: int = 3) -> Row:
    """Work on one CPU thread as a share of the matmul rate, which is taken before and after."""
    before = matmul_rate()
    resident = peak_memory()
    seconds = fastest(work, repetitions)
    peak = peak_memory() - resident
    rate = max(before, matmul_rate())
    share = flops / seconds / rate
    measure = f"{share:.0%} of the matmul rate, {rate / 1e9:.0f} GFLOP/s"
    return Row(name, seconds, measure, share, goal, peak)


def peak_tensor_memory(work: Callable[[], object], device: str = "cpu") -> float:
    """Most memory in MiB that tensors held at a time while `work` ran, besides those that existed before."""
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = (event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]")
    changes = sorted((event.start_ns(), event.nbytes()) for event in events)
    return max(itertools.accumulate((size for _, size in changes), initial=0)) / 2**20


def line(row: Row) -> str:
    goal = "" if row.goal is None else f"goal {row.goal:.2f}: {'reached' if row.value >= row.goal else 'missed'}"
    peak = "" if row.peak_mib is None else f"peak {row.peak_mib:.0f} MiB"
    return f"{row.name:42} {row.seconds * 1e3:10.2f} ms  {row.measure:45} {goal:22} {peak}".rstrip()
