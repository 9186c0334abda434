"""One page over all reports in a folder: what was run with what, what came out, and where it lies."""

from __future__ import annotations

import contextlib
import html
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edgeprof import units
from edgeprof._version import __version__
from edgeprof.display import html_text
from edgeprof.errors import NotComparableError, StorageError
from edgeprof.layout import write_json
from edgeprof.leaderboard_page import board_html, load_leaderboard
from edgeprof.notebook_run import failed_cell
from edgeprof.offline import SCROLLING, offline
from edgeprof.page import document
from edgeprof.report_files import NOTEBOOK, PAGE, RESULTS, read_results, write_text, writing

__all__ = ["INDEX_VERSION", "Entry", "find_reports", "index_page", "write_index"]

INDEX_VERSION = 1
_MOST_FACTS = 6
_COLUMNS = ("Notebook", "Parameters", "Status", "Results", "Files")
_LONGEST = 300
_HEADLINES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "decode_ticks_per_token": ("decode", lambda v: units.si(v, "tick/token")),
    "decode_tok_s": ("decode", lambda v: f"{units.significant(v)} token/s"),
    "ttft_ticks": ("TTFT", lambda v: units.si(v, "tick")),
    "perplexity": ("perplexity", lambda v: units.significant(v, 5)),
    "ram_needed_bytes": ("RAM needed", units.iec),
}
"""What is worth a reader's first look, where a report holds one run."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One report in the index; ``folder`` is relative to the index, ``files`` are those that are there."""

    folder: str
    notebook: str
    parameters: dict[str, Any]
    status: str
    headlines: dict[str, str]
    files: tuple[str, ...]


def find_reports(root: Path) -> list[Entry]:
    """Return the reports in a folder and below it, in order of their folders.

    A folder with ``results.json`` holds a report; one with an executed notebook alone holds one that failed.
    """
    folders = {path.parent for name in (RESULTS, NOTEBOOK) for path in root.rglob(name)}
    found = (_entry(root, folder) for folder in sorted(folders))
    return [entry for entry in found if entry is not None]


def _entry(root: Path, folder: Path) -> Entry | None:
    where = folder.relative_to(root).as_posix()
    files = tuple(name for name in (PAGE, RESULTS, NOTEBOOK) if (folder / name).is_file())
    results = read_results(folder / RESULTS)
    if results is not None:
        notebook = results.get("notebook")
        name = str(notebook.get("name", "unknown")) if isinstance(notebook, Mapping) else "unknown"
        return Entry(
            where, name, _mapping(results.get("parameters")), "made", _headlines(results.get("results")), files
        )
    if RESULTS in files or NOTEBOOK not in files:
        return None  # somebody else's file of that name
    run = _papermill(folder / NOTEBOOK)
    if run is None:
        return None
    number, _, ename, evalue = failed_cell(folder / NOTEBOOK)
    status = "failed" if number is None else f"failed in cell [{number}]"
    said = {"error": f"{ename}: {' '.join(evalue.split())}"} if ename else {}
    parameters = {k: v for k, v in _mapping(run.get("parameters")).items() if k != "output_dir"}
    return Entry(where, Path(str(run.get("input_path") or "unknown")).stem, parameters, status, said, files)


def _mapping(found: Any) -> dict[str, Any]:
    return dict(found) if isinstance(found, Mapping) else {}


def _papermill(notebook: Path) -> dict[str, Any] | None:
    """Return what papermill notes of a run; None for a notebook that it did not run."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        text = notebook.read_text(encoding="utf-8")
        return _mapping(json.loads(text)["metadata"]["papermill"]) if text else {}
    return None


def _headlines(results: Any) -> dict[str, str]:
    """Return a report's first figures: what it named ``headline``, else those of a single run, else how many rows."""
    found = _mapping(results)
    if isinstance(found.get("headline"), Mapping):
        return {str(k): str(v) for k, v in list(found["headline"].items())[:_MOST_FACTS]}
    said: dict[str, str] = {}
    for name, value in found.items():
        rows = value if isinstance(value, list) else [value]
        if len(rows) == 1 and isinstance(rows[0], Mapping):
            known = {c: rows[0].get(c) for c in _HEADLINES}
            said |= {_HEADLINES[c][0]: _HEADLINES[c][1](v) for c, v in known.items() if _number(v)}
        elif isinstance(value, list):
            said[name] = f"{len(value):,} rows"
    return dict(list(said.items())[:_MOST_FACTS])


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def index_page(entries: list[Entry], leaderboard: str = "") -> str:
    """Return the index as HTML; a leaderboard's (harmless) HTML, if given, is its first section."""
    made = sum(e.status == "made" for e in entries)
    parts = ["<h1>Reports</h1>", f"<p>{made:,} of {len(entries):,} reports were made.</p>"]
    if leaderboard:
        parts.append(f"<h2>Leaderboard</h2>\n{leaderboard}")
    parts.append("<h2>All reports</h2>")
    if entries:
        head = "".join(f'<th scope="col" style="text-align:left">{name}</th>' for name in _COLUMNS)
        rows = "\n".join(_row(entry) for entry in entries)
        parts.append(f"{SCROLLING}<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>")
    else:
        parts.append("<p>There is none in this folder.</p>")
    return document("Reports", "\n".join(parts), "The same stands in index.json beside this page.")


def _row(entry: Entry) -> str:
    kind = "good" if entry.status == "made" else "bad"
    cells = [
        f'<td class="words">{html_text(entry.notebook)}</td>',
        f'<td class="words">{_facts({k: _said(v) for k, v in entry.parameters.items()})}</td>',
        f'<td class="{kind}">{html_text(entry.status)}</td>',
        f'<td class="words">{_facts(entry.headlines)}</td>',
        f"<td>{' · '.join(_link(entry, name) for name in entry.files)}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _facts(facts: Mapping[str, str]) -> str:
    """Return names and values as HTML; what is empty says nothing and is left out."""
    return "<br>".join(f"{html_text(k)}: {html_text(v, _LONGEST)}" for k, v in facts.items() if v) or units.UNKNOWN


def _link(entry: Entry, name: str) -> str:
    """Return a relative link to a report's file, which says whose file it is to those who do not see the row."""
    target = html.escape(quote(f"{entry.folder}/{name}"))
    what = html_text(f"{name} of {entry.folder}", _LONGEST)
    return f'<a href="{target}" aria-label="{what}">{html_text(name)}</a>'


def write_index(root: Path, data: str | None = None, *, strict: bool = False) -> Path:
    """Write ``index.html`` and ``index.json`` over all reports in a folder; return where the page is.

    Parameters
    ----------
    root
        The folder.
    data
        A data set, or a folder of reports, whose leaderboard is the page's first section.
    strict
        Whether a leaderboard that cannot be made is an error; otherwise the page says why.

    Raises
    ------
    StorageError
        There is no such folder, or it cannot be written.
    NotComparableError
        The leaderboard was asked for, strictly, and nothing can be ranked.
    """
    if not root.is_dir():
        raise StorageError(f"There is no folder {root}: reports are made with `edgeprof report`, --out naming it.")
    with writing(root):
        entries = find_reports(root)
    leaderboard = ""
    if data:
        try:
            leaderboard = offline(board_html(*load_leaderboard(data), level=3))
        except (NotComparableError, StorageError) as error:
            if strict:
                raise
            leaderboard = f"<p>There is none: {html_text(error, 1000)}</p>"
    write_text(root / "index.html", index_page(entries, leaderboard))
    figures = {
        "index_version": INDEX_VERSION,
        "edgeprof_version": __version__,
        "reports": [asdict(entry) for entry in entries],
    }
    write_json(root / "index.json", figures)
    return root / "index.html"
