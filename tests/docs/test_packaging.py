"""What is installed: complete packages, a core that needs only its own requirements, and pins that satisfy them."""

from __future__ import annotations

import importlib.metadata
import pathlib
import shutil
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

ROOT = pathlib.Path(__file__).parents[2]
SHIPPED = ("modeling_sslam", "training", "setup.py", "pyproject.toml", "LICENSE")
OPTIONAL_PACKAGES = (
    "accelerate",
    "datasets",
    "evaluate",
    "librosa",
    "matplotlib",
    "sklearn",
    "torchaudio",
    "torchcodec",
    "training",
)
CLASSIFY_WITHOUT_OPTIONAL_PACKAGES = f"""
import sys

sys.modules |= dict.fromkeys({OPTIONAL_PACKAGES}, None)  # importing any of them raises
import torch
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

import modeling_sslam
import modeling_sslam.convert_checkpoints
import modeling_sslam.pipelines.audio_classification

config = modeling_sslam.SslamConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
model = AutoModelForAudioClassification.from_config(config).eval()
features = modeling_sslam.KaldiFbankFeatureExtractor()(torch.ones(16000).cumsum(0).sin(), 16000, return_tensors="pt")
print(tuple(model(**features).logits.shape))
"""


def pinned_versions() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.lower().split("==") for line in lines if not line.startswith("#"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that an installation writes; built from a copy so that nothing is left in the repository."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in SHIPPED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-compile", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "."], cwd=source, check=True)
    return target


def shipped_files(root: pathlib.Path) -> set[str]:
    """Code and recipes of both packages below `root`."""
    files = [path for package in ("modeling_sslam", "training") for path in (root / package).rglob("*.*")]
    return {path.relative_to(root).as_posix() for path in files if path.suffix in (".py", ".yaml")}


def test_both_packages_are_complete(installed):
    assert shipped_files(installed) == shipped_files(ROOT)
    assert sorted(path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")) == [
        "modeling_sslam",
        "training",
    ]


def test_core_runs_without_the_optional_packages(installed, tmp_path):
    command = [sys.executable, "-c", CLASSIFY_WITHOUT_OPTIONAL_PACKAGES]
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "(1, 2)\n"


def test_pins_satisfy_the_requirements(installed):
    (metadata,) = installed.glob("*.dist-info")
    requirements = [Requirement(line) for line in importlib.metadata.Distribution.at(metadata).requires]
    pins = pinned_versions()
    assert pins["torch"] == "2.13.0"
    core = {requirement.name for requirement in requirements if requirement.marker is None}
    assert core == {"numpy", "safetensors", "soundfile", "torch", "transformers"}
    for requirement in requirements:
        assert pins[requirement.name] in requirement.specifier, requirement
