# Everything a developer or a new user runs. `make help` prints this list.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ENGINE_VENV := .venv-engine
CLUSTER ?= embedded
export CLUSTER
export PYTHONPATH := operator:dev

.PHONY: help setup demo test test-fast test-engine check format generate bench bench-engine-cpu bench-kernels bench-simulator bench-planner bench-replay validate replay e2e lock clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## Create the virtual environment from the hashed lock

$(VENV)/.ready: locks/dev.txt locks/bootstrap.txt pyproject.toml
	@echo "setting up $(VENV) from locks/dev.txt"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r locks/bootstrap.txt
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python locks/dev.txt locks/bootstrap.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(ENGINE_VENV)/.ready: locks/engine-dev.txt locks/bootstrap.txt pyproject.toml
	@echo "setting up $(ENGINE_VENV) from locks/engine-dev.txt"
	@$(PYTHON) -m venv $(ENGINE_VENV)
	@$(ENGINE_VENV)/bin/python -m pip install --quiet --require-hashes -r locks/bootstrap.txt
	@$(ENGINE_VENV)/bin/uv pip sync --quiet --require-hashes --python $(ENGINE_VENV)/bin/python locks/engine-dev.txt locks/bootstrap.txt
	@$(ENGINE_VENV)/bin/uv pip install --quiet --python $(ENGINE_VENV)/bin/python --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## Start a control plane with GPU nodes and watch a pool follow real traffic
	@$(BIN)/python -m localcluster run -- $(BIN)/poolwright demo $(ARGS)

test: setup check ## All checks and all tests
	@$(BIN)/pytest tests/golden tests/contract tests/validation tests/e2e $(ARGS)
	@$(MAKE) --no-print-directory test-engine

test-fast: setup ## Tests that need no cluster
	@$(BIN)/pytest tests/unit tests/laws tests/golden $(ARGS)

test-engine: $(ENGINE_VENV)/.ready ## Tests of the inference engine, in an environment with torch
	@$(ENGINE_VENV)/bin/pytest --doctest-modules operator/poolwright/engine tests/engine $(ARGS)

check: setup ## Format, lint, types, layers, generated files, laws and doctests
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo >/tmp/lint-imports.$$$$ 2>&1 || { cat /tmp/lint-imports.$$$$; rm -f /tmp/lint-imports.$$$$; exit 1; }; rm -f /tmp/lint-imports.$$$$
	@$(BIN)/python -m poolwright.api.schema --check
	@$(BIN)/pytest --quiet --numprocesses auto --doctest-modules --doctest-ignore-import-errors operator/poolwright tests/unit tests/laws

generate: setup ## Write CRDs and the field reference from the pydantic types
	@$(BIN)/python -m poolwright.api.schema --write

format: setup ## Format the code
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --fix --quiet .

bench: setup ## Benchmarks (ratios taken in one run)
	@for b in $(filter-out bench/engine% bench/kernels%,$(wildcard bench/*.py)); do $(BIN)/python $$b || exit 1; done

bench-planner: setup ## A thousand pools over 20 accelerators: time, bound, what simpler planners pay; the last line is JSON
	@$(BIN)/python bench/planner.py

bench-replay: setup ## Weeks of the traces in POOLWRIGHT_TRACES through a fleet in time; the last line is JSON
	@$(BIN)/python bench/replay.py $(ARGS)

bench-simulator: setup ## An hour of a trace in POOLWRIGHT_TRACES through the simulation kernel; the last line is JSON
	@$(BIN)/python bench/simulator.py

bench-engine-cpu: $(ENGINE_VENV)/.ready ## Tokens a second of the engine against transformers on this machine's cores
	@GOMP_SPINCOUNT=0 $(ENGINE_VENV)/bin/python bench/engine_cpu.py $(ARGS)

bench-kernels: $(ENGINE_VENV)/.ready ## Kernels against their peers on a GPU; the last line is JSON
	@$(ENGINE_VENV)/bin/python bench/kernels.py $(ARGS)

validate: setup ## Score the model against published measurements in POOLWRIGHT_MEASUREMENTS, write docs/validation.md
	@$(BIN)/python -m modelreport
	@$(BIN)/python -m queuereport

replay: setup ## Play the scoreboard's cases (ARGS names some) on the traces in POOLWRIGHT_TRACES, write docs/scoreboard.md
	@$(BIN)/python -m scoreboard $(ARGS)

e2e: setup ## End-to-end tests on CLUSTER=embedded|kind|current
	@$(BIN)/pytest tests/e2e $(ARGS)

lock: ## Pin every dependency with its hash
	@$(BIN)/uv pip compile --quiet --no-annotate --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --universal locks/bootstrap.in -o locks/bootstrap.txt
	@$(BIN)/uv pip compile --quiet --no-annotate --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --universal pyproject.toml -o locks/runtime.txt
	@$(BIN)/uv pip compile --quiet --no-annotate --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --universal --extra dev -c locks/runtime.txt pyproject.toml -o locks/dev.txt
	@$(BIN)/uv pip compile --quiet --no-annotate --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --universal --extra engine -c locks/runtime.txt pyproject.toml -o locks/engine.txt
	@$(BIN)/uv pip compile --quiet --no-annotate --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --universal --extra dev --extra engine --extra engine-test -c locks/dev.txt pyproject.toml -o locks/engine-dev.txt

clean: ## Remove what was built here (the tool cache stays)
	@rm -rf $(VENV) $(ENGINE_VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
