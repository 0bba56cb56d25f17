"""Packaging. `modeling_sslam` is the library; `training` holds the entry points, recipes and metric modules."""

from setuptools import find_packages, setup

TRAIN = [
    "accelerate>=1.1",
    "datasets",
    "evaluate",
    "filelock",
    "matplotlib",
    "pyarrow",
    "pyyaml",
    "scikit-learn",
    "scipy",
    "tensorboard",
    "tqdm",
]
DEV = ["jinja2", "mypy", "parameterized", "pytest", "pytest-xdist", "ruff", "setuptools>=70.1"]

setup(
    name="modeling-sslam",
    version="0.1.0",
    description="Self-supervised audio encoders for transformers: SSLAM, EAT, SSAST, Audio Mamba, AxLSTM, MW-MAE",
    license="MIT",
    license_files=["LICENSE"],
    packages=find_packages(include=["modeling_sslam*", "training*"]),
    package_data={"training": ["recipes/*.yaml", "metrics/modules/*/*.py"]},
    python_requires=">=3.11",
    install_requires=["numpy", "safetensors", "soundfile", "torch>=2.6", "transformers>=5.17,<6"],
    extras_require={"train": TRAIN, "dev": DEV},
)
