"""Where measured numbers come from: the command, the machine and the date that every result JSON carries."""

from __future__ import annotations

import datetime
import os
import pathlib
import platform
import shlex
import sys

import torch
import transformers


def describe_run(model: str, dataset: str) -> dict:
    """What `hub_cards.render` asks of a result JSON besides its scores.

    Args:
        model, dataset: what was measured, and on what.
    """
    return {
        "command": f"python -m training.{pathlib.Path(sys.argv[0]).stem} {shlex.join(sys.argv[1:])}".rstrip(),
        "machine": describe_machine(),
        "date": datetime.date.today().isoformat(),
        "model": model,
        "dataset": dataset,
    }


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine() -> dict[str, str | int]:
    """Kind of machine and versions, without names that identify it."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {
        "device": device,
        "cores": num_cores(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
