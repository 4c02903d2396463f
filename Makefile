# make run      start the server on its embedded database
# make test     install what the tests need, and run them all
# make test-fast  all but those that drive a browser or take long, in a minute
# make soak     everything at once for ten minutes, and each fault a hundred times
# make bench    how fast it is, beside others; writes docs/performance.md (20 minutes)
# make pictures  take the pictures in docs/pictures anew
# make check    format, lint, types and the structure of the code, in seconds
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test test-fast soak bench pictures check format clean

run: $(VENV)/.run
	@exec $(BIN)/python -m talkee_lite

test: $(VENV)/.test
	sh tests/system_packages.sh
	$(BIN)/python -m pytest -n 4 -m "not browser" $(ARGS)
	$(BIN)/python -m pytest -n 2 -m browser $(ARGS)

# Under a minute: all but the tests that drive a browser, and the few that take long.
test-fast: $(VENV)/.test
	$(BIN)/python -m pytest -n 6 --dist worksteal -m "not browser and not long" $(ARGS)

soak: $(VENV)/.test
	sh tests/system_packages.sh
	$(BIN)/python -m tests.faults.soak --seconds $(or $(SECONDS),600)
	TALKEE_FAULT_ROUNDS=100 $(BIN)/python -m pytest tests/faults

bench: $(VENV)/.test
	sh tests/system_packages.sh bench
	$(BIN)/python -m bench $(ARGS)

pictures: $(VENV)/.test
	sh tests/system_packages.sh pictures
	$(BIN)/python -m tests.browser.pictures

check: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_structure.py tests/test_docs.py

format: $(VENV)/.check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .validator build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; Debian 12 has it as python3."; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "The package python3-venv is needed: apt-get install python3-venv"; exit 1; }

$(VENV)/.run: pyproject.toml $(BIN)/python
	@echo "Installing into $(VENV) …"
	@$(PIP) --editable '.[speed]'
	@touch $@

$(VENV)/.test: pyproject.toml $(BIN)/python
	$(PIP) --editable '.[speed,test]'
	@touch $@

$(VENV)/.check: pyproject.toml $(BIN)/python
	$(PIP) --editable '.[speed,test,check]'
	@touch $@
