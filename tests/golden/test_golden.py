"""The recorded numbers of the official code that lie in the repository; `python -m tests.golden` runs any folder."""

import pathlib
import subprocess
import sys

import pytest

from tests.golden import handlers  # noqa: F401  (registers every handler)
from tests.golden.registry import find_cases, run_case

CASES = pathlib.Path(__file__).parent / "cases"


@pytest.mark.parametrize("path", list(find_cases(CASES)), ids=lambda path: path.name)
def test_case(path):
    _, checks = run_case(path, CASES)
    failed = [check for check in checks if not check.passed]
    assert checks
    assert not failed


def test_command_line_fails_on_an_unknown_kind(tmp_path):
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "config.json").write_text('{"case_kind": "nobody/knows"}')
    source = next(iter(find_cases(CASES))) / "io.safetensors"
    (tmp_path / "case" / "io.safetensors").write_bytes(source.read_bytes())
    command = [sys.executable, "-m", "tests.golden", "--root", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=CASES.parents[2], check=False)
    assert result.returncode == 1
    assert "FAIL nobody/knows" in result.stdout
    assert result.stdout.rstrip().endswith("0 passed, 1 failed")
