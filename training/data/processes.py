"""Processes that share work: each computes with one thread, and none outlives the one that started it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterator

import torch


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch as `DataLoader` workers have it: on some machines, how threads share a sum shows in its last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def worker_pool(
    processes: int, initializer: Callable | None = None, arguments: tuple = ()
) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Processes that wait for work. What none has begun when the block is left, also by an error, is not done.

    Args:
        processes: that start, at most.
        initializer, arguments: called in each process first.
    """
    # A fresh Python for each process: PyTorch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, context, _start, (initializer, arguments)) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start(initializer: Callable | None, arguments: tuple) -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    if initializer is not None:
        initializer(*arguments)


def _end_with_the_parent() -> None:
    """A process whose parent was killed would wait for work for ever, and until then write beside the next call."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
