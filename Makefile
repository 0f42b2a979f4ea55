# GNU make 4.3. `make demo` and `make test` do all of their own set-up; PYTHON=... names the interpreter.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
BIN := .venv/bin
PYTHON ?=
export PYTHON

.PHONY: help setup peers demo dashboard test check bench lint types notebooks notebooks-check gallery lab lock clean distclean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
	    printf '  make %-16s %s\n' "$$name" "$$text"; done

setup: ## create or update .venv from requirements.lock
	@sh tools/setup.sh

demo: setup ## triage the bundled course images and compare with their true labels
	@$(BIN)/cxrkit demo

dashboard: setup ## serve the dashboard, a web page, on this machine alone
	@$(BIN)/cxrkit dashboard

# Two processes with one thread each, because more threads would wait for each other.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
    $(BIN)/python -m pytest -n 2 --dist loadfile

test: lint types peers notebooks-check ## lint, types, all tests, every notebook executed
	$(PYTEST)

check: lint types notebooks-check ## lint, types and the fast tests
	$(PYTEST) -q -m "not slow"

bench: setup ## run all benchmarks that need no data, or NAME=... ARGS=...
	$(BIN)/python benchmarks/run.py $(NAME) $(ARGS)

peers: setup ## install the original libraries that tests compare with
	@sh tools/peers.sh

lint: setup ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy
	$(BIN)/mypy

notebooks: setup ## create notebooks/*.ipynb from notebooks/src/*.py
	$(BIN)/python tools/build_notebooks.py

notebooks-check: setup ## fail if a notebook differs from its source
	$(BIN)/python tools/build_notebooks.py --check

gallery: notebooks ## execute the notebooks and render them to docs/gallery
	$(BIN)/python tools/run_notebooks.py --gallery docs/gallery

lab: notebooks ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=notebooks

# Binder's lock has the same pins without developers' tools, jax, SSH and Dask, to keep the image small.
LOCK := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-header --quiet --custom-compile-command "make lock" --extra tf --extra notebooks

lock: setup ## regenerate both locks from pyproject.toml, keeping pins that still fit
	$(LOCK) --extra jax --extra jetson --extra scale --group dev --output-file requirements.lock
	$(LOCK) --constraint requirements.lock --output-file binder/requirements.lock

clean: ## remove what tools left, except .venv
	rm -rf build dist demo-out .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find cxrkit tests tools benchmarks notebooks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove .venv too
	rm -rf .venv .venv.lock .peers
