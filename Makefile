# SPDX-License-Identifier: GPL-3.0-only
# `make` lists the verbs. Each is one command that a person runs here and that CI runs too.

PORT ?= 8080
PYTHONS ?= 3.11 3.12 3.13
PYTEST_ARGS ?=
BENCH_ARGS ?=
BENCH_ARGS ?=
LOCK_ARGS ?=
COVERAGE_MIN ?= 80

BIN := .venv/bin
BOOTSTRAP := python3 scripts/bootstrap.py
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
SOURCES := modeld scripts tests plugins examples
TESTS := tests $(wildcard plugins/*/tests)
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL := help
.PHONY: help run models test coverage matrix bench debian lint types contracts format lock apt clean dev

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## serve a small model on 127.0.0.1:8080 (PORT=…), from nothing if need be
	@$(BOOTSTRAP) run --port $(PORT)

models: ## bring the two small models that the tests use into models/
	@$(BOOTSTRAP) models

test: dev models ## run all tests, from nothing if need be (PYTEST_ARGS=…)
	$(BIN)/python -m pytest $(TESTS) -m "not debian" $(PYTEST_ARGS)

coverage: dev models ## run all tests and measure which lines and branches they reach
	$(BIN)/python -m pytest $(TESTS) -m "not debian" --cov --cov-report=term:skip-covered \
	  --cov-fail-under=$(COVERAGE_MIN) $(PYTEST_ARGS)

matrix: models ## run all tests on each supported Python (PYTHONS="3.11 3.12")
	@$(BOOTSTRAP) matrix --versions $(PYTHONS) -- $(TESTS) $(PYTEST_ARGS)

bench: models ## run the benchmarks against llama-server (BENCH_ARGS="--repeats 3 swap")
	@$(BOOTSTRAP) bench -- $(BENCH_ARGS)

debian: apt dev ## run the tests that need Debian packages, which it installs
	$(BIN)/python -m pytest $(TESTS) -m debian $(PYTEST_ARGS)

lint: dev ## check style, format and lock files
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	@$(BOOTSTRAP) lock --check

types: dev ## check the types of core, plugins and scripts
	$(BIN)/mypy
	MYPYPATH=scripts $(BIN)/mypy scripts/*.py
	@set -e; for plugin in $(PLUGINS); do \
	  echo "$(BIN)/mypy $$plugin"; $(BIN)/mypy --exclude '/tests/' $$plugin; done

contracts: dev ## check who imports whom
	$(BIN)/lint-imports

format: dev ## write all files in the one format
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

lock: ## write requirements/*.txt anew (LOCK_ARGS=--upgrade for newer versions)
	@$(BOOTSTRAP) lock $(LOCK_ARGS)

apt: ## install the Debian packages that the tests need (promtool)
	@sh scripts/apt.sh

clean: ## remove what was built here; the wheel and the models outside stay
	rm -rf .venv .venv-* build dist site .coverage .coverage.* .hypothesis .pytest_cache \
	  .mypy_cache .ruff_cache .import_linter_cache .benchmarks models tests/artifacts
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

dev:
	@$(BOOTSTRAP) dev
