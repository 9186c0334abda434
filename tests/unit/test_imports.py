"""What is loaded when: importing edgeprof and capturing stay light."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import edgeprof

HEAVY = {"numpy", "pandas", "pyarrow", "matplotlib", "scipy", "papermill", "nbconvert", "wasmtime", "gguf"}


def loaded(code: str) -> set[str]:
    """Return the heavy packages that a fresh interpreter has after some code."""
    quietly = f"with contextlib.redirect_stdout(io.StringIO()):\n  {code}"
    program = f"import contextlib, io, json, sys\n{quietly}\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return HEAVY & set(json.loads(done.stdout.splitlines()[-1]))


def help_of(*words: str) -> str:
    return f"from edgeprof.cli import main\n  with contextlib.suppress(SystemExit): main({list(words)!r})"


@pytest.mark.parametrize("code", ["import edgeprof", "import edgeprof.display, edgeprof.units, edgeprof.errors"])
def test_importing_loads_nothing_heavy(code):
    assert loaded(code) == set()


@pytest.mark.parametrize("words", [["--help"], ["--version"], [], ["compare", "--help"], ["nonsense"]])
def test_help_and_wrong_use_load_nothing_heavy(words):
    assert loaded(help_of(*words)) == set()


@pytest.mark.parametrize("module", ["reader", "journal", "transports", "boards", "cli.capture", "capture", "mlperf"])
def test_what_captures_loads_no_numpy(module):
    assert loaded(f"import edgeprof.{module}") == set()


def test_every_public_name_is_there():
    for name in edgeprof.__all__:
        assert getattr(edgeprof, name) is not None, name
    assert dir(edgeprof) == sorted(edgeprof.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'compare2'"):
        edgeprof.compare2  # noqa: B018


def test_figures_and_measures_load_no_more_of_scipy_than_they_use():
    names = "from edgeprof import choices, compare, measure, plots, runs, tidy"
    program = f"import json, sys\n{names}\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"scipy.stats", "scipy.optimize", "scipy.signal"} & set(json.loads(done.stdout))


@pytest.mark.slow
def test_a_command_starts_jupyter_without_a_parser_that_nothing_of_it_needs():
    program = """
import sys
from edgeprof import cli

def main():
    import nbformat, jupyter_events
    from jsonschema import Draft7Validator
    print(sorted({"iri", "uri", "date-time"} & set(Draft7Validator.FORMAT_CHECKER.checkers)), "lark" in sys.modules)
    return 0

cli.main = main
cli.entry()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "['date-time', 'uri'] False\n", done.stderr
    packages = Path(nbformat.__file__).parents[1]
    schemas = [
        path
        for package in ("nbformat", "jupyter_events", "jupyter_server", "jupyterlab", "jupyterlab_server", "voila")
        for path in (packages / package).rglob("*schema*/**/*")
        if path.suffix in (".json", ".yaml", ".yml") and "static" not in path.parts
    ] + list(packages.glob("nbformat/**/*.schema*.json"))
    assert len(schemas) > 10
    assert [str(p) for p in schemas if re.search(r"format\W+iri\b", p.read_text(encoding="utf-8"))] == []
