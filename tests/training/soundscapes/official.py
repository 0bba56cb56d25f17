"""Where official annotations and recorded numbers lie, if they do."""

import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
URBAN_SED = ROOT.parent / "shared" / "data" / "urban_sed_jams"
SAMPLING_CASES = [
    ROOT / "tests" / "golden" / "cases" / "gise51" / "sampling_default",
    ROOT.parent / "shared" / "golden" / "gise51" / "sampling_default",
]

needs_urban_sed = pytest.mark.skipif(not URBAN_SED.is_dir(), reason="the official JAMS of URBAN-SED are not here")


def sampling_case() -> pathlib.Path:
    """The recorded case `gise51/sampling`; without it the test is skipped."""
    found = next((case for case in SAMPLING_CASES if case.is_dir()), None)
    if found is None:
        pytest.skip("the recorded case gise51/sampling_default is not here")
    return found
