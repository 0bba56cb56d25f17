"""Where official annotations and recorded numbers lie, if they do."""

import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
URBAN_SED = ROOT.parent / "shared" / "data" / "urban_sed_jams"
SAMPLING_CASE = ROOT / "tests" / "golden" / "cases" / "gise51" / "sampling_default"

needs_urban_sed = pytest.mark.skipif(not URBAN_SED.is_dir(), reason="the official JAMS of URBAN-SED are not here")
