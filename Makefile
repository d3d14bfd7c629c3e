PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
STAMP := $(VENV)/.installed

# Modules are compiled when they are first imported (of 270 MB of sources a run imports a quarter), and once, not by every
# process of a run and of the tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: quickstart install test test-long test-vllm test-ray style lint bench

quickstart: $(RUNTIME)
	$(BIN)/judgeloop run configs/quickstart.yaml

install: $(STAMP)

$(RUNTIME): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[eval,view]'
	touch $(RUNTIME)

$(STAMP): $(RUNTIME)
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[dev]'
	touch $(STAMP)

test: install style
	@# Types are checked beside the tests of signals, which need the main thread and leave a core free.
	$(BIN)/mypy & typed=$$!; $(BIN)/python -m pytest tests/compute; tested=$$?; wait $$typed && exit $$tested
	$(BIN)/python -m pytest tests --ignore tests/compute -n 2 --dist worksteal

test-long: install # whole benchmarks, and runs whose processes are all killed
	$(BIN)/python -m pytest -m long tests

# vLLM's CPU build wants a torch and a transformers of its own, so it has an environment of its own (3.0 GB). Its torch,
# a CPU build, is on PyTorch's index alone, which is asked if the usual ones have none.
VLLM_VENV ?= .venv-vllm
VLLM_INSTALL := $(VLLM_VENV)/bin/python -m pip install --quiet --no-compile --no-deps -r constraints-vllm.txt

$(VLLM_VENV)/.installed: constraints-vllm.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_INSTALL) || $(VLLM_INSTALL) --extra-index-url https://download.pytorch.org/whl/cpu
	$(VLLM_VENV)/bin/python -m compileall -q -j 0 $(VLLM_VENV)/lib >/dev/null || true
	touch $@

test-vllm: $(VLLM_VENV)/.installed
	PYTHONPATH=$(CURDIR)/src $(VLLM_VENV)/bin/python -m pytest -o filterwarnings=default tests/contracts/test_engines.py \
		tests/engines/test_vllm.py tests/engines/test_vllm_server.py tests/e2e/test_vllm_loop.py  # vLLM's own imports warn

test-ray: # a cluster of two machines on this one, in an environment of its own
	$(PYTHON) -m venv .venv-ray
	.venv-ray/bin/python -m pip install --quiet -c constraints.txt -e '.[dev,ray]'
	.venv-ray/bin/python -m pytest -m ray tests/compute/test_cluster.py
	.venv-ray/bin/python -m pytest -m ray tests/e2e/test_cluster_*.py  # their conftest is another

style: install
	$(BIN)/ruff check --no-cache .  # its cache misses that a new module changes the order of imports elsewhere
	$(BIN)/ruff format --check .

lint: style
	$(BIN)/mypy

bench: install
	$(BIN)/python benchmarks/roundtrip.py
	$(BIN)/python benchmarks/generation.py
