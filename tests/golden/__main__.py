"""Holds the package against recorded numbers: `python -m tests.golden --root DIR [--only KIND]`.

One line a case (`PASS|FAIL kind path max_error`), then `N passed, M failed`; exit code 1 on any failure.
"""

import argparse
import pathlib
import sys
import traceback

from . import handlers  # noqa: F401  (registers every handler)
from .registry import find_cases, load_case, run_case


def report(path: pathlib.Path, root: pathlib.Path) -> bool:
    """Runs one case and prints its line, with a line for each failed comparison. Returns whether it passed."""
    try:
        kind, checks = run_case(path, root)
    except Exception:  # a broken handler is a failed case, and the others still run
        print(f"FAIL {load_case(path)[0]['case_kind']} {path} error\n{traceback.format_exc()}")
        return False
    failed = [check for check in checks if not check.passed]
    passed = bool(checks) and not failed
    worst = max((check.error for check in checks), default=float("nan"))
    print(f"{'PASS' if passed else 'FAIL'} {kind} {path} {worst:.2e}", flush=True)
    for check in failed:
        print(f"     {check.name}: error {check.error:.3e} > tolerance {check.tolerance:.3e}")
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=pathlib.Path, required=True, help="folder below which the cases lie")
    parser.add_argument("--only", help="run only cases of this case_kind")
    arguments = parser.parse_args()
    cases = [path for path in find_cases(arguments.root) if arguments.only in (None, load_case(path)[0]["case_kind"])]
    results = [report(path, arguments.root) for path in cases]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
