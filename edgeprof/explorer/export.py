"""What becomes of a view: a figure in files, the cell that draws it anew, parameters of reports."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from edgeprof.errors import StorageError, UsageError
from edgeprof.explorer.painter import figure
from edgeprof.explorer.view import View
from edgeprof.store import Dataset

__all__ = ["report_command", "report_matrix", "write_figure", "write_report"]

_NOTEBOOK = "inspect_run"
_OF_RUN = {"board": "board", "model": "model", "quant": "quant", "prompt": "prompt_id", "run": "run_id"}
"""The run itself, for of the rest there may be several; the rest says in an index what it was."""


def write_figure(dataset: Dataset, view: View, folder: str | Path) -> list[Path]:
    """Write a view as PNG, SVG and PDF; return the files.

    Raises
    ------
    StorageError
        The folder cannot be written.
    """
    made = figure(dataset, view)
    paths = [Path(folder) / f"explore.{kind}" for kind in ("png", "svg", "pdf")]
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path in paths:
            made.savefig(path, dpi=200 if path.suffix == ".png" else None)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return paths


def report_matrix(runs: list[pd.Series], data: str) -> dict[str, Any]:
    """Return what ``edgeprof report --matrix`` takes: a report for each of these runs.

    Raises
    ------
    UsageError
        There is no run.
    """
    if not runs:
        raise UsageError("A report needs a run: pin one.")
    sets = [{name: str(run[column]) for name, column in _OF_RUN.items() if pd.notna(run[column])} for run in runs]
    sets = [one for number, one in enumerate(sets) if one not in sets[:number]]
    where = data if "://" in data else str(Path(data).absolute())
    return {"notebook": _NOTEBOOK, "data": where, "include": sets}


def report_command(path: str | Path) -> str:
    """Return the command that makes the reports of a written file."""
    out = Path(path).with_name("reports")
    return shlex.join(["edgeprof", "report", "--matrix", str(path), "--out", str(out)])


def write_report(runs: list[pd.Series], data: str, folder: str | Path) -> Path:
    """Write :func:`report_matrix` as YAML; return the file.

    Raises
    ------
    StorageError
        The folder cannot be written.
    """
    path = Path(folder) / "explore-reports.yaml"
    text = yaml.safe_dump(report_matrix(runs, data), sort_keys=False, allow_unicode=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from error
    return path


def _unwritable(folder: str | Path, error: OSError) -> StorageError:
    return StorageError(f"{folder} cannot be written ({error.strerror or error}): choose another output_dir.")
