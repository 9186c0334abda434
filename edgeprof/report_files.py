"""Folders of reports: finding and reading ``results.json``, and writing pages whole."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeprof.errors import StorageError

__all__ = ["NOTEBOOK", "PAGE", "RESULTS", "read_results", "results_below", "write_text", "writing"]

PAGE, RESULTS, NOTEBOOK = "report.html", "results.json", "notebook.ipynb"


def results_below(folder: Path) -> list[Path]:
    """Return every ``results.json`` in a folder and the folders below it, in order."""
    return sorted(folder.rglob(RESULTS))


def read_results(path: Path) -> dict[str, Any] | None:
    """Return a report's results; None for a file of that name that is none of edgeprof's, or is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and isinstance(content.get("results_version"), int) else None


@contextlib.contextmanager
def writing(out: Path) -> Iterator[None]:
    """Turn the system's errors into one that says what cannot be written.

    Raises
    ------
    StorageError
        Something in ``out`` cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"{out} cannot be written ({error.strerror}). Choose another folder with --out.") from error


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the whole new one.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    with writing(path.parent):
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
