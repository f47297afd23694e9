# Two commands do everything on a fresh machine: `make paper` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.PHONY: paper test install lint types clean

paper: install
	$(BIN)/proxpair paper --out out

test: install lint types
	$(BIN)/python -m pytest -n 2

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

install: $(VENV)/.installed

# torch is named with its exact version so that pip takes the one that constraints.txt pins
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt "torch==2.13.0" --editable ".[dev]"
	touch $@

clean:
	rm -rf out $(VENV) build *.egg-info
