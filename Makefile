# One command per job. Each does its own set-up, inside .venv and nowhere else;
# `make help` lists them. Works with GNU make 3.81, as macOS has it.

.DEFAULT_GOAL := help
.PHONY: help up down test lint simulate mutants faults figures soak protos protos-check venv clean

VENV  := .venv
BIN   := $(CURDIR)/$(VENV)/bin
STAMP := $(VENV)/.ready

# The first Python that is new enough and can make virtual environments.
CAN_DO = import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON = $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c '$(CAN_DO)' >/dev/null 2>&1 && { command -v $$python; break; }; done)

PROTOS   := protos/scoord/v1
MESSAGES := $(wildcard $(PROTOS)/*.proto)
# The records are what the store holds: messages only, no service.
SERVICES := $(filter-out %/records.proto,$(MESSAGES))

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

up: $(STAMP) ## start everything on this machine, show two sessions collide, and return
	@$(BIN)/scoord up
	@printf '\nTwo sessions meet on one file:\n\n'
	@$(BIN)/scoord demo
	@printf '\nWhat runs now:\n\n'
	@$(BIN)/scoord status
	@printf '\nWhat to do next:\n'
	@printf '  %-42s %s\n' \
	  '$(VENV)/bin/scoord hooks install' 'wire Claude Code to it, for this user' \
	  '$(VENV)/bin/scoord doctor' 'see what works and what does not' \
	  'README.md, "From one machine to a team"' 'share it across machines' \
	  'make down' 'stop it'

down: $(STAMP) ## stop what `make up` started
	@$(BIN)/scoord down

# Most tests wait, for programs and for time: several at once. Faults are timed, and
# histories take all processors by themselves: these come after, whatever came before.
WORKERS ?= 3
PYTEST  := $(BIN)/python -m pytest --durations=10

test: lint ## everything CI runs: lint, then all tests
	@echo 'tests: etcd and Claude Code are fetched once, into $${XDG_CACHE_HOME:-~/.cache}/scoord-tests'
	$(PYTEST) --numprocesses $(WORKERS) --dist loadfile \
	  tests/unit tests/contract tests/client tests/integration; first=$$?; \
	  $(PYTEST) tests/simulation tests/fault && exit $$first

mutants: $(STAMP) ## plant mistakes one after the other, and see that the tests catch each
	PYTHONPATH=tests $(BIN)/python -m mutants.run $(ONLY)

lint: $(STAMP) protos-check ## ruff, mypy, import contracts, buf, fresh generated code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	BUF_CACHE_DIR=$(VENV)/buf $(BIN)/buf lint

# FROM=seed to start elsewhere; LOG=1 prints the history of that seed alone.
SEEDS ?= 2000
FROM  ?= 0

simulate: $(STAMP) ## run SEEDS=2000 histories of agents, coordinators and faults in virtual time
	@cd tests && $(BIN)/python -m support.simulation --seeds $(SEEDS) --from $(FROM) $(if $(LOG),--log)

faults: $(STAMP) ## make programs, networks, disks and clocks fail, and print what it costs (root)
	$(BIN)/python -m pytest tests/fault -v

figures: $(STAMP) ## measure what the promises of time cost, often enough for a p99 (root)
	PYTHONPATH=tests $(BIN)/python tests/fault/figures.py --json $(VENV)/figures.json

MINUTES ?= 30

soak: $(STAMP) ## work steadily for MINUTES=30, and see that no program grows
	PYTHONPATH=tests $(BIN)/python tests/fault/soak.py --minutes $(MINUTES)

protos: $(STAMP) ## generate code from the protos
	$(call generate,protos)

protos-check: $(STAMP) ## check that the generated code is what the protos say
	@rm -rf $(VENV)/protos && mkdir -p $(VENV)/protos
	$(call generate,$(VENV)/protos)
	@diff -r -x '*.proto' -x __init__.py -x __pycache__ $(VENV)/protos/scoord/v1 $(PROTOS) \
	  || { echo 'error: generated code is not fresh; run: make protos' >&2; exit 1; }

venv: $(STAMP) ## set up the virtual environment alone

clean: ## remove the virtual environment and all caches in this folder
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

define generate
PATH="$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I protos \
  --python_out=$(1) --mypy_out=quiet:$(1) $(MESSAGES)
PATH="$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I protos \
  --grpc_python_out=$(1) --mypy_grpc_out=quiet:$(1) $(SERVICES)
endef

$(STAMP): pyproject.toml constraints.txt
	@test -n '$(PYTHON)' || { echo 'error: no Python 3.11 or newer that can make virtual' \
	  'environments; install one (Debian: python3-venv), or name it: make PYTHON=...' >&2; exit 1; }
	@echo 'set-up: $(VENV), with $(PYTHON); a minute or two, and pip keeps what it fetches in its cache'
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[dev]'
	@touch $@
