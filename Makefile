# Two commands do everything: `make run` and `make test`. Each sets up .venv first, when it is missing or out of date.
PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --no-compile -qq --disable-pip-version-check -c constraints.txt
INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# Most modules are never imported; those that are, Python compiles at their first import, and must be free to keep.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-all lab clean
.DEFAULT_GOAL := run

run: .venv/.book
	$(BIN)/lmbook run

test: .venv/.test
	$(BIN)/python -m tests

test-all: .venv/.test
	$(BIN)/python -m tests --all

lab: .venv/.book
	$(BIN)/lmbook start
	$(BIN)/jupyter lab --notebook-dir=work

# The stamps are written last, so that an interrupted set-up is done again.
.venv/.python: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "lmbook needs Python 3.11, 3.12 or 3.13; $(PYTHON) is %d.%d. Try: make $(MAKECMDGOALS) PYTHON=python3.12" % v)'
	@echo "Setting up .venv ..."
	@$(PYTHON) -m venv --clear .venv || { echo "python3 -m venv failed. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(PIP) --upgrade pip
	@touch $@

.venv/.book: .venv/.python
	@echo "Installing the packages of the book (one to five minutes) ..."
	@$(PIP) $(INDEX) -e .
	@touch $@

.venv/.test: .venv/.python
	@echo "Installing the packages of the book and of the tests (one to five minutes) ..."
	@$(PIP) $(INDEX) -e '.[test]'
	@touch .venv/.book $@

clean:
	rm -rf .venv build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
