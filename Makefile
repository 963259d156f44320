# Every target prepares what it needs: system packages, uv, the locked environment.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export UV_PROJECT_ENVIRONMENT ?= $(CURDIR)/.venv
UV := tests/tools/uv
RUN := $(UV) run --frozen --no-sync
PYTEST := $(RUN) pytest
# Tests that mostly wait run side by side, each in a lane of its own (tests/lanes). Those of the whole
# measure outages as well, and a lab beside theirs would be in the figures: one at a time.
LANES ?= $(shell expr $$(nproc) + 1)
E2E_LANES ?= 1
lanes = -p tests.lanes.plugin --dist loadfile --no-loadscope-reorder \
  --tx '$(1)*popen//python=tests/lanes/lane'

.PHONY: help
help: ## What can be done here
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

.PHONY: demo
demo: setup ## The main job before your eyes: a VM dies, the service goes on
	$(RUN) standfast-lab demo

.PHONY: recording
recording: setup ## The picture in the README, drawn from the demo as it runs now: docs/demo.svg
	$(RUN) standfast-lab demo --svg docs/demo.svg

.PHONY: test
test: ## Everything CI runs
	@tests/lanes/stages setup lint unit simulate-ci mutants model parts integration e2e

.PHONY: setup
setup: ## System packages, uv and the locked environment
	@tests/tools/prepare
	@$(UV) sync --frozen --quiet

.PHONY: fmt
fmt: setup ## Format
	$(RUN) ruff check --fix-only --quiet .
	$(RUN) ruff format .

.PHONY: lint
lint: setup ## Lint, types, layers, spelling, generated files
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) codespell
	$(RUN) python -m standfast.api.crdgen --check
	$(RUN) python -m standfast.api.reference --check
	$(RUN) python -m standfast.cli.reference --check
	$(RUN) python -m standfast.controller.metrics_reference --check

.PHONY: unit
unit: setup ## Fast and pure tests; every branch of the core
	$(PYTEST) tests/unit -n 2 -q --cov=standfast.core --cov-branch --cov-report= --cov-fail-under=100

.PHONY: simulate-ci
simulate-ci: setup ## Seeded simulation of the lease: fixed seeds and fresh ones
	$(PYTEST) tests/simulation -q --timeout 600

.PHONY: simulate
simulate: setup ## Simulate FAULTS=n faults [SEED=s]
	$(RUN) python -m standfast.simulator run --faults $(or $(FAULTS),1000000) $(if $(SEED),--seed $(SEED)) --jobs 2

.PHONY: mutants
mutants: setup ## Plant known bugs in the core; each must be caught
	$(RUN) python -m tests.mutants

.PHONY: model
model: setup ## Check the model of the lease exhaustively (Spin)
	$(PYTEST) tests/model -n 2 -q --timeout 900

.PHONY: parts
parts: setup ## Fetch and build what the lab needs
	$(RUN) python -m tests.lanes.fill

.PHONY: integration
integration: parts ## Adapters against real parts: API server, vCenter simulator, systemd, netlink
	$(PYTEST) tests/integration $(call lanes,$(LANES)) -q --timeout 300 -m "not load" --durations 10

.PHONY: load
load: setup ## What measures a machine under load or boots full ones: guard, watchdog, disks
	@tests/tools/prepare load
	$(PYTEST) tests/integration -q --timeout 600 -m load

.PHONY: chaos
chaos: setup ## Random faults on a real pair: RUNS=n SEED=s [EXAMPLE=web|postgresql|postgresql-async]
	$(RUN) python -m standfast.lab.chaos --runs $(or $(RUNS),20) --seed $(or $(SEED),1) \
	  --example $(or $(EXAMPLE),web)

.PHONY: curve
curve: setup ## Load, loss and latency against false failovers and take-over time: build/chaos/curve.json
	$(RUN) python -m standfast.lab.chaos.curve

.PHONY: postgresql-versions
postgresql-versions: setup ## The PostgreSQL driver with Debian's other versions: VERSIONS="13 17"
	$(RUN) python -m tests.integration.postgresql_versions $(VERSIONS)

.PHONY: bench-scale
bench-scale: setup ## Measure the operator with N=300 clusters: build/bench/scale.json
	$(RUN) python -m tests.bench.scale --clusters $(or $(N),300)

.PHONY: soak
soak: setup ## Changes, restarts and faults for MINUTES=30 SEED=s; does the operator leak? build/bench/soak.json
	$(RUN) python -m tests.bench.soak --minutes $(or $(MINUTES),30) --seed $(or $(SEED),1)

.PHONY: e2e
e2e: parts ## The whole in the lab
	$(PYTEST) tests/e2e $(call lanes,$(E2E_LANES)) -q --timeout 300 --durations 10

.PHONY: bench
bench: setup ## Measure outages: build/bench/failover.json
	$(RUN) python -m tests.bench

.PHONY: site
site: setup ## The documents as a site: build/site
	$(UV) tool run --from 'mkdocs<2' mkdocs build --strict --quiet

.PHONY: krew
krew: setup ## The kubectl plugin for krew: build/krew
	$(RUN) python krew/build.py

.PHONY: crds
crds: setup ## Generate crds/, the chart's copies and docs/reference from the models
	$(RUN) python -m standfast.api.crdgen
	$(RUN) python -m standfast.api.reference
	$(RUN) python -m standfast.cli.reference
	$(RUN) python -m standfast.controller.metrics_reference

.PHONY: clean
clean: ## Remove what builds and tests left in the tree
	rm -rf build dist .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
