# Sampan's tasks. `make` lists them; each installs what it needs first.

VENV := .venv
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PACKAGES := api apiserver client controller deploy kubectl kubelet proxy scheduler
export VENV

.DEFAULT_GOAL := help
.PHONY: help up down reset test lint format bench lock install install-dev

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: install ## start a cluster on this machine, and show its example answering
	@$(SUDO) $(VENV)/bin/sampan up

down: install ## stop the daemons; pods keep running, data stays
	@$(SUDO) $(VENV)/bin/sampan down

reset: install ## remove the cluster with its pods and data, nothing else; asks first
	@$(SUDO) $(VENV)/bin/sampan reset

test: install-dev ## run every test: unit, integration, end to end
	@$(SUDO) deploy/scripts/with-docker.sh $(VENV)/bin/python -m pytest -p no:cacheprovider tests/unit tests/integration tests/e2e

lint: install-dev ## check style, types and the import rules
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy $(PACKAGES:%=-p %)
	$(VENV)/bin/lint-imports --no-logo

format: install-dev ## put the code into the house style
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: install-dev ## measure, next to bare Docker and bare etcd
	@$(SUDO) deploy/scripts/with-docker.sh $(VENV)/bin/python -m tests.bench

lock: ## choose the newest versions of all dependencies (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate \
		--upgrade --quiet --output-file requirements.lock
	uv pip compile pyproject.toml --extra dev --constraint requirements.lock --universal --python-version 3.11 \
		--no-emit-index-url --no-header --no-annotate --quiet --output-file requirements-dev.lock

install:
	@deploy/scripts/install.sh run

install-dev:
	@deploy/scripts/install.sh dev
