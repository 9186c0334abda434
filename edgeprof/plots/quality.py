"""Charts of the quality report: tests by session, and coverage by part of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from edgeprof.display import mpl_text
from edgeprof.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_coverage", "plot_tests"]

_ROW_INCHES, _REST_INCHES, _BAR = 0.27, 1.35, 0.62
_LONGEST = 36


def plot_tests(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot the tests of each session: passed, failed, not run, and for other platforms; the counts at the right.

    Parameters
    ----------
    data
        Columns ``session``, ``passed``, ``failed``, ``not_run`` and ``elsewhere`` (counts).
    ax
        Where to; a new figure by default.
    """
    ax = _rows(ax, [mpl_text(name, _LONGEST) for name in data["session"]])
    look = style.look()
    parts = {
        "passed": (look.colours[0], ""),
        "elsewhere": (look.blank, ""),
        "not_run": (look.background, "////"),
        "failed": (look.over, ""),
    }
    totals = data[list(parts)].sum(axis=1)
    at, begin = range(len(data)), pd.Series(0, index=data.index)
    for column, (colour, hatch) in parts.items():
        has = data[column] > 0  # a bar of no width would still have its edge
        if has.any():
            ax.barh(
                [row for row in at if has.iloc[row]], data[column][has], left=begin[has], height=_BAR, color=colour,
                hatch=hatch, edgecolor=look.muted if hatch or colour == look.blank else colour, linewidth=0.6,
            )  # fmt: skip
        begin = begin + data[column]
    for row, (total, failed, left) in enumerate(zip(totals, data["failed"], data["not_run"], strict=True)):
        words = [f"{total:,}", *([f"{failed:,} failed"] if failed else []), *([f"{left:,} not run"] if left else [])]
        _beside(ax, row, ", ".join(words), look.over if failed else look.text)
    ax.set_xlim(0, max(totals.max() if len(totals) else 0, 1) * style.HEADROOM)
    ax.xaxis.set_major_formatter(lambda v, _: f"{v:,g}")
    ax.set_xlabel("tests [number]\nfrom the left: passed, for other platforms (pale),\nnot run (hatched), failed (red)")
    style.title(ax, "Tests by session")
    return ax


def plot_coverage(data: pd.DataFrame, *, least: float, ax: Axes | None = None) -> Axes:
    """Plot coverage of everything and of each part, beside the least that there may be of everything.

    Parameters
    ----------
    data
        Columns ``part`` (``all`` is everything) and ``percent``.
    least
        In percent.
    ax
        Where to; a new figure by default.
    """
    ax = _rows(ax, [mpl_text("everything" if part == "all" else part, _LONGEST) for part in data["part"]])
    look = style.look()
    for row, (part, percent) in enumerate(zip(data["part"], data["percent"], strict=True)):
        judged = part == "all"
        colour = (look.over if percent < least else look.colours[0]) if judged else look.grey
        ax.barh(row, percent, height=_BAR, color=colour)
        _beside(ax, row, f"{int(100 * percent + 1e-9) / 100:.2f} %", style.ink(colour) if judged else look.text)
    ax.axvline(least, color=look.text, linewidth=1.2, linestyle="--")
    ax.annotate(
        f"wanted: {least:g} %", (least, 1), xycoords=("data", "axes fraction"), xytext=(-3, 3),
        textcoords="offset points", ha="right", fontsize=8.5, color=look.text,
    )  # fmt: skip
    ax.set_xlim(0, 100)
    ax.set_xlabel("lines and branches that tests executed [%]\nonly everything is judged; grey: its parts")
    style.title(ax, "Coverage", pad=14)
    return ax


def _height(rows: int) -> float:
    return _REST_INCHES + _ROW_INCHES * max(rows, 2)


def _rows(ax: Axes | None, names: list[str]) -> Axes:
    """Return axes with a row a name, from top to bottom."""
    ax = style.axes(ax, (style.SIZE[0], _height(len(names))))
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(max(len(names), 1) - 0.4, -0.6)
    ax.grid(False, axis="y")
    ax.tick_params("y", length=0)
    return ax


def _beside(ax: Axes, row: int, text: str, colour: str) -> None:
    ax.annotate(
        text, (1, row), xycoords=("axes fraction", "data"), xytext=(8, 0), textcoords="offset points", fontsize=8.5,
        va="center", color=colour, annotation_clip=False,
    )  # fmt: skip
