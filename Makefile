# make demo    the whole workflow on a small inbox, in demo/
# make test    the tests (SLIDEBOX_SLOW=1 make test: the slow ones too)
# make setup   only the environment, in .venv/
# make slurm        and Snakemake's plugin for Slurm (docs/cluster.md)
# make bioformats   and Bio-Formats, for rarer formats (needs Java)
# Needs Python >= 3.12 and make; everything else is installed into .venv/ from hashed locks.

SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
CORES ?= 2
PYTEST_ARGS ?=

# Stamps are named by what they were made from: a changed lock, and only that, installs again.
# (swift.txt and judges*.txt are for environments of their own, which tests make; slurm.txt, bioformats.txt: a choice.)
LOCKS = $(filter-out requirements/swift.txt requirements/judges%.txt requirements/slurm.txt requirements/bioformats.txt,$(sort $(wildcard requirements/*.txt)))
DIGEST = $(shell cat $(LOCKS) pyproject.toml .ci/setup | cksum | cut -d ' ' -f 1)

.PHONY: help setup setup-dev slurm bioformats demo test lint lock schemas clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

setup:
	@.ci/setup run $(DIGEST)

setup-dev:
	@.ci/setup dev $(DIGEST)

slurm: setup
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/slurm.txt

bioformats: setup
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/bioformats.txt

demo: setup
	@$(BIN)/python -m slidebox.demo demo --cores $(CORES)

test: setup-dev
	@echo "Running the tests (about 5 minutes on two cores)"
	@$(BIN)/python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: setup-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/snakefmt --check Snakefile rules
	@$(BIN)/snakemake --lint

# The locks: all versions with their hashes, for every platform, without addresses of registries.
UV_LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.12 --generate-hashes \
	--no-header --no-emit-index-url --no-annotate
lock: setup-dev
	$(UV_LOCK) --extra dev pyproject.toml -o requirements/dev.txt
	$(UV_LOCK) --extra workflow --extra build -c requirements/dev.txt pyproject.toml -o requirements/run.txt
	$(UV_LOCK) requirements/swift.in -o requirements/swift.txt
	$(UV_LOCK) -c requirements/dev.txt requirements/slurm.in -o requirements/slurm.txt
	$(UV_LOCK) --no-deps requirements/bioformats.in -o requirements/bioformats.txt
	$(UV_LOCK) requirements/judges.in -o requirements/judges.txt
	$(UV_LOCK) --no-deps requirements/judges-bare.in -o requirements/judges-bare.txt
	$(BIN)/python -m slidebox.devel environment

# What is generated from the code; tests hold it to the code.
schemas: setup-dev
	$(BIN)/python -m slidebox.devel schemas
	$(BIN)/python -m slidebox.devel formats

clean:
	rm -rf demo .pytest_cache .ruff_cache .hypothesis
