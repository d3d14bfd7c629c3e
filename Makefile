PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: quickstart install test lint bench

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

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python benchmarks/roundtrip.py
	$(BIN)/python benchmarks/generation.py
