# Two commands on a fresh machine: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint clean

demo: .venv/installed
	$(BIN)/rssc-tf demo --out demo --overwrite

# Two processes: most of a test's time is one thread that traces graphs. A file's tests stay together.
test: .venv/installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

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
