# `make` lists the targets. Each one that needs it creates .venv, with the versions of constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/installed
PIP_INSTALL := $(BIN)/pip install --quiet --no-compile --constraint constraints.txt
# transformers' common tests bring marks of their own.
PYTEST := $(BIN)/python -m pytest -W ignore::pytest.PytestUnknownMarkWarning
unexport PYTHONDONTWRITEBYTECODE
# PyTorch's index of CPU wheels. `make TORCH_INDEX=` takes what your package index has: on Linux, the CUDA build.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# `make demo DATA=folder` runs on your own audio instead of generated audio.
DATA ?=
OUTPUT ?= outputs/demo
DEMO_FLAGS ?=
TEST_FLAGS ?=
BENCHMARK_FLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint format soak benchmark clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-10s %s\n", $$1, $$2}'

demo: $(READY)  ## pretrain, probe, fine-tune and load a tiny SSLAM; DATA=folder for real audio
	$(BIN)/python -m training.demo --output $(OUTPUT) $(if $(DATA),--data $(DATA)) $(DEMO_FLAGS)

# The common tests are named although they lie below tests/: only so does pytest-xdist's main process load their
# conftest.py, which fetches them once and reports their skips. One thread for each of the two processes.
test: $(READY)  ## the suite, with transformers' own common tests
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(PYTEST) -n 2 --dist worksteal tests tests/common_suite $(TEST_FLAGS)

lint: $(READY)  ## ruff: rules and format; mypy: protocols and public modules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: $(READY)  ## the slow tests
	HF_HUB_OFFLINE=1 $(PYTEST) -m slow tests $(TEST_FLAGS)

benchmark: $(READY)  ## speed and memory, as ratios to the machine's matmul rate
	$(BIN)/python -m training.benchmark $(BENCHMARK_FLAGS)

clean:  ## remove the environment and the caches, but not outputs/
	rm -rf $(VENV) build dist *.egg-info .cache .pytest_cache .ruff_cache .mypy_cache

# torch comes first and alone, because only it is to be looked up in the other index. The pinned versions need no
# dependency resolution, which halves the time; the last step adds what a platform needs besides them. Compiling all
# that is installed takes longer than installing it; Python compiles what is used when it is first used.
$(READY): setup.py constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --no-deps $(if $(TORCH_INDEX),--retries 1 --extra-index-url $(TORCH_INDEX)) torch
	$(PIP_INSTALL) --no-deps --requirement constraints.txt
	$(PIP_INSTALL) --editable '.[train,dev]'
	touch $@
