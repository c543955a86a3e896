# Everything from a fresh clone: `make train`, `make test`, `make lint`, `make bench`. Each sets up .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2

.PHONY: train test lint bench setup clean
.DEFAULT_GOAL := help
.PHONY: help

help: ## show what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

train: $(READY) ## train DQN on CartPole with batches of 256 transitions
	$(BIN)/rlbatch train --env CartPole-v1 --batch 256

test: $(READY) ## run the whole test suite
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

lint: $(READY) ## check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY) ## measure how wide to stack on this machine, and whether a GPU is worth it
	$(BIN)/rlbatch bench

setup: $(READY) ## only make .venv and install what is needed

clean: ## remove .venv and caches
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): setup.cfg pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is missing; install the package python3 (3.11 or newer)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "make: $(PYTHON) cannot make virtual environments; install the package python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[box2d,mujoco,dev]'
	@touch $(READY)
