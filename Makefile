# `make run` and `make test` need Python 3.11+ with pip, and nothing else done before them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Name a shop's folder or fsspec URL of logs to run on it instead of the demo shop: make run DATA=path
DATA ?=
DATA_OPTION := $(if $(DATA),--data $(DATA))
# Of `make image`: the engine, what is built, where torch is from, and further options of the engine's build.
ENGINE ?= docker
TARGET ?= serving
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
IMAGE_OPTIONS ?=

.PHONY: help run check-data ui serve image down test fast check docs clean

help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r a b; do printf '%-16s %s\n' "$$a" "$$b"; done

run: $(VENV)/.run ## demo shop (or DATA) -> sessions -> features -> towers -> release, live
	$(BIN)/shelfwise run $(DATA_OPTION)

check-data: $(VENV)/.run ## is DATA ready for a run? before any training
	$(BIN)/shelfwise check $(DATA)

ui: $(VENV)/.run ## Dagster UI on the workspace
	$(BIN)/shelfwise ui $(DATA_OPTION)

serve: $(VENV)/.run ## HTTP API and search page on the live release
	$(BIN)/shelfwise serve $(DATA_OPTION)

image: ## container image of the API, or with TARGET=full of all of it; ENGINE, TORCH_INDEX: docs/deploy.md
	BUILDAH_FORMAT=docker $(ENGINE) build --file infra/deploy/image/Containerfile --target $(TARGET) \
	  --tag shelfwise:$(TARGET) --build-arg TORCH_INDEX=$(TORCH_INDEX) --build-arg REVISION="$$(git rev-parse HEAD)" \
	  $(IMAGE_OPTIONS) .

down: $(VENV)/.run ## stop embedded services that are left
	$(BIN)/shelfwise down

# Whole files to a process, for their fixtures; in their order, which leaves the long ones not to the end.
test: check ## lint, types, import contracts, every test
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

fast: check ## as test, without Spark, servers, kills and whole runs
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
	  -m 'not spark and not server and not kill and not slow'

docs: $(VENV)/.docs ## generated pages, then the site in build/site, without a network
	$(BIN)/python -m docs.generate
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

check: $(VENV)/.test ## lint, format, import contracts, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "Shelfwise needs Python 3.11 to 3.13; name one with: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,spark]'
	@touch $@

$(VENV)/.docs: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

clean: ## forget the virtual environment (data stays in .shelfwise)
	rm -rf $(VENV)
