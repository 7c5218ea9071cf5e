# Two commands do all the set-up: `make demo` and `make test`. Python 3.11 is all that has to be there.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=
export MEDIA
export OMP_NUM_THREADS ?= 1
# Where bytecode may not be kept, each of Ray's workers compiles Ray, torch and the rest anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup asr demo test check hostile chaos slow gpu bench

help: ## what can be made
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## virtual environment in .venv with everything installed

# uv resolves in seconds; it does not read pip's folder of wheels by itself, and pip is the way out
# where uv cannot be had.
$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@echo "installing into $(VENV) (once; make demo and make test share it)"
	@{ $(BIN)/python -m pip install --quiet uv && \
	   $${PIP_FIND_LINKS:+env UV_FIND_LINKS="$$PIP_FIND_LINKS"} \
	   $(BIN)/uv pip install --python $(BIN)/python -c constraints.txt -e '.[curate,diffusers,dev]'; } \
	 || $(BIN)/python -m pip install -c constraints.txt -e '.[curate,diffusers,dev]'
	@touch $@

# WhisperX pins torch 2.8, so it has an environment of its own. Its actors are Ray workers of this
# one: Ray has to be the very same version there, Arrow is kept the same.
asr: $(READY) ## WhisperX in venvs/asr (8 GB), for speech.whisperx.python
	@test -x venvs/asr/bin/python || "$(PYTHON)" -m venv --without-pip venvs/asr
	@$${PIP_FIND_LINKS:+env UV_FIND_LINKS="$$PIP_FIND_LINKS"} \
	 $(BIN)/uv pip install --python venvs/asr/bin/python 'whisperx>=3.8.6,<4' \
	  $$($(BIN)/python -c 'from importlib.metadata import version as v; \
	     print("ray[data]==" + v("ray"), "pyarrow==" + v("pyarrow"), "av==" + v("av"))') \
	  'pydantic>=2' 'rich>=13' 'onnxruntime>=1.20' silero-vad==6.2.3
	@echo "use it with --speech.engine whisperx --speech.whisperx.python $(CURDIR)/venvs/asr/bin/python"

demo: $(READY) ## the whole route; MEDIA=folder for your films, MEDIA=samples for real ones
	@if [ -z "$$MEDIA" ]; then $(BIN)/reelmill demo jobs/recipes/demo.yaml $(ARGS); \
	 else $(BIN)/reelmill demo jobs/recipes/films.yaml "$$MEDIA" $(ARGS); fi

test: $(READY) ## the fast tests, on two cores
	@$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 $(ARGS)

check: $(READY) ## style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

hostile chaos slow gpu: $(READY)
	@$(BIN)/python -m pytest -m $@ $(ARGS)
hostile: ## files and texts that mean harm
chaos: ## kill -9 in the middle, then the same command again
slow: ## tests that take minutes
gpu: ## tests that need a CUDA device

bench: $(READY) ## every benchmark, its quick form
	@for file in benchmarks/[a-z]*.py; do name=$${file##*/}; \
	  grep -q '__main__' $$file && $(BIN)/python -m benchmarks.$${name%.py} --quick || true; done
