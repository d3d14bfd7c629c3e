PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: quickstart install test test-ray lint bench

quickstart: install
	$(BIN)/judgeloop run configs/quickstart.yaml

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(STAMP)

test: install lint
	$(BIN)/python -m pytest tests/compute  # signals need the main thread
	$(BIN)/python -m pytest tests --ignore tests/compute -n 2 --dist worksteal

test-ray: # a cluster of two machines on this one, in an environment of its own
	$(PYTHON) -m venv .venv-ray
	.venv-ray/bin/python -m pip install --quiet -c constraints.txt -e '.[dev,ray]'
	.venv-ray/bin/python -m pytest -m ray tests/compute/test_cluster.py tests/e2e/test_cluster_runs.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python benchmarks/roundtrip.py
	$(BIN)/python benchmarks/generation.py
