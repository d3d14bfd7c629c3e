PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: quickstart install test test-vllm lint bench

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

# vLLM's CPU build wants a torch and a transformers of its own, so it has an environment of its own.
VLLM_VENV ?= .venv-vllm

$(VLLM_VENV)/.installed: constraints-vllm.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet --no-deps -r constraints-vllm.txt
	touch $@

test-vllm: $(VLLM_VENV)/.installed
	PYTHONPATH=src $(VLLM_VENV)/bin/python -m pytest -o filterwarnings=default tests/contracts/test_engines.py \
		tests/engines/test_vllm.py tests/e2e/test_vllm_loop.py  # vLLM's own imports warn

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python benchmarks/roundtrip.py
	$(BIN)/python benchmarks/generation.py
