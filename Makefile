# Every target is complete in itself: it makes the environment if it is missing, then works.
.DEFAULT_GOAL := help
.PHONY: help demo test lint format lock bench clean

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

# The stamp is newer than the lock and pyproject.toml once both are installed, so a second run installs nothing.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "face18 needs Python 3.11 to 3.13, and $(PYTHON) is another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@if command -v uv >/dev/null; then \
	  test -x $(BIN)/python || uv venv --quiet --python "$$(command -v $(PYTHON))" .venv; \
	  uv pip install --python $(BIN)/python --require-hashes -r requirements.lock && \
	  uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .; \
	else \
	  test -x $(BIN)/pip || $(PYTHON) -m venv .venv; \
	  $(BIN)/pip install --disable-pip-version-check --require-hashes -r requirements.lock && \
	  $(BIN)/pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
	fi
	@touch $@

demo: $(INSTALLED)  ## draw sample portraits, crop, train three specialists, fuse, score
	@$(BIN)/python -m shared.demo

test: $(INSTALLED)  ## the test suite
	$(BIN)/python -m pytest

lint: $(INSTALLED)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(INSTALLED)  ## renew requirements.lock: the newest versions that pyproject.toml allows, with hashes
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-header --no-annotate --emit-build-options --output-file requirements.lock --quiet

clean:  ## remove what the targets above made, environment included
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache outputs/demo data/sample
