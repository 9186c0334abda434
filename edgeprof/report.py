"""Reports: a notebook run by papermill with checked parameters, as an HTML file that opens offline.

papermill only warns of an unknown parameter and checks no types; here both are errors. The HTML has no code cells, no
widgets and no address outside of itself. Beside it lies ``results.json``: what the notebook recorded, the parameters,
the version and the digests of what was read.
"""

from __future__ import annotations

import ast
import contextlib
import html
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprof._version import __version__
from edgeprof.errors import ReportError, StorageError, UsageError, unknown_name
from edgeprof.layout import MANIFEST, file_sha256, write_json

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
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ReportError(f"{notebook} is not a notebook that can be read: {error!r}.") from error
    if not cells:
        raise ReportError(
            f"{notebook} has no parameters cell. Tag the cell with its settings `parameters` (in JupyterLab: the gear on "
            "the right, Common Tools, Cell Tags)."
        )
    found = papermill.inspect_notebook(str(notebook))
    return {
        name: Parameter(name, p["inferred_type_name"], p["default"], p["help"] or "") for name, p in found.items()
    }


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
        items = [i.strip() for i in value.split(",") if i.strip()] if isinstance(value, str) else list(value)
        return [_cast(name, item, inner[1]) for item in items]
    if kind not in _CASTS:
        return value
    if kind == "bool":
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
        raise wrong()
    if isinstance(value, bool):
        raise wrong()
    try:
        return _CASTS[kind](ast.literal_eval(value) if kind != "str" and isinstance(value, str) else value)
    except (ValueError, SyntaxError, TypeError) as error:
        raise wrong() from error


def inputs_digest(data: str | Path) -> str:
    """Return one digest of everything that a data set's manifests name; it changes if any byte does."""
    import hashlib

    digest = hashlib.sha256()
    for path in sorted(Path(data).glob(f"capture=*/segment=*/{MANIFEST}")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        for entry in manifest["files"]:
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
        The folder cannot be written.
    """
    values = checked(notebook, given)
    if "output_dir" in parameters_of(notebook):
        values.setdefault("output_dir", str(out.absolute()))
    if values.get("data"):
        values["data"] = values["data"] if "://" in values["data"] else str(Path(values["data"]).absolute())
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / _PARTIAL).unlink(missing_ok=True)
        executed = out / "notebook.ipynb"
        executed.write_bytes(b"")
    except OSError as error:
        raise StorageError(f"{out} cannot be written ({error.strerror}). Choose another folder with --out.") from error
    _execute(notebook, executed, values)
    page = out / "report.html"
    page.write_text(to_html(executed), encoding="utf-8")
    partial = out / _PARTIAL
    recorded = json.loads(partial.read_text(encoding="utf-8")) if partial.exists() else {}
    partial.unlink(missing_ok=True)
    data = str(values.get("data", ""))
    write_json(
        out / "results.json",
        {
            "results_version": RESULTS_VERSION,
            "edgeprof_version": __version__,
            "notebook": {"name": notebook.stem, "sha256": file_sha256(notebook)},
            "parameters": {k: v for k, v in values.items() if k != "output_dir"},
            "inputs": {"data": data, "sha256": inputs_digest(data) if data and "://" not in data else None},
            "results": recorded,
        },
    )
    return Report(page, out / "results.json", executed)


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
                f"(parameters: {json.dumps(values, default=str)}). The executed notebook shows the whole error: "
                f"{executed}."
            ) from error
        except RuntimeError as error:
            # A kernel that did not start, for instance as another process took its port: worth one more try.
            if attempt == 2 or "ernel" not in str(error):
                raise ReportError(f"{notebook.name} could not be run: {error}.") from error


def to_html(executed: Path) -> str:
    """Return an executed notebook as one HTML page: text, tables and pictures, nothing from outside."""
    import nbformat
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    config = Config()
    config.HTMLExporter.template_name = "basic"
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = ("parameters", "injected-parameters", "report-hide")
    exporter = HTMLExporter(
        config=config, exclude_input=True, exclude_input_prompt=True, exclude_output_prompt=True, exclude_anchor_links=True,
        embed_images=True,
    )  # fmt: skip
    exporter.register_preprocessor("nbconvert.preprocessors.TagRemovePreprocessor", enabled=True)
    content = nbformat.read(executed, as_version=4)
    for cell in content.cells:
        # Warnings on standard error are for whoever runs the notebook, not for whoever reads the report.
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    body, _ = exporter.from_notebook_node(content)
    heading = re.search(r"^#\s+(.+)$", "\n".join(c.source for c in content.cells if c.cell_type == "markdown"), re.M)
    title = html.escape(heading[1] if heading else executed.stem)
    return _PAGE.format(title=title, body=_alt_texts(body), version=__version__)


def _alt_texts(body: str) -> str:
    """Give every picture a text of its own for those who cannot see it."""
    return re.sub(
        r"<img(?![^>]*\balt=[\"'](?!No description)[^\"']+)([^>]*?)(\s+alt=[\"'][^\"']*[\"'])?([^>]*)>",
        r'<img\1\3 alt="Chart; the table and the sentence beside it say what it shows.">',
        body,
    )


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="edgeprof {version}">
<title>{title}</title>
<style>
:root {{ color-scheme: light; }}
body {{ font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: #1b1f24;
  background: #fff; max-width: 66rem; margin: 2rem auto 4rem; padding: 0 1.25rem; }}
h1 {{ font-size: 1.9rem; line-height: 1.2; margin: 0 0 .8rem; }}
h2 {{ font-size: 1.3rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #d8dee4; padding-bottom: .25rem; }}
table {{ border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; margin: .8rem 0; }}
p.caption {{ color: #57606a; font-size: .82rem; margin-top: .2rem; }}
th, td {{ padding: .3rem .5rem; border-bottom: 1px solid #e3e7eb; }}
td {{ white-space: nowrap; }}
thead th {{ border-bottom: 2px solid #57606a; vertical-align: bottom; }}
tbody tr:hover {{ background: #f3f6f9; }}
img {{ max-width: 100%; height: auto; }}
pre {{ font-size: .82rem; white-space: pre-wrap; background: #f6f8fa; padding: .6rem .8rem; border-radius: 4px; }}
code {{ font-size: .9em; background: #f6f8fa; padding: .1em .3em; border-radius: 3px; }}
footer {{ margin-top: 3rem; color: #57606a; font-size: .82rem; }}
</style>
</head>
<body>
<main>
{body}
</main>
<footer>Made by edgeprof {version}. The figures stand in results.json beside this page.</footer>
</body>
</html>
"""
