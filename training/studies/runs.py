"""Many fine-tuning runs, several at a time, each on one core; those that are already there are not repeated."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Iterator

from tqdm.auto import tqdm

from training.data.processes import worker_pool
from training.finetune import finetune
from training.settings.finetuning import FinetuneArguments
from training.settings.recipe import format_arguments, load_arguments

RECIPES = pathlib.Path(__file__).parents[1] / "recipes"
LOG_FILE = "log.txt"


@dataclasses.dataclass(frozen=True)
class Run:
    """
    Attributes:
        name: of its folder.
        recipe: file name in `training/recipes/`.
        overrides: of the recipe.
    """

    name: str
    recipe: str
    overrides: tuple[str, ...] = ()

    def arguments(self, folder: pathlib.Path) -> FinetuneArguments:
        """The settings of the run, whose results are written below `folder`."""
        overrides = [*self.overrides, f"run.output_dir={folder / self.name}"]
        return load_arguments(RECIPES / self.recipe, overrides, FinetuneArguments)


def complete(runs: Iterable[Run], folder: pathlib.Path, jobs: int = 1) -> dict[str, dict[str, float]]:
    """The metrics of each run by its name, those of `training.finetune`.

    Args:
        folder: of the results. What a killed call has finished is there for the next one.
        jobs: processes that train, with one thread each.
    Raises:
        ValueError: a folder that holds the results of other settings, or what a run refuses.
    """
    settings = {run.name: run.arguments(folder) for run in runs}
    results = {name: found for name in settings if (found := _found(settings[name])) is not None}
    missing = {name: arguments for name, arguments in settings.items() if name not in results}
    with tqdm(total=len(settings), initial=len(results), desc="runs") as progress:
        for name, metrics in _trained(missing, jobs):
            results[name] = metrics
            progress.update()
    return {name: results[name] for name in settings}


def _found(arguments: FinetuneArguments) -> dict[str, float] | None:
    """The metrics that an earlier call has left, None where there are none."""
    folder = pathlib.Path(arguments.run.output_dir)
    if not (folder / "results.json").exists():
        return None
    if (folder / "recipe.yaml").read_text() != format_arguments(arguments):
        raise ValueError(f"{folder} holds the results of other settings: remove it, or choose another folder")
    return json.loads((folder / "results.json").read_text())["finetune"]


def _trained(missing: dict[str, FinetuneArguments], jobs: int) -> Iterator[tuple[str, dict[str, float]]]:
    if jobs == 1:
        yield from ((name, _train(arguments)) for name, arguments in missing.items())
        return
    with worker_pool(jobs) as pool:
        waiting = {pool.submit(_train, arguments): name for name, arguments in missing.items()}
        for done in concurrent.futures.as_completed(waiting):
            yield waiting[done], done.result()


def _train(arguments: FinetuneArguments) -> dict[str, float]:
    """One run; what it prints goes to a file in its folder."""
    log = pathlib.Path(arguments.run.output_dir, LOG_FILE)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        return finetune(arguments)
