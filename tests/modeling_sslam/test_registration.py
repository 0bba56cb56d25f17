"""Registration itself; that every family is registered well is seen in `test_families.py`."""

import subprocess
import sys

import pytest

from modeling_sslam import SslamConfig, SslamFeatureExtractor, SslamForAudioClassification, SslamModel
from modeling_sslam.registration import register_family


def test_registering_twice_is_harmless():
    register_family(SslamConfig, [SslamModel, SslamForAudioClassification], SslamFeatureExtractor)


def test_a_model_without_an_auto_class_is_refused():
    class SslamForNothing(SslamModel):
        pass

    with pytest.raises(KeyError, match="SslamForNothing"):
        register_family(SslamConfig, [SslamForNothing], SslamFeatureExtractor)


def test_import_stays_light():
    """The package never pulls in the optional audio libraries, nor anything of the training extra by itself."""
    heavy = "torchaudio torchcodec librosa datasets evaluate training"
    script = f"import sys, modeling_sslam; print([name for name in {heavy.split()} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
