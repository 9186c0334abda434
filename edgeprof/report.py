"""Reports: a notebook run by papermill with checked parameters, as an HTML file that opens offline.

Beside the page (:mod:`edgeprof.page`) lies ``results.json``: what the notebook recorded, the parameters, the version
and the digests of what was read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprof import reference
from edgeprof._version import __version__
from edgeprof.errors import StorageError, UsageError
from edgeprof.layout import MANIFEST, current, file_sha256, write_json
from edgeprof.notebook_run import execute
from edgeprof.page import to_html
from edgeprof.parameters import Parameter, checked, find_notebook, list_notebooks, literal, parameters_of, source_of
from edgeprof.report_files import NOTEBOOK, PAGE, RESULTS, write_text, writing

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Report", "find_notebook", "inputs_digest", "list_notebooks", "make_report", "record"]

RESULTS_VERSION = 1
_PARTIAL = "results.partial.json"


@dataclass(frozen=True, slots=True)
class Report:
    """Where a report's files are."""

    html: Path
    results: Path
    notebook: Path


def inputs_digest(data: str | Path) -> str:
    """Return one digest of everything that a data set's manifests name; it changes if any byte does."""
    import hashlib

    digest = hashlib.sha256()
    for capture in sorted(Path(data).glob("capture=*")):
        found = [json.loads(p.read_text(encoding="utf-8")) for p in capture.glob(f"segment=*/{MANIFEST}")]
        for manifest, entry in ((m, e) for m in current(found) for e in m["files"]):
            digest.update(f"{manifest['capture_id']} {entry['path']} {entry['sha256']}\n".encode())
    return digest.hexdigest()


def record(output_dir: str, name: str, value: pd.DataFrame | Mapping[str, Any]) -> None:
    """Hand a result to the report that runs this notebook; without an ``output_dir`` nothing happens.

    Called in a notebook's last cell. A DataFrame is stored as a list of rows.
    """
    if not output_dir:
        return
    path = Path(output_dir) / _PARTIAL
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    results[name] = dict(value) if isinstance(value, Mapping) else json.loads(value.to_json(orient="records"))
    write_json(path, results)


def make_report(notebook: Path, out: Path, given: Mapping[str, Any]) -> Report:
    """Run a notebook and write ``report.html``, ``results.json`` and the executed notebook.

    Parameters
    ----------
    notebook
        Its path.
    out
        The folder; made if it does not exist.
    given
        Parameters by name, as text or as values.

    Raises
    ------
    UsageError
        Unknown parameter or wrong type.
    CellError
        A cell failed: it says which, with which parameters, and where the executed notebook is.
    ReportError
        There is no kernel, or the file is no notebook.
    StorageError
        The folder cannot be written, or there is no such data set.
    """
    declared, values = parameters_of(notebook), checked(notebook, given)
    if "output_dir" in values:
        raise UsageError("The parameter 'output_dir' is the report's own folder: choose it with --out.")
    if "output_dir" in declared:
        values["output_dir"] = str(out.absolute())
    source = source_of(declared)
    if values.get(source):
        values[source] = _found(values[source], source)
    executed, page, results, partial = (out / n for n in (NOTEBOOK, PAGE, RESULTS, _PARTIAL))
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for old in (page, results, partial):  # if this one fails, nobody takes the last one for it
            old.unlink(missing_ok=True)
        executed.write_bytes(b"")
    execute(notebook, executed, values)
    write_text(page, to_html(executed))
    with writing(out):
        recorded = json.loads(partial.read_text(encoding="utf-8")) if partial.exists() else {}
        partial.unlink(missing_ok=True)
    data = str(values.get("data", ""))
    write_json(
        results,
        {
            "results_version": RESULTS_VERSION,
            "edgeprof_version": __version__,
            "notebook": {"name": notebook.stem, "sha256": file_sha256(notebook)},
            "parameters": {k: v for k, v in values.items() if k != "output_dir"},
            "inputs": {"data": data, "sha256": _digest_of(data, declared)},
            "results": recorded,
        },
    )
    return Report(page, results, executed)


def _found(data: str, source: str) -> str:
    """Return where a data set or a folder of evidence is, absolute, for a notebook runs in its own folder."""
    if "://" in data and source == "data":
        return data
    if not Path(data).is_dir():
        if source != "data":
            raise StorageError(
                f"There is no evidence at {data}: the folder does not exist. nox's sessions leave theirs in reports/."
            )
        raise StorageError(f"There is no data set at {data}: the folder does not exist. `edgeprof demo` makes one.")
    return str(Path(data).absolute())


def _digest_of(data: str, declared: Mapping[str, Parameter]) -> str | None:
    """Return the digest of what was read: the given data set, the notebook's own, or the reference if that is empty."""
    if not data and "data" in declared:
        data = str(literal(declared["data"].default)) or reference()
    return inputs_digest(data) if data and "://" not in data else None
