"""Makes the common tests importable, tells them our class names, and fails the run on a skip that nobody explained."""

from __future__ import annotations

import collections

import pytest
from transformers.models.auto import modeling_auto

from tests.families import FAMILIES

from .fetch import attach
from .skips import explanation

attach()


# Auto class -> the table in which the common tests look up, by class name, what a model is for.
TABLES = {
    "AutoModel": modeling_auto.MODEL_MAPPING_NAMES,
    "AutoModelForPreTraining": modeling_auto.MODEL_FOR_PRETRAINING_MAPPING_NAMES,
    "AutoModelForAudioClassification": modeling_auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES,
}


@pytest.fixture(autouse=True)
def class_names(monkeypatch):
    """Adds our families to these tables, which `AutoModel.register` does not touch."""
    for family in FAMILIES.values():
        for auto_class, reference in family.config.auto_classes.items():
            if auto_class in TABLES:
                monkeypatch.setitem(TABLES[auto_class], family.config.model_type, reference.rpartition(".")[2])


class SkipCollector:
    """Counts this folder's skips by their explanation; one that `skips.py` does not explain fails the run."""

    def __init__(self):
        self.explained: collections.Counter[str] = collections.Counter()
        self.unexplained: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.skipped or "common_suite" not in report.nodeid:
            return
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        why = explanation(reason)
        if why is None:
            self.unexplained.append(f"{report.nodeid}: {reason}")
        else:
            self.explained[why] += 1

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexplained and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for why, count in self.explained.most_common():
            terminalreporter.line(f"{count:4d} skips of transformers' common tests: {why}")
        for line in self.unexplained:
            terminalreporter.line(f"UNEXPLAINED SKIP, see tests/common_suite/skips.py: {line}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SkipCollector())
