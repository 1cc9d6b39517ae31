# `make` lists the targets: every `## text` after a target's name is its line in that list.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
SEED ?= 1
ARGS ?=
TYPED := -p scitq -p tests $(if $(wildcard bench/__init__.py),-p bench)

.PHONY: help setup check test unit demo sim campaign bench docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/installed ## make .venv and install the services that the tests start
	@tests/services/setup.sh

check: $(VENV)/installed ## lint, format, types, import contracts, layout
	@$(BIN)/ruff check --quiet --output-format concise .
	@$(BIN)/ruff format --quiet --check --output-format concise .
	@$(BIN)/mypy --no-error-summary $(TYPED)
	@out=$$($(BIN)/lint-imports 2>&1) || { echo "$$out"; exit 1; }
	@$(BIN)/pytest --quiet --no-header -p no:cacheprovider tests/test_layout.py

test: setup check ## everything: set-up, check, the whole suite
	@$(BIN)/pytest --numprocesses 2 --dist loadfile $(ARGS)

unit: $(VENV)/installed ## the fast tests only (seconds, no services)
	@$(BIN)/pytest tests/unit $(ARGS)

demo: $(VENV)/installed ## see it work: a server, a worker and some tasks on this machine
	@$(BIN)/python -m scitq.cli.demo

sim: $(VENV)/installed ## one simulated run: make sim SEED=7
	@$(BIN)/python -m tests.simulation $(SEED)

campaign: setup ## the fault campaign against real processes
	@$(BIN)/python -m bench.campaign $(ARGS)

bench: setup ## the speed measurements
	@$(BIN)/python -m bench $(ARGS)

docs: $(VENV)/installed ## write the pages anew that are made from the program
	@$(BIN)/python -m tests.pages

lock: ## resolve the dependencies anew: make lock ARGS=--upgrade
	@tests/services/lock.sh $(ARGS)

clean: ## remove .venv, caches and build products
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/installed: pyproject.toml requirements.lock tests/services/venv.sh
	@tests/services/venv.sh $(VENV)
	@touch $@
