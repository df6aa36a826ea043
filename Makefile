# `make` lists the targets. Each makes the environment first, if it is missing or out of date.
PYTHON ?= python3.11
EXTRA ?= cpu
VENV := .venv
BIN := $(VENV)/bin
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
# Tests start hundreds of Python processes: what one has compiled, the others read, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=

# The CPU build of torch: from the folder of wheels that pip is configured with, where there is one that holds it, else
# from PyTorch's own CPU index.
WHEELS := $(firstword $(wildcard $(addsuffix /torch-*cpu*.whl,$(UV_FIND_LINKS) $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))))
ifeq ($(EXTRA),cpu)
TORCH := $(if $(WHEELS),--find-links $(dir $(WHEELS)),--torch-backend cpu)
endif

.PHONY: help quickstart test unit nodes lint types check docs notebook clean
.DEFAULT_GOAL := help

help: ## list the targets
	@echo "make TARGET [EXTRA=gpu: CUDA builds of torch and vLLM] [PYTHON=python3.11]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

$(VENV)/.ready: pyproject.toml requirements-$(EXTRA).txt overrides.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip install -q --compile-bytecode $(TORCH) --overrides overrides.txt -c requirements-$(EXTRA).txt -e ".[$(EXTRA),dev]"
	touch $@

quickstart: $(VENV)/.ready ## run the whole pipeline offline on a synthetic world, print the result table
	$(BIN)/hydra-ray run --config configs/quickstart.yaml

test: unit ## all tests
	$(BIN)/python -m pytest -m cluster -n 2 --dist loadfile

unit: $(VENV)/.ready ## the tests that start no Ray, vLLM or browser
	$(BIN)/python -m pytest -m "not cluster" -n 2 --dist loadfile --no-loadscope-reorder

nodes: $(VENV)/.ready ## as root: clusters of machines in Linux namespaces that lose a node, the network or the head
	$(BIN)/python -m pytest -m nodes

lint: $(VENV)/.ready ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready ## mypy, strict
	$(BIN)/mypy

check: lint types test ## what CI runs

docs: $(VENV)/.ready ## write docs/configuration.md from the configuration schema
	$(BIN)/python -m hydra_ray.config_schemas docs/configuration.md

notebook: $(VENV)/.ready ## run examples/quickstart.ipynb and keep its outputs in it
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/jupyter execute --inplace examples/quickstart.ipynb

clean: ## remove the environment
	rm -rf $(VENV)
