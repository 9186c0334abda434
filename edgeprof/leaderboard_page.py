"""The leaderboard as files: a page, JSON for programs, and Markdown for a README."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from edgeprof._version import __version__
from edgeprof.display import html_table, html_text
from edgeprof.layout import write_json
from edgeprof.leaderboard import dataset_table, formatted, ranked, results_table
from edgeprof.markdown import markdown_table, markdown_text
from edgeprof.offline import offline
from edgeprof.page import document
from edgeprof.report_files import read_results, results_below, write_text, writing

__all__ = ["LEADERBOARD_VERSION", "board_html", "load_leaderboard", "write_leaderboard"]

LEADERBOARD_VERSION = 1
_TITLE = "Leaderboard: what a decode pass costs"
_READ = (
    "Ranks stay within one board and one clock, for ticks of two boards cannot be compared. Cost is held against the "
    "board's baseline over the passes that both made. Costs that are equal in three digits share a rank; what has no "
    "known cost stands last. "
    "Perplexity belongs to the file: where a board measured none, it is that of another board."
)
_SCOPE = ("source", "board", "clock")
_NOISY = "This clock is noisy: the order is that of the means, and no verdict."


def load_leaderboard(data: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the ranks of a data set, or of all reports below a folder, and notes.

    Raises
    ------
    StorageError
        There is neither.
    NotComparableError
        Nothing in it can be ranked.
    """
    folder = Path(data)
    files = [] if "://" in data or any(folder.glob("capture=*")) else results_below(folder)
    if files:
        named = [(path.parent.relative_to(folder).as_posix() or ".", read_results(path)) for path in files]
        table, notes = results_table([(name, content) for name, content in named if content is not None]), ()
        return ranked(table), notes
    from edgeprof.store import open_dataset

    found, missing = dataset_table(open_dataset(data))
    return ranked(found), missing


def _boards(board: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Return for each board its heading, what to know of it, and its formatted ranks."""
    several = len(set(board["source"].fillna(""))) > 1
    found = []
    for _, part in board.groupby(["source", "board", "clock"], dropna=False, sort=False):
        source, name, clock = (None if pd.isna(part[c].iloc[0]) else str(part[c].iloc[0]) for c in _SCOPE)
        heading = (name or "unknown board") + (f" ({source})" if several and source else "")
        said = f"Clock: {clock or 'unknown'}."
        said += f" {_NOISY}" if clock and not part["exact"].iloc[0] else ""
        found.append((heading, said, formatted(part)))
    return found


def board_html(board: pd.DataFrame, notes: tuple[str, ...], level: int = 2) -> str:
    """Return a leaderboard as HTML, a heading and a table a board."""
    parts = [f"<p>{html_text(_READ, 1000)}</p>"]
    for heading, said, table in _boards(board):
        parts.append(f"<h{level}>{html_text(heading)}</h{level}>\n{html_table(table, said)}")
    parts += [f'<p class="caption">{html_text(note, 1000)}</p>' for note in notes]
    return "\n".join(parts)


def _markdown(board: pd.DataFrame, notes: tuple[str, ...]) -> str:
    parts = [f"{_READ}\n"]
    for heading, said, table in _boards(board):
        parts.append(f"**{markdown_text(heading)}** {markdown_text(said)}\n\n{markdown_table(table)}")
    parts += [f"{markdown_text(note)}\n" for note in notes]
    return "\n".join(parts)


def write_leaderboard(data: str, out: Path) -> tuple[Path, Path, Path]:
    """Write ``leaderboard.html``, ``leaderboard.json`` and ``leaderboard.md``; return where they are.

    Raises
    ------
    StorageError
        There is no such data set or folder of reports, or ``out`` cannot be written.
    NotComparableError
        Nothing can be ranked.
    """
    board, notes = load_leaderboard(data)
    page, figures, text = (out / f"leaderboard.{kind}" for kind in ("html", "json", "md"))
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    body = f"<h1>{_TITLE}</h1>\n{offline(board_html(board, notes))}"
    write_text(page, document(_TITLE, body, "The figures stand in leaderboard.json beside this page."))
    write_text(text, _markdown(board, notes))
    write_json(
        figures,
        {
            "leaderboard_version": LEADERBOARD_VERSION,
            "edgeprof_version": __version__,
            "notes": list(notes),
            "rows": json.loads(board.to_json(orient="records", double_precision=15)),
        },
    )
    return page, figures, text
