# Every verb sets up what it needs; a fresh machine needs Python 3.11+, make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: setup demo check test bench clean

$(VENV)/core.done: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/full.done: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable '.[train,trust,keras,sklearn,tables,text,postgres,ray,mlflow,bench,dev]'
	@touch $@ $(VENV)/core.done

# Where they cannot be installed (a newer Python, another system), their tests are skipped.
$(VENV)/clients.done: tests/clients/requirements.txt
	test -x $(VENV)/clients/bin/python || $(PYTHON) -m venv $(VENV)/clients
	$(VENV)/clients/bin/python -m pip --disable-pip-version-check install --quiet --only-binary :all: --requirement $< \
		&& touch $@ || echo "Triton's clients cannot be installed here: their tests are skipped"

setup: $(VENV)/full.done  ## the full environment, for developers

demo: $(VENV)/core.done  ## weigh a real network on real data (core only)
	$(BIN)/steelyard demo --out demo-plan

check: setup  ## style, strict types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check $(VENV)/clients.done  ## check and all tests
	$(BIN)/python -m pytest --numprocesses 2

bench: setup  ## every benchmark, one after the other
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache demo-plan
