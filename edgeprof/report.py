"""Reports: a notebook run by papermill with checked parameters, as an HTML file that opens offline.

papermill only warns of an unknown parameter and checks no types; here both are errors. Beside the page
(:mod:`edgeprof.page`) lies ``results.json``: what the notebook recorded, the parameters, the version and the digests of
what was read.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprof import reference
from edgeprof._version import __version__
from edgeprof.errors import ReportError, StorageError, UsageError, unknown_name
from edgeprof.layout import MANIFEST, current, file_sha256, write_json
from edgeprof.page import to_html

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Parameter", "Report", "inputs_digest", "list_notebooks", "make_report", "parameters_of", "record"]

RESULTS_VERSION = 1
CELL_SECONDS = 600
_CASTS = {"str": str, "int": int, "float": float, "bool": bool}
_PARTIAL = "results.partial.json"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A notebook's parameter, as its parameters cell declares it."""

    name: str
    type: str
    default: str
    help: str


@dataclass(frozen=True, slots=True)
class Report:
    """Where a report's files are."""

    html: Path
    results: Path
    notebook: Path


def list_notebooks() -> dict[str, Path]:
    """Return the notebooks that come with edgeprof, by name."""
    from edgeprof import resources

    return {path.stem: path for path in sorted(resources.path("notebooks").glob("*.ipynb"))}


def find_notebook(name: str) -> Path:
    """Return a notebook by path or by name; a unique part of the name will do.

    Raises
    ------
    UsageError
        There is none; the message names the closest.
    """
    if name.endswith(".ipynb"):
        if Path(name).exists():
            return Path(name)
        raise UsageError(f"There is no notebook {name}. `edgeprof report --list` names those that come with edgeprof.")
    known = list_notebooks()
    matches = [path for stem, path in known.items() if name in (stem, stem.partition("_")[2])]
    if len(matches) == 1:
        return matches[0]
    raise unknown_name("notebook", name, known, "A path to an .ipynb works too.")


def parameters_of(notebook: Path) -> dict[str, Parameter]:
    """Return what a notebook's parameters cell declares.

    Raises
    ------
    ReportError
        The file is no notebook, or has no cell tagged ``parameters``.
    """
    import papermill

    try:
        content = json.loads(notebook.read_text(encoding="utf-8"))
        cells = [c for c in content["cells"] if "parameters" in c.get("metadata", {}).get("tags", [])]
        found = papermill.inspect_notebook(str(notebook)) if cells else {}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ReportError(f"{notebook} is not a notebook that can be read: {error!r}.") from error
    if not cells:
        raise ReportError(
            f"{notebook} has no parameters cell. Tag the cell with its settings `parameters` (in JupyterLab: the gear "
            "on the right, Common Tools, Cell Tags)."
        )
    return {name: Parameter(name, _type_of(p), p["default"], p["help"] or "") for name, p in found.items()}


def _type_of(declared: Mapping[str, Any]) -> str:
    """Return the type that a parameter is annotated with, or else that of its default."""
    if declared["inferred_type_name"] != "None":
        return str(declared["inferred_type_name"])
    try:
        return type(ast.literal_eval(declared["default"])).__name__
    except (ValueError, SyntaxError):
        return "any"


def checked(notebook: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given parameters as the types that the notebook declares.

    Raises
    ------
    UsageError
        A name that the notebook does not have (with the closest), or a value of another type.
    """
    declared = parameters_of(notebook)
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in declared:
            raise unknown_name(f"parameter of {notebook.stem}", name, declared)
        values[name] = _cast(name, value, declared[name].type)
    return values


def _cast(name: str, value: Any, kind: str) -> Any:
    def wrong() -> UsageError:
        return UsageError(f"Parameter {name!r} is of type {kind}; {value!r} is not. Give it as -p {name}=VALUE.")

    inner = re.fullmatch(r"list\[(\w+)\]", kind)
    if inner:
        items = [i.strip() for i in value.split(",") if i.strip()] if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            raise wrong()
        return [_cast(name, item, inner[1]) for item in items]
    if kind not in _CASTS:
        return _literal(value)
    if kind == "bool":
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
        raise wrong()
    if kind == "str":
        return str(value)
    number = _literal(value)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise wrong()
    if kind == "int" and isinstance(number, float) and not number.is_integer():
        raise wrong()
    return _CASTS[kind](number)


def _literal(value: Any) -> Any:
    """Return what a text says in Python's own spelling, or the text itself."""
    try:
        return ast.literal_eval(value.strip()) if isinstance(value, str) else value
    except (ValueError, SyntaxError):
        return value


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
    ReportError
        A cell failed: the message says which, with which parameters, and where the executed notebook is.
    StorageError
        The folder cannot be written, or there is no such data set.
    """
    declared, values = parameters_of(notebook), checked(notebook, given)
    if "output_dir" in values:
        raise UsageError("The parameter 'output_dir' is the report's own folder: choose it with --out.")
    if "output_dir" in declared:
        values["output_dir"] = str(out.absolute())
    if values.get("data"):
        values["data"] = _found(values["data"])
    executed, page, results, partial = (out / n for n in ("notebook.ipynb", "report.html", "results.json", _PARTIAL))
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for old in (page, results, partial):  # if this one fails, nobody takes the last one for it
            old.unlink(missing_ok=True)
        executed.write_bytes(b"")
    _execute(notebook, executed, values)
    with _writing(out):
        page.write_text(to_html(executed), encoding="utf-8")
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


def _found(data: str) -> str:
    """Return where a data set is, absolute, for a notebook runs in its own folder."""
    if "://" in data:
        return data
    if not Path(data).is_dir():
        raise StorageError(f"There is no data set at {data}: the folder does not exist. `edgeprof demo` makes one.")
    return str(Path(data).absolute())


def _digest_of(data: str, declared: Mapping[str, Parameter]) -> str | None:
    """Return the digest of what was read: the given data set, the notebook's own, or the reference if that is empty."""
    if not data and "data" in declared:
        data = str(_literal(declared["data"].default)) or reference()
    return inputs_digest(data) if data and "://" not in data else None


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{out} cannot be written ({error.strerror}). Choose another folder with --out.") from error


@contextlib.contextmanager
def _kernel_environment() -> Iterator[None]:
    """Prefer this environment's kernel to one of the same name in the user's home."""
    before = os.environ.get("JUPYTER_PREFER_ENV_PATH")
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["JUPYTER_PREFER_ENV_PATH"]
        else:
            os.environ["JUPYTER_PREFER_ENV_PATH"] = before


def _execute(notebook: Path, executed: Path, values: dict[str, Any]) -> None:
    import warnings

    import papermill
    from papermill.exceptions import PapermillExecutionError

    for attempt in (1, 2):
        try:
            with _kernel_environment(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                papermill.execute_notebook(
                    str(notebook), str(executed), values, kernel_name="python3", progress_bar=False,
                    execution_timeout=CELL_SECONDS, cwd=str(notebook.parent), extra_arguments=["--log-level=40"],
                )  # fmt: skip
            return
        except PapermillExecutionError as error:
            raise ReportError(
                f"{notebook.name} failed in cell [{error.exec_count}] with {error.ename}: {error.evalue} "
                f"(parameters: {json.dumps(values, default=str)}; `-p NAME=VALUE` sets one, and "
                f"`edgeprof report --list` says what each is). The executed notebook shows the whole error: {executed}."
            ) from error
        except TimeoutError as error:
            raise ReportError(
                f"{notebook.name}: a cell took more than {CELL_SECONDS} s and was stopped (parameters: "
                f"{json.dumps(values, default=str)}). What it had done by then is in {executed}."
            ) from error
        except OSError as error:
            raise StorageError(
                f"{notebook.name} could not be run: {executed.parent}, or Jupyter's folder for what runs, cannot be "
                f"written ({error.strerror or error}). Make room, or choose another folder with --out."
            ) from error
        except RuntimeError as error:
            # A kernel that did not start, for instance as another process took its port: worth one more try.
            if attempt == 2 or "ernel" not in str(error):
                raise ReportError(f"{notebook.name} could not be run: {error}.") from error
