"""`python -m tests.common_suite`: transformers' common tests on our classes, with the reasons of all skips."""

import pathlib
import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main([str(pathlib.Path(__file__).parent), "-m", "", "-W", "ignore", *sys.argv[1:]]))
