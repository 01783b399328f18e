# `make repro` builds everything, `make test` runs the tests; both make .venv first. `make help` lists the rest.
PYTHON ?= python3
override VENV := .venv
# What is typed behind `make` goes to the shell as a variable of it, as it stands: neither make nor the shell reads it.
unexport PYTHON REPO DRY_RUN PUBLIC SYNTHETIC STUDY RECIPE TEACHERS STUDENTS SPLITS
export MINNOW_PYTHON = $(value PYTHON)
export MINNOW_REPO = $(value REPO)
export MINNOW_STUDY = $(value STUDY)
export MINNOW_RECIPE = $(value RECIPE)
export MINNOW_TEACHERS = $(value TEACHERS)
export MINNOW_STUDENTS = $(value STUDENTS)
export MINNOW_SPLITS = $(value SPLITS)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Threads that wait must not spin: a busy machine would slow down many times over.
export OMP_WAIT_POLICY := PASSIVE
override STAMP := $(VENV)/.installed
# Lies there while anything is installed: found later, it says that the installation was broken off.
override UNFINISHED := $(VENV)/.unfinished
# The page around `dvc plots show`, with Vega inside: nothing is loaded from the network.
override PLOTS_PAGE := .dvc/plots/page.html

.DEFAULT_GOAL := help
.PHONY: help install repro test lint check repository compare verify results sweeps study statistics push-to-hub faults clean FORCE

help:  ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-12s%s\n", $$1, $$2}'

install: $(STAMP) $(PLOTS_PAGE)  ## Make .venv with the pinned dependencies and this package

# Scripts in .venv name the checkout and its Python by their paths: moved, or with that Python gone, it is made anew.
override STALE := $(shell test "$$(cat $(STAMP) 2>/dev/null)" = "$$(pwd -P)" && test -x $(VENV)/bin/python || echo FORCE)

# What was broken off, at whatever moment, begins anew: pip takes a package whose files came in part for a whole one. A pip
# that failed by itself, for want of a network, has cleared up, and its venv is kept. A second installation waits for the
# first and finds the work done: the kernel's lock ends with whoever holds it, also by kill -9. macOS has no flock.
$(STAMP): pyproject.toml constraints.txt $(STALE)
	@trap 'exit 130' HUP INT TERM; set -ef; \
	exec 9<pyproject.toml; if command -v flock >/dev/null && ! flock -n 9; then \
		echo "Another installation runs in this checkout: waiting for its end"; flock 9; \
	fi; \
	here() { test -x $(VENV)/bin/python && test "$$(cat $@ 2>/dev/null)" = "$$(pwd -P)"; }; \
	if here && ! test pyproject.toml -nt $@ -o constraints.txt -nt $@; then exit 0; fi; \
	"$$MINNOW_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Minnow needs Python 3.11 or later: make PYTHON=...")'; \
	moved() { test -e $@ && ! test "$$(cat $@)" = "$$(pwd -P)"; }; \
	if test -e $(UNFINISHED) || moved || ! $(VENV)/bin/python -m pip --version >/dev/null 2>&1; then \
		rm -rf $(VENV).broken; ! test -e $(VENV) -o -L $(VENV) || mv $(VENV) $(VENV).broken; rm -rf $(VENV).broken; \
		mkdir $(VENV); touch $(UNFINISHED); \
		echo "Making $(VENV)"; "$$MINNOW_PYTHON" -m venv $(VENV); \
	fi; \
	touch $(UNFINISHED); \
	for what in torch==2.13.0 '--editable .[train,serve,dev]'; do \
		echo "Installing $$what"; \
		$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt $$what || \
			{ code=$$?; test $$code -gt 128 || rm $(UNFINISHED); exit $$code; }; \
	done; \
	rm $(UNFINISHED); pwd -P >$@

$(PLOTS_PAGE): $(STAMP) src/minnow/tools/plots_template.py
	$(VENV)/bin/python src/stage.py plots_template

repro: install repository check  ## Run the pipeline: whatever changed, and what depends on it
	$(VENV)/bin/dvc repro
	@$(VENV)/bin/python src/stage.py same_results

test: install lint  ## Lint, type-check and run all tests, file by file on every core
	$(VENV)/bin/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

repository: install
	@$(VENV)/bin/python src/stage.py repository

check: install  ## Validate params.yaml without running anything
	$(VENV)/bin/python src/stage.py check

# `-f -s` runs the stage compare alone; each takes seconds, trains nothing and leaves the workspace as it is.
compare: install check  ## Name an experiment per model for `dvc metrics diff teacher student --md`
	@$(VENV)/bin/python src/stage.py repository experiments
	@exported=$$(grep -qs f1 metrics/exported.json && echo exported); \
	for model in baseline teacher student quantized $$exported; do \
		$(VENV)/bin/dvc exp run --quiet --temp --force --single-item --name $$model --set-param compare.model=$$model compare || exit 1; \
	done
	@echo 'Now: dvc metrics diff teacher student --md --no-path (or any two of baseline, teacher, student, quantized, exported)'

verify: install  ## Rebuild everything in a clone without cache, and judge the metrics against the committed ones
	$(VENV)/bin/python src/stage.py verify

results: install  ## Render the tables in README.md and docs/ from the committed metrics
	$(VENV)/bin/python src/stage.py results

sweeps: install  ## Sum up all experiments: mean and deviation per parameter value, size against F1
	$(VENV)/bin/python src/stage.py sweeps

# Seeds as numbers of them; a call that was broken off, or a larger one, runs only what is not kept yet.
study: install check  ## Train over seeds and keep margins: STUDY=psu [RECIPE=default] [TEACHERS=3] [STUDENTS=3] [SPLITS=1]
	@$(VENV)/bin/python src/stage.py repository experiments
	@$(VENV)/bin/python src/stage.py study "$$MINNOW_STUDY" "$${MINNOW_RECIPE:-default}" \
		"$${MINNOW_TEACHERS:-3}" "$${MINNOW_STUDENTS:-3}" "$${MINNOW_SPLITS:-1}"

statistics: install  ## Make the statistics of all kept margins anew, without a training
	@$(VENV)/bin/python src/stage.py statistics

push-to-hub: install  ## Upload models/release: REPO=me/name [DRY_RUN=1] [PUBLIC=1] [SYNTHETIC=1]
	@$(VENV)/bin/python src/stage.py push_to_hub "$$MINNOW_REPO" \
		$(if $(value DRY_RUN),dry-run) $(if $(value PUBLIC),public) $(if $(value SYNTHETIC),synthetic)

faults: install  ## Strike, starve and damage every training, and try 10,000 hostile inputs: an hour, best as root
	$(VENV)/bin/python tests/faults/fuzz.py --results docs/faults
	$(VENV)/bin/python tests/faults/matrix.py

clean:  ## Remove what the pipeline made; `dvc repro` brings it back from the cache
	rm -rf models data/prepared data/logits data/states data/unlabelled data/extra data/controls data/asked .minnow
