"""GISE-51's experiments in small: networks on soundscapes, by the number of these, and what that transfers to.

Events are the recordings of ESC-10: those of folds 1 to 3 make the soundscapes to train on, those of fold 4 the ones
to test on. The networks then learn ESC-10's own labels (the same folds) and spoken digits, against random weights with
as many updates, and against random weights with as many as both trainings have together.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Sequence

from training.prepare_events import Preparation, prepare_events
from training.settings.recipe import load_arguments
from training.settings.synthesis import SynthesisArguments
from training.soundscapes.production import produce
from training.studies.intervals import interval
from training.studies.runs import RECIPES, Run, complete

ROLES = {"1": "train", "2": "train", "3": "train", "4": "test"}  # fold of ESC-10 -> what its sounds are for
TEST_EVENTS = {"test_1_3": (1, 3), "test_2_5": (2, 5)}  # test set -> fewest and most events of a soundscape
TEST_SEED = 1  # of the sets to test on; that of the training sets is 0
TASKS = {"esc10": "study_mixtures_esc10.yaml", "digits": "study_mixtures_digits.yaml"}
# Arm -> whether it starts on soundscapes, and whether it has the updates of both trainings.
ARMS = {"scratch": (False, False), "scratch_longer": (False, True), "pretrained": (True, False)}
ACCURACY, PRECISION = "accuracy", "mean_average_precision"

Results = dict[str, dict[str, float]]  # metrics of each run


@dataclasses.dataclass
class Effort:
    """How much is done.

    Attributes:
        architectures: of `SpectrogramCnnConfig`.
        sizes: soundscapes to train on; each set is the beginning of the next. Transfer is from the largest.
        num_tests: soundscapes of each set to test on.
        seeds: of the runs.
        updates, transfer_updates: of the training on soundscapes, and of the one after it.
    """

    architectures: list = dataclasses.field(default_factory=lambda: ["resnet18", "efficientnet-b0"])
    sizes: list = dataclasses.field(default_factory=lambda: [1000, 2000, 4000])
    num_tests: int = 500
    seeds: list = dataclasses.field(default_factory=lambda: [1, 2, 3])
    updates: int = 300
    transfer_updates: int = 200


@dataclasses.dataclass
class MixturesArguments:
    """All sections of the study's settings."""

    effort: Effort = dataclasses.field(default_factory=Effort)


def study_mixtures(data: pathlib.Path, output: pathlib.Path, jobs: int, arguments: MixturesArguments) -> dict:
    """Makes the sets, runs what is not there yet, and compares.

    Args:
        data: folder with `esc10/` and `fsdd/`, each with its CSV and `audio/`.
        output: folder for sets and runs; a killed study is completed by the next call.
        jobs: processes.
        arguments: how much is done.
    Returns:
        the effort, `soundscapes` and `transfer` (see below; every mean has its 95 % interval over seeds), and the
        metrics of each run.
    """
    effort = arguments.effort
    make_sets(data / "esc10", output, jobs, effort)
    results = complete(soundscape_runs(output, effort), output / "runs", jobs)
    results |= complete(transfer_runs(data, output, effort), output / "runs", jobs)

    return {
        "effort": dataclasses.asdict(effort),
        "soundscapes": soundscape_results(results, effort),
        "transfer": transfer_results(results, effort),
        "runs": results,
    }


def soundscape_results(results: Results, effort: Effort) -> dict[str, dict]:
    """Architecture -> number of soundscapes -> test set -> mAP in percent, from the metrics of all runs."""
    metrics = dict(zip(TEST_EVENTS, (f"eval_{PRECISION}", f"test_{PRECISION}"), strict=True))

    def scores(test: str, *parts: str | int) -> list[float]:
        return [100 * results[run_name(*parts, seed)][metrics[test]] for seed in effort.seeds]

    return {
        architecture: {
            size: {test: summary(scores(test, architecture, size)) for test in TEST_EVENTS} for size in effort.sizes
        }
        for architecture in effort.architectures
    }


def transfer_results(results: Results, effort: Effort) -> dict[str, dict]:
    """Task -> architecture -> arm -> accuracy in percent, and its gain over each other arm, taken seed by seed."""

    def accuracies(*parts: str) -> list[float]:
        return [100 * results[run_name(*parts, seed)][f"eval_{ACCURACY}"] for seed in effort.seeds]

    def gain(of: list[float], over: list[float]) -> dict[str, float]:
        return summary([accuracy - other for accuracy, other in zip(of, over, strict=True)])

    transfer: dict[str, dict] = {task: {} for task in TASKS}
    for task, architecture in itertools.product(TASKS, effort.architectures):
        found = {arm: accuracies(task, architecture, arm) for arm in ARMS}
        transfer[task][architecture] = {
            arm: summary(found[arm])
            | {"gain_over": {other: gain(found[arm], found[other]) for other in ARMS if other != arm}}
            for arm in ARMS
        }
    return transfer


def make_sets(esc10: pathlib.Path, output: pathlib.Path, jobs: int, effort: Effort) -> None:
    """The events of both roles, without their silence, the sets to train on, and those to test on."""
    raw = output / "raw"
    with (esc10 / "esc10.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            link = raw / ROLES[row["fold"]] / row["category"] / row["filename"]
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to((esc10 / "audio" / row["filename"]).resolve())
    prepare_events(raw, output / "events", Preparation("flac", 16000))
    for size in effort.sizes:
        _make_set(output, f"train_{size}", "train", size, [], jobs)
    for name, (fewest, most) in TEST_EVENTS.items():
        apart = f"output.disjoint_from=[{output / f'train_{max(effort.sizes)}'}]"
        overrides = [f"mixture.min_events={fewest}", f"mixture.max_events={most}", f"output.seed={TEST_SEED}", apart]
        _make_set(output, name, "test", effort.num_tests, overrides, jobs)


def _make_set(output: pathlib.Path, name: str, role: str, size: int, overrides: list[str], jobs: int) -> None:
    paths = [f"events.path={output / 'events' / role}", f"output.folder={output / name}"]
    overrides = [*paths, f"output.num_soundscapes={size}", *overrides]
    produce(load_arguments(RECIPES / "study_soundscapes.yaml", overrides, SynthesisArguments), jobs)


def soundscape_runs(output: pathlib.Path, effort: Effort) -> Iterator[Run]:
    """Each network on each number of soundscapes."""
    evaluation, test = (output / name / "clips.csv" for name in TEST_EVENTS)
    for architecture in effort.architectures:
        for size in effort.sizes:
            for seed in effort.seeds:
                paths = f"data.path={output / f'train_{size}' / 'clips.csv'}", f"evaluation.path={evaluation}"
                model = f"test.path={test}", f"model.architecture={architecture}"
                overrides = *paths, *model, *_updates(effort.updates), f"run.seed={seed}"
                yield Run(run_name(architecture, size, seed), "study_mixtures.yaml", overrides)


def transfer_runs(data: pathlib.Path, output: pathlib.Path, effort: Effort) -> Iterator[Run]:
    """Each network on each task, from each start."""
    files = {"esc10": data / "esc10", "digits": data / "fsdd"}
    for task, recipe in TASKS.items():
        folder = files[task]
        paths = f"data.path={folder / f'{folder.name}.csv'}", f"data.audio_root={folder / 'audio'}"
        for architecture in effort.architectures:
            for arm, (pretrained, longer) in ARMS.items():
                for seed in effort.seeds:
                    before = output / "runs" / run_name(architecture, max(effort.sizes), seed)
                    start = (f"model.architecture={architecture}",)
                    if pretrained:
                        start = "model.model_type=null", f"model.init_from={before}"
                    updates = _updates(effort.transfer_updates + longer * effort.updates)
                    overrides = *paths, *start, *updates, f"run.seed={seed}"
                    yield Run(run_name(task, architecture, arm, seed), recipe, overrides)


def run_name(*parts: str | int) -> str:
    """The folder of a run, of what sets it apart."""
    return "_".join(map(str, parts))


def _updates(number: int) -> tuple[str, ...]:
    """Overrides for a run of this length, a tenth of it to warm up, that is measured once, at its end."""
    return f"optim.total_steps={number}", f"optim.warmup_steps={number // 10}", f"run.evaluate_every={number}"


def summary(values: Sequence[float]) -> dict[str, float]:
    """Mean and half width of its interval, rounded."""
    return {name: round(value, 2) for name, value in dataclasses.asdict(interval(values)).items()}
