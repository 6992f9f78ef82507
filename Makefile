# One line per target; `make help` lists them. VENV names another virtual environment.

VENV ?= .venv
BIN := $(VENV)/bin
CONFTESTS = $(shell find tests -name conftest.py)

.DEFAULT_GOAL := help
.PHONY: help install run up dev test slow lint types docs bench demo db wheel clean ci

help:  ## list these targets
	@awk 'BEGIN {FS = ":.*?## "} /^[a-z]+:.*?## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A stamp, and not a program: an installation without the test tools has the programs too.
$(VENV)/.test-tools: setup.py
	python3 -m venv $(VENV)
	$(BIN)/pip install -e '.[test]'
	@touch $@

install: $(VENV)/.test-tools  ## make .venv with the project and its test tools

run: install  ## create the node of examples/create_node.yaml; change its name there the second time
	$(BIN)/dagster job execute -m orchestrator_defs -j create_node -c examples/create_node.yaml

up: install  ## everything on this machine, with example data, until ^C
	$(BIN)/orchestrator up

dev: install  ## Dagster's page on http://localhost:3000, with its daemon
	$(BIN)/dagster dev

test: install  ## the fast tests, one worker per core
	$(BIN)/pytest -n auto

slow: install  ## the slow tests, which wait, and those of scale at a hundredth of their size
	$(BIN)/pytest -n 6 -m "slow or scale"

lint: install  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install  ## mypy, strict: the packages, the benchmarks and the fixtures of the tests
	$(BIN)/mypy
	$(BIN)/mypy tests/architecture.py $(CONFTESTS)

docs: install  ## the documents as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: install  ## measure what is claimed about speed; some ten minutes
	$(BIN)/python -m benchmarks

demo: install  ## walk a small network through its whole life
	$(BIN)/orchestrator demo

db: install  ## bring the schema of the database up to date and check it
	$(BIN)/orchestrator db upgrade
	$(BIN)/orchestrator db check

wheel: install  ## build the wheel into dist/
	$(BIN)/python -m build --wheel

clean:  ## remove what tools left behind; not .venv and not the embedded data
	rm -rf build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

ci:  ## what the continuous integration runs, in an environment of its own
	bash .ci/run
