# Two commands on a fresh machine: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin
# Two processes: most of a test's time is one thread that traces graphs. A file's tests stay together,
# and the files keep their order (tests/lanes.py).
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all lint constraints clean

demo: .venv/installed
	$(BIN)/rssc-tf demo --out demo --overwrite

# The quick lane: every kind of check, without what takes long or is there twice (marked `slow`).
test: .venv/installed-test
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-all: .venv/installed-test
	$(PYTEST) $(PYTEST_ARGS)

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The versions of .venv, for `PIP_CONSTRAINT=constraints.txt`, with which .ci/run installs.
constraints: .venv/installed-test
	(sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable) > .venv/constraints
	mv .venv/constraints constraints.txt

# Stamps: pip runs again only when setup.py has changed.
.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: setup.py | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[lite]"
	touch $@

.venv/installed-test: setup.py | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[lite,test]"
	touch $@ .venv/installed

clean:
	rm -rf .venv demo build *.egg-info
