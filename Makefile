# `make repro` builds everything, `make test` runs the tests; both make .venv first. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Threads that wait must not spin: a busy machine would slow down many times over.
export OMP_WAIT_POLICY := PASSIVE
STAMP := $(VENV)/.installed
# The page around `dvc plots show`, with Vega inside: nothing is loaded from the network.
PLOTS_PAGE := .dvc/plots/page.html

.DEFAULT_GOAL := help
.PHONY: help install repro test lint check compare verify results sweeps push-to-hub clean

help:  ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-12s%s\n", $$1, $$2}'

install: $(STAMP) $(PLOTS_PAGE)  ## Make .venv with the pinned dependencies and this package

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Minnow needs Python 3.11 or later: make PYTHON=...")'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(PLOTS_PAGE): $(STAMP) src/minnow/tools/plots_template.py
	$(VENV)/bin/python src/stage.py plots_template

repro: install check  ## Run the pipeline: whatever changed, and what depends on it
	$(VENV)/bin/dvc repro
	@$(VENV)/bin/python src/stage.py same_results

test: install lint  ## Lint, type-check and run all tests, file by file on every core
	$(VENV)/bin/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

check: install  ## Validate params.yaml without running anything
	$(VENV)/bin/python src/stage.py check

# `-f -s` runs the stage compare alone; each takes seconds, trains nothing and leaves the workspace as it is.
compare: install  ## Name an experiment per model for `dvc metrics diff teacher student --md`
	@for model in baseline teacher student quantized; do \
		$(VENV)/bin/dvc exp run --quiet --temp --force --single-item --name $$model --set-param compare.model=$$model compare || exit 1; \
	done
	@echo 'Now: dvc metrics diff teacher student --md --no-path (or any two of baseline, teacher, student, quantized)'

verify: install  ## Rebuild everything in a clone without cache, and judge the metrics against the committed ones
	$(VENV)/bin/python src/stage.py verify

results: install  ## Render the tables in README.md and docs/ from the committed metrics
	$(VENV)/bin/python src/stage.py results

sweeps: install  ## Sum up all experiments: mean and deviation per parameter value, size against F1
	$(VENV)/bin/python src/stage.py sweeps

push-to-hub: install  ## Upload models/release: REPO=me/name [DRY_RUN=1] [PUBLIC=1] [SYNTHETIC=1]
	@$(VENV)/bin/python src/stage.py push_to_hub "$(REPO)" $(if $(DRY_RUN),dry-run) $(if $(PUBLIC),public) $(if $(SYNTHETIC),synthetic)

clean:  ## Remove what the pipeline made; `dvc repro` brings it back from the cache
	rm -rf models data/prepared data/logits data/states data/unlabelled data/extra data/controls/*/ .minnow
