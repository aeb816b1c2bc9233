# Everything starts with `make install`; the other targets call it themselves.
# PYTHON=...       the interpreter for .venv (default: the first of the candidates that will do)
# PYTEST_FLAGS=... more for pytest, such as -k name
# BENCH_FLAGS=...  for the benchmark, such as --quick --only ack-sqlite
# DEMO_FLAGS=...   for the demos, such as --no-webhooks; --help lists them
# WORKERS=...      test processes (4); 0 runs the tests in one
# MEMORY=...       a folder in memory for the tests' files (/dev/shm, where there is one)

SHELL := /bin/bash
PYTHON ?=
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3.13 python3.12 python3.11 python3.14 python3)
PYTEST_FLAGS ?=
DEMO_FLAGS ?=
BENCH_FLAGS ?=
# Most tests wait for real processes: four keep two cores busy.
WORKERS ?= 4
# Wheels only: building from source would fetch build tools that no hash pins.
PIP_FLAGS ?= --only-binary :all:
UV_VERSION := 0.13.9
LOCK_FLAGS ?=
VENV := .venv
MEMORY ?= $(shell test -d /dev/shm -a -w /dev/shm && echo /dev/shm)
INSTALLED := $(VENV)/.installed
BENCH_INSTALLED := $(VENV)/.bench-installed
SOURCES := $(wildcard schemas handlers consumer deploy tests)

.DEFAULT_GOAL := help
.PHONY: help install services test check bench demo demo-streaming sandbox run lock remedies clean
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(INSTALLED) ## make .venv with everything in it

# Names the first interpreter that is new enough and can make environments, or says what is missing.
define find_python
found=; \
for candidate in $(CANDIDATES); do \
	"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	found=$$candidate; \
	"$$candidate" -c 'import ensurepip, venv' 2>/dev/null && { python=$$candidate; break; }; \
done; \
if [ -z "$$found" ]; then \
	echo "order-rescue needs Python 3.11 or later; none of these is: $(CANDIDATES)." \
		"Name one: make install PYTHON=/path/to/python3.11" >&2; exit 1; \
elif [ -z "$${python:-}" ]; then \
	echo "$$found has no venv or ensurepip module. On Debian and Ubuntu: apt install python3-venv;" \
		"or name another: make install PYTHON=/path/to/python3.11" >&2; exit 1; \
fi
endef

$(INSTALLED): pyproject.toml requirements/dev.txt
	@$(find_python); \
	set -e; \
	if ! $(VENV)/bin/python -m pip --version >/dev/null 2>&1; then \
		echo "making $(VENV) with $$($$python --version)"; \
		"$$python" -m venv --clear $(VENV); \
	fi
	@echo "installing requirements/dev.txt"; \
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		$(PIP_FLAGS) -r requirements/dev.txt || { \
		echo "If a package has no wheel for $$($(VENV)/bin/python --version): make clean install" \
			"PYTHON=python3.13, or PIP_FLAGS= to build it from source." >&2; exit 1; }
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	@$(VENV)/bin/python -m pip check --disable-pip-version-check
	@touch $@

services: install ## fetch the real services that tests start (.services), where there are none
	@$(VENV)/bin/python -m tests.services

# The tests' databases are in memory where the system offers that: they wait for thousands of
# commits, and a killed process loses nothing of a file, whatever it is on.
test: install services ## run the tests
	$(if $(MEMORY),TMPDIR=$(MEMORY)) $(VENV)/bin/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_FLAGS) tests

check: install ## ruff, mypy and the import rule
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy $(SOURCES)
	$(VENV)/bin/python -m pytest -q tests/core/test_imports.py

$(BENCH_INSTALLED): $(INSTALLED) requirements/bench.txt
	@echo "installing requirements/bench.txt"; \
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		$(PIP_FLAGS) -r requirements/bench.txt
	@touch $@

# Its databases are on the disk, never in memory: what an fsync costs is part of the figures.
bench: $(BENCH_INSTALLED) services ## measure; a table, JSON and charts in build/bench
	env -u TMPDIR $(VENV)/bin/python -m tests.bench $(BENCH_FLAGS)

demo: install ## 300 shoppers against the sandbox; ends with the books balanced, or exit 1
	$(VENV)/bin/python -m deploy.demo $(DEMO_FLAGS)

demo-streaming: install services ## the same with Kafka, PostgreSQL and three replicas
	$(VENV)/bin/python -m tests.streaming.demo $(DEMO_FLAGS)

sandbox: install ## the stand-in platform, for local runs
	$(VENV)/bin/python -m deploy.sandbox

run: install ## the service, with settings from the environment or .env
	$(VENV)/bin/order-rescue serve

lock: ## write requirements/*.txt anew; LOCK_FLAGS=--upgrade takes newer versions
	@$(find_python); \
	set -e; \
	test -x .lock-venv/bin/uv || { "$$python" -m venv --clear .lock-venv; \
		.lock-venv/bin/python -m pip install --quiet uv==$(UV_VERSION); }; \
	compile=".lock-venv/bin/uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header $(LOCK_FLAGS)"; \
	tested="--constraints requirements/dev.txt"; \
	$$compile pyproject.toml --group dev --output-file requirements/dev.txt; \
	$$compile pyproject.toml --extra otel $$tested --output-file requirements/runtime.txt; \
	$$compile --group build $$tested --output-file requirements/build.txt; \
	$$compile --group bench $$tested --output-file requirements/bench.txt

remedies: $(INSTALLED) ## write docs/remedies.md from the table of remedies
	@$(VENV)/bin/order-rescue remedies --markdown >docs/remedies.md

clean: ## remove what the other targets made
	rm -rf $(VENV) .lock-venv .services build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
