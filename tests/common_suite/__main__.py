"""`python -m tests.common_suite`: transformers' common tests on our classes, with the reasons of all skips."""

import pathlib
import sys

import pytest

# Without the options of pyproject.toml, which leave out slow tests: here every test runs or says why not.
OPTIONS = ["--override-ini", "addopts=", "--quiet", "-W", "ignore"]

if __name__ == "__main__":
    sys.exit(pytest.main([str(pathlib.Path(__file__).parent), *OPTIONS, *sys.argv[1:]]))
