# Every target sets up what it needs by itself; the second time that takes no time.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

export PYTHONPATH := .:layers/common
# Only the interpreter that is here: no look for others online.
export UV_PYTHON_DOWNLOADS := never
export UV_LINK_MODE := copy
# The CDK works on Node 20, which Debian 12 users have, and would warn of its age at every start.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20
export TIKTOKEN_CACHE_DIR := $(CURDIR)/.build/tiktoken

# uv where it reaches the index, else pip, which knows a private one from its own configuration.
install = VIRTUAL_ENV=$(or $(2),$(VENV)) $(VENV)/bin/uv pip install --quiet --require-hashes -r $(1) \
	|| $(or $(2),$(VENV))/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1)

.PHONY: help
help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(VENV)/.base: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; '$(PYTHON)' is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "Python cannot make a virtual environment. On Debian: apt install python3-venv"; exit 1; }
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/.run: requirements/run.txt $(VENV)/.base
	@echo "Installing what running needs (once)"
	@$(call install,requirements/run.txt)
	@touch $@

$(VENV)/.test: requirements/test.txt $(VENV)/.run
	@echo "Installing what tests and deployment need (once)"
	@$(call install,requirements/test.txt)
	@touch $@

OIDC_SERVER := tests/oidc/node_modules/.installed

$(OIDC_SERVER): tests/oidc/package-lock.json
	@echo "Installing the OpenID Connect server of the tests (once)"
	@command -v npm > /dev/null || { echo "The tests need Node.js with npm. On Debian: apt install npm"; exit 1; }
	@cd tests/oidc && npm ci --ignore-scripts --no-audit --no-fund --engine-strict=false --loglevel=error > /dev/null
	@touch $@

.build/.ranks: requirements/ranks.txt infra/ranks.py $(VENV)/.run
	@echo "Fetching the tokenizer's ranks (once)"
	@$(PY) -m infra.ranks > /dev/null
	@touch $@

PEERS := .build/peers

$(PEERS)/.installed: requirements/peers.txt $(VENV)/.base
	@echo "Installing what retrieval is compared with (once)"
	@$(PYTHON) -m venv $(PEERS)
	@$(call install,requirements/peers.txt,$(PEERS))
	@touch $@

.PHONY: run
run: $(VENV)/.run .build/.ranks ## Run everything on this machine, at http://127.0.0.1:8080
	@exec $(PY) -m local.stack run

.PHONY: demo
demo: $(VENV)/.run .build/.ranks ## Run, ask one question about the samples, print its cited answer, stop
	@exec $(PY) -m local.stack demo

.PHONY: test
test: $(VENV)/.test $(OIDC_SERVER) .build/.ranks ## Run all tests
	@$(PY) -m pytest $(ARGS)

.PHONY: campaign
campaign: $(VENV)/.test $(OIDC_SERVER) .build/.ranks ## Run the tests with full counts instead of samples; takes long
	@$(PY) -m pytest --campaign -s --timeout=3600 $(ARGS)

.PHONY: fuzz
fuzz: $(VENV)/.test .build/.ranks ## Send 50,000 hostile requests to all operations of the HTTP API; a quarter of an hour
	@$(PY) -m pytest tests/fuzz/test_hostile_input.py --campaign -s --timeout=7200 $(ARGS)

.PHONY: lint
lint: $(VENV)/.test ## Check style and types
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

.PHONY: format
format: $(VENV)/.test ## Format the code
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

.PHONY: layers
layers: $(VENV)/.test .build/.ranks ## Build the Lambda layer and the functions' packages
	@$(PY) -m infra.bundle

.PHONY: synth
synth: layers ## Synthesize the CloudFormation template into cdk.out
	@$(PY) -m infra.app

.PHONY: bench
bench: $(VENV)/.test .build/.ranks ## Measure: starts, asking, retrieval beside its peers; an hour
	@$(PY) -m bench.cold_start
	@$(PY) -m bench.identity
	@$(PY) -m bench.asking
	@$(PY) -m bench.first_ask
	@$(PY) -m bench.repeated
	@$(MAKE) --no-print-directory $(PEERS)/.installed || echo "The peers could not be installed."
	@$(PY) -m bench.retrieval $(ARGS)

.PHONY: bench-full
bench-full: ## Measure retrieval up to a million chunks; hours
	@$(MAKE) --no-print-directory bench \
	  ARGS="--sizes 2000 10000 100000 1000000 --vectors 384:200000 1536:200000 $(ARGS)"

# A peer that cannot be installed is left out of the report.
.PHONY: eval
eval: $(VENV)/.run .build/.ranks ## Measure retrieval on sets with judgements, beside its peers
	@$(MAKE) --no-print-directory $(PEERS)/.installed || echo "The peers could not be installed."
	@$(PY) -m evals.run $(ARGS)

.PHONY: txtai
txtai: $(PEERS)/.installed ## Install txtai and PyTorch (large) for make eval
	@VIRTUAL_ENV=$(PEERS) $(VENV)/bin/uv pip install --quiet --no-deps --require-hashes -r requirements/txtai.txt
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0

.PHONY: openapi
openapi: $(VENV)/.run ## Write the OpenAPI description that GET /openapi.json serves
	@$(PY) -m infra.openapi

.PHONY: lock
lock: $(VENV)/.base ## Pin the requirements anew; those of the Lambda packages follow run.txt
	@compile="$(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11"; \
	for name in uv run peers; do $$compile requirements/$$name.in -o requirements/$$name.txt; done; \
	$$compile -c requirements/run.txt requirements/test.in -o requirements/test.txt; \
	$$compile -c requirements/peers.txt --override requirements/without-torch.txt requirements/txtai.in \
	  -o requirements/txtai.txt
	@$(PY) -m infra.bundle --lock

.PHONY: clean
clean: ## Remove what was built and installed; documents in .local stay
	rm -rf $(VENV) .build cdk.out tests/oidc/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
