# Two commands do everything on a fresh machine: `make paper` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.PHONY: paper docs test test-browser browser prepared install lint types clean

paper: install
	$(BIN)/proxpair paper --out out
	$(BIN)/python docs/build.py out
	$(BIN)/proxpair report --out out  # with the link to the documents

docs: install
	$(BIN)/python docs/build.py out

test: install lint types
	$(BIN)/python -m pytest -n 2

# the report in headless Chromium; without a browser it fails, where `make test` says NOT RUN
test-browser: install browser
	PROXPAIR_BROWSER=required $(BIN)/python -m pytest tests/test_browser.py

browser:
	@if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then \
		if ! command -v apt-get >/dev/null; then \
			echo "test-browser needs chromium and chromedriver, and there is no apt-get to install them with" >&2; exit 2; \
		fi; \
		root=; if [ "$$(id -u)" -ne 0 ]; then root=sudo; fi; \
		$$root apt-get update && $$root apt-get install -y chromium chromium-driver; \
	fi

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

# the pairs that ship prepared, after a change of the catalogue
prepared: install
	$(BIN)/python -c "from verify import prepared as p; p._SHIPPED.write_bytes(p.catalogue_json())"

install: $(VENV)/.installed

# torch is named with its exact version so that pip takes the one that constraints.txt pins
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt "torch==2.13.0" --editable ".[dev]"
	touch $@

clean:
	rm -rf out $(VENV) build *.egg-info
