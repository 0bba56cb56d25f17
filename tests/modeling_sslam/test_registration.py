"""Registration itself; that every family is registered well is seen in `tests/contracts/test_families.py`."""

import subprocess
import sys

import pytest
from transformers import AutoConfig, AutoModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from modeling_sslam import KaldiFbankFeatureExtractor, SslamConfig, SslamModel
from modeling_sslam.registration import register_family


def test_registering_twice_is_harmless():
    register_family(SslamConfig, KaldiFbankFeatureExtractor)
    assert type(AutoConfig.for_model("sslam")) is SslamConfig
    assert type(AutoModel.from_config(SslamConfig(num_hidden_layers=1, max_time_patches=2))) is SslamModel


@pytest.fixture
def renamed():
    """A configuration of another model type, whose models are named as `auto_classes` says; taken back afterwards."""
    known = []

    def build(auto_classes: dict[str, str]) -> type[SslamConfig]:
        name = f"sslam_{len(known)}_of_a_test"
        known.append(name)
        fields = {"__module__": SslamConfig.__module__, "model_type": name, "auto_classes": auto_classes}
        return type("RenamedConfig", (SslamConfig,), fields)

    yield build
    for name in known:
        CONFIG_MAPPING._extra_content.pop(name, None)


@pytest.mark.parametrize(
    ("reference", "error", "missing"),
    [
        ("modeling_sslam.SslamForNothing", AttributeError, "SslamForNothing"),
        ("modeling_of_nobody.SslamModel", ImportError, "modeling_of_nobody"),
    ],
)
def test_a_model_that_is_not_there_is_refused(renamed, reference, error, missing):
    with pytest.raises(error, match=missing):
        register_family(renamed({"AutoModel": reference}), KaldiFbankFeatureExtractor)


def test_a_model_of_another_configuration_is_refused(renamed):
    """Which a slip in `auto_classes` would be."""
    with pytest.raises(ValueError, match="not consistent with the config class"):
        register_family(renamed({"AutoModel": "modeling_ssast.SsastModel"}), KaldiFbankFeatureExtractor)


def test_import_stays_light():
    """The package never pulls in the optional audio libraries, nor anything of the training extra by itself."""
    heavy = "torchaudio torchcodec librosa datasets evaluate training"
    script = f"import sys, modeling_sslam; print([name for name in {heavy.split()} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
