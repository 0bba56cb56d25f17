"""The runs of a study: commands of this package, several at once, none of them done twice."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import logging
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

logger = logging.getLogger(__name__)

LOG_LINES = 20  # of a failed command that are shown


@dataclasses.dataclass(frozen=True)
class Run:
    """One command of `training/`.

    Attributes:
        name: in the log.
        module: as in `python -m training.<module>`.
        words: of its command line.
        result: the JSON file that it writes last; a run whose result is there is not repeated.
    """

    name: str
    module: str
    words: tuple[str, ...]
    result: pathlib.Path

    @property
    def command(self) -> list[str]:
        """The words of the whole command."""
        return ["python", "-m", f"training.{self.module}", *self.words]

    def results(self) -> dict:
        """What it has written."""
        return json.loads(self.result.read_text())


def carry_out(runs: Sequence[Run], jobs: int = 1) -> None:
    """Carries out what is missing, `jobs` runs at a time, each on one thread.

    The output of a run goes into a file beside its result, which ends in `.log`.

    Raises:
        ValueError: a run failed; its last lines are in the message. Those that had begun go on to their end.
    """
    missing = [run for run in runs if not run.result.exists()]
    logger.info("%d of %d runs are there already", len(runs) - len(missing), len(runs))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(_carry_out, run) for run in missing]
        for number, done in enumerate(concurrent.futures.as_completed(waiting), start=1):
            if error := done.exception():
                pool.shutdown(wait=False, cancel_futures=True)
                raise error
            logger.info("%d of %d runs done: %s", number, len(missing), done.result().name)


def _carry_out(run: Run) -> Run:
    run.result.parent.mkdir(parents=True, exist_ok=True)
    log = run.result.with_suffix(".log")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with log.open("w") as output:
        words = [sys.executable, *run.command[1:]]
        code = subprocess.run(words, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False).returncode
    if code or not run.result.exists():
        last = "\n".join(log.read_text().splitlines()[-LOG_LINES:])
        raise ValueError(f"{' '.join(run.command)} ended with status {code}; the end of {log}:\n{last}")
    return run
