# make quickstart: the whole main job on defaults that need no download. make test: the tests. Both make the environment first.
PYTHON ?= python3.11
EXTRA ?= cpu
VENV := .venv
BIN := $(VENV)/bin
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

# The CPU build of torch: from the folder of wheels that pip is configured with, where there is one that holds it, else
# from PyTorch's own CPU index.
WHEELS := $(firstword $(wildcard $(addsuffix /torch-*cpu*.whl,$(UV_FIND_LINKS) $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))))
ifeq ($(EXTRA),cpu)
TORCH := $(if $(WHEELS),--find-links $(dir $(WHEELS)),--torch-backend cpu)
endif

.PHONY: quickstart test unit lint types check docs clean
.DEFAULT_GOAL := check

$(VENV)/.ready: pyproject.toml requirements-$(EXTRA).txt overrides.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip install -q --compile-bytecode $(TORCH) --overrides overrides.txt -c requirements-$(EXTRA).txt -e ".[$(EXTRA),dev]"
	touch $@

quickstart: $(VENV)/.ready
	$(BIN)/hydra-ray run --config configs/quickstart.yaml

test: $(VENV)/.ready
	$(BIN)/python -m pytest

unit: $(VENV)/.ready
	$(BIN)/python -m pytest -m "not cluster"

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

check: lint types test

# What is generated from the code.
docs: $(VENV)/.ready
	$(BIN)/python -m hydra_ray.config_schemas docs/configuration.md

clean:
	rm -rf $(VENV)
