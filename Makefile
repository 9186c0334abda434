# Thin on purpose: find a Python, keep the tools in .venv, call nox. The work is in noxfile.py.
# Where there is no make: python -m pip install nox uv, then nox -l.

VENV := .venv
BIN := $(VENV)/bin
NOX := $(BIN)/nox
OUT ?= demo-out

# The newest Python of those that are tested which can make a virtual environment.
USABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c '$(USABLE)' >/dev/null 2>&1 && { echo $$p; break; }; done)

.PHONY: help demo lab test lint security-check clean
.DEFAULT_GOAL := help

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Single jobs: make lint once, then $(NOX) -l"

demo: $(BIN)/.edgeprof ## Profile the demo model on an emulated board and write a report (OUT=demo-out)
	$(BIN)/edgeprof demo --out $(OUT)
	@echo "The report: $(abspath $(OUT))/report.html"
	@echo "Next: make lab opens JupyterLab on it; . $(BIN)/activate for the commands of the README."

lab: $(BIN)/.edgeprof ## Open JupyterLab on a copy of the notebooks, with the demo's data (after make demo)
	$(BIN)/edgeprof lab --data $(OUT)/data

test: $(BIN)/.tools ## Run what CI runs on one machine, but containers and the comparison with the commit before; ends with what could not be run here
	$(NOX) -t ci

lint: $(BIN)/.tools ## Check style, format, types and spelling
	$(NOX) -s lint

security-check: $(BIN)/.tools ## Look for dangerous code and for known faults in the dependencies
	$(NOX) -s security

clean: ## Remove everything that was made here
	rm -rf $(VENV) .nox .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist demo-out reports
	find edgeprof tests notebooks data -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/.tools:
	@test -n "$(PYTHON)" || { echo "edgeprof needs Python 3.11 or newer with venv; none was found." \
	  "Debian: apt-get install python3 python3-venv. Or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet nox uv
	@touch $@

$(BIN)/.edgeprof: pyproject.toml $(BIN)/.tools
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --editable . || $(BIN)/python -m pip install --quiet --editable .
	@touch $@
