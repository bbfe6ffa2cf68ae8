# SPDX-License-Identifier: GPL-3.0-only
# `make` lists the verbs. Each is one command that a person runs here and that CI runs too.

PORT ?= 8080
PYTHONS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
BENCH_BASE ?=
LOCK_ARGS ?=
COVERAGE_MIN ?= 90
WORKERS ?= 2
E2E ?= mock live
CLIENTS ?=

BIN := .venv/bin
BOOTSTRAP := python3 scripts/bootstrap.py
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
SOURCES := modeld scripts tests plugins examples
SHELL_SCRIPTS = $(shell git ls-files --cached --others --exclude-standard '*.sh' .ci/run)
DOCKERFILES = $(shell git ls-files --cached --others --exclude-standard '*Dockerfile')
# All tests, unless PYTEST_ARGS names some.
CHOSEN := $(filter tests/% plugins/%,$(PYTEST_ARGS))
TESTS := $(if $(CHOSEN),,tests $(wildcard plugins/*/tests))
WITHOUT_PACKAGES := -m "not debian and not browser"
# Whole files, so that what a module's tests share is made once, in the order of tests/conftest.py.
IN_PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
MAKEFLAGS += --no-print-directory
# Where it is set, each of a thousand processes of the tests would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run dev models test test-all matrix js debian e2e clients cluster bench lint types contracts \
  format docs swagger wheels lock apt clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' \
	  $(MAKEFILE_LIST)

run: ## serve a small model on 127.0.0.1:8080 (PORT=…), from nothing if need be
	@$(BOOTSTRAP) run --port $(PORT)

dev: ## make .venv with everything that testing and checking need
	@$(BOOTSTRAP) dev

models: ## bring the two small models and the chat templates that the tests use into models/
	@$(BOOTSTRAP) models

# Whoever names tests wants an answer soon: these run in the checkout, and nothing is measured.
ifeq ($(strip $(PYTEST_ARGS)),)
test: models
	@$(BOOTSTRAP) test --minimum $(COVERAGE_MIN) -- $(TESTS) $(WITHOUT_PACKAGES) $(IN_PARALLEL) \
	  --durations 20
else
test: dev models
	$(BIN)/python -m pytest $(TESTS) $(WITHOUT_PACKAGES) $(PYTEST_ARGS)
endif
test: ## run all tests but those below on the wheels, reaching 90 %; or those of PYTEST_ARGS=…

test-all: apt dev ## install what all suites need and run them, in a browser too
	$(BIN)/python scripts/testctl install all
	$(BIN)/python scripts/testctl test all auto -- $(PYTEST_ARGS)

matrix: models ## run the tests on each Python of this machine (PYTHONS="3.11 3.12")
	@$(BOOTSTRAP) matrix --versions "$(PYTHONS)" -- $(TESTS) $(WITHOUT_PACKAGES) $(IN_PARALLEL) \
	  $(PYTEST_ARGS)

js: ## install, check and test the JavaScript of the dashboard, with node
	@sh scripts/js.sh

debian: apt dev models ## run the tests that need Debian packages, which it installs
	$(BIN)/python -m pytest $(TESTS) -m "debian and not browser" $(PYTEST_ARGS)

e2e: apt dev models ## run the tests in a browser, mocked and live (E2E=mock for one)
	@failed=0; for mode in $(E2E); do \
	  $(BIN)/python scripts/testctl test web $$mode --models-dir models -- $(PYTEST_ARGS) \
	  || failed=1; done; exit $$failed

clients: dev models ## run the tests with clients that others have made (CLIENTS="sdks litellm")
	@$(BOOTSTRAP) clients --clients "$(CLIENTS)" -- $(PYTEST_ARGS)

cluster: models ## run the tests on several nodes of Ray, with its half a gigabyte
	@$(BOOTSTRAP) cluster -- $(PYTEST_ARGS)

bench: models ## run the benchmarks against llama-server (BENCH_ARGS="--short swap", BENCH_BASE=main)
	@BENCH_BASE="$(BENCH_BASE)" $(BOOTSTRAP) bench -- $(BENCH_ARGS)

lint: dev ## check style, format, dead code, workflows, shell scripts, Dockerfiles, hygiene and lock files
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/python scripts/dead_code.py
	$(BIN)/python scripts/hygiene.py
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/actionlint
	$(BIN)/shellcheck $(SHELL_SCRIPTS)
	$(if $(DOCKERFILES),$(BIN)/hadolint $(DOCKERFILES))
	@$(BOOTSTRAP) lock --check

types: dev ## check the types of core, plugins, scripts and testctl
	$(BIN)/mypy
	MYPYPATH=scripts $(BIN)/mypy scripts/*.py
	MYPYPATH=scripts $(BIN)/mypy -p testctl -p bootstrapping
	$(BIN)/mypy tests/pythonapi/typed_use.py
	@set -e; for plugin in $(PLUGINS); do \
	  echo "$(BIN)/mypy $$plugin"; $(BIN)/mypy --exclude '/tests/' $$plugin; done

contracts: dev ## check who imports whom
	$(BIN)/lint-imports

format: dev ## write all files in the one format
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

docs: dev ## check that the OpenAPI document is current, and build the pages into site/
	$(BIN)/python -m tests.openapi_document --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

swagger: dev ## write the OpenAPI document docs/reference/openapi.json anew
	$(BIN)/python -m tests.openapi_document

wheels: ## build the wheels of core and plugins into dist/
	@$(BOOTSTRAP) wheels

lock: ## write requirements/*.txt anew (LOCK_ARGS=--upgrade for newer versions)
	@$(BOOTSTRAP) lock $(LOCK_ARGS)

apt: ## install the Debian packages that tests need: promtool, chromium, nginx, systemd, fonts
	@sh scripts/apt.sh

clean: ## remove what was built here; the wheel and the models outside stay
	rm -rf .venv .venv-* build dist site .coverage .coverage.* .hypothesis .pytest_cache \
	  .mypy_cache .ruff_cache .import_linter_cache .benchmarks models tests/artifacts \
	  plugins/*/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
