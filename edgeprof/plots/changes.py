"""Changes with their intervals and verdicts, as a forest plot."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from edgeprof.display import mpl_text
from edgeprof.plots import reach, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_changes"]

_ROW_INCHES, _AXIS_INCHES, _LETTER_INCHES = 0.27, 3.4, 0.078
_LONGEST, _REASON = 32, 60  # letters
_BOLD = 1.2  # so many times as wide are bold ones
_SHAPES = {
    "worse": ("s", True), "better": ("o", True), "same": ("D", True), "not enough data": ("o", False),
    "close to the smallest effect": ("D", False),
}  # fmt: skip
"""Marker of each verdict, and whether it is filled: what is settled."""
_PLACES = {"worse": 1, "better": 0}
_NOT_JUDGED = "not judged"


class _Row(NamedTuple):
    label: str
    change: float
    low: float
    high: float
    word: str
    certain: bool
    reason: str
    smallest: float


def plot_changes(data: pd.DataFrame, *, smallest: float, ax: Axes | None = None) -> Axes:
    """Plot changes with their 95 % intervals as a forest plot: a row a change, its verdict at the right.

    The verdict is colour, shape and word; a hollow marker is not settled. A change that is certain has no interval.
    What could not be judged has no marker: it is grey, with the reason. An arrow leads to what lies beyond the axis.

    Parameters
    ----------
    data
        Columns ``label``, ``group`` (its heading: a metric, a board), ``change``, ``low`` and ``high`` (candidate /
        base - 1, fractions; NaN where there is none), ``word`` (the verdict; null where there is none) and ``certain``.
        A column ``reason`` is written beside what has no change; a column ``smallest`` takes the place of the argument,
        row by row.
    smallest
        The smallest effect that matters, as a fraction; changes below it are shaded.
    ax
        Where to; a new figure by default.
    """
    rows = list(_rows(data, smallest))
    groups = list(dict.fromkeys(mpl_text(g) for g, _ in rows))
    headed = groups if len(groups) > 1 or groups not in ([], [""]) else []
    if ax is None:
        ax = style.axes(None, _size([row for _, row in rows], headed))
    else:
        style.axes(ax)
    judged = [row for _, row in rows if math.isfinite(row.change)]
    ends = reach.limits(
        [1.4 * edge for edge in (*_band(smallest), *(e for row in judged for e in _band(row.smallest)))],
        [row.change for row in judged],
        [end for row in judged for end in (row.low, row.high)],
    )
    ax.set_xlim(100 * ends[0], 100 * ends[1])
    ticks: list[tuple[float, str, str, str]] = []
    look = style.look()
    at = 0.0
    for group in groups:
        mine = [row for name, row in rows if mpl_text(name) == group]
        if headed:
            at += 0.3 if ticks else 0.0
            ticks.append((at, group, look.text, "bold"))
            at += 1
        for row in mine:
            known = math.isfinite(row.change)
            _draw(ax, at, row, ends)
            ticks.append((at, mpl_text(row.label, _LONGEST), look.text if known else look.muted, "normal"))
            at += 1
    ax.axvline(0, color=look.text, linewidth=0.9, zorder=1.5)
    ax.set_yticks([t[0] for t in ticks], [t[1] for t in ticks])
    for label, (_, _, colour, weight) in zip(ax.get_yticklabels(), ticks, strict=True):
        label.set(color=colour, fontweight=weight)
    ax.set_ylim(max(at, 1) - 0.4, -0.6)
    ax.grid(False, axis="y")
    ax.tick_params("y", length=0)
    ax.xaxis.set_major_formatter(lambda v, _: f"{v:+g}" if v else "0")
    ax.set_xlabel(
        "change of the candidate against the base [%]\n"
        f"line: 95 % interval (none: certain)\nshaded: {_shaded([row.smallest for _, row in rows], smallest)}"
    )
    style.title(ax, "What changed")
    return ax


def _shaded(smallest: list[float], usual: float) -> str:
    """Return what the shaded band means, where it may be another for each row."""
    found = sorted({value for value in smallest if math.isfinite(value)}) or [usual]
    return f"less than {100 * found[0]:g} %" if len(found) == 1 else "below the limit of each row"


def _size(rows: list[_Row], headed: list[str]) -> tuple[float, float]:
    """Return the width and height of a figure in which every row and its words have room, in inches."""
    left = max((float(min(len(row.label), _LONGEST)) for row in rows), default=0.0)
    left = max(left, *(_BOLD * len(name) for name in headed), 0.0)
    right = max((len(_said(row)) for row in rows), default=0)
    return (
        max(style.SIZE[0], _AXIS_INCHES + _LETTER_INCHES * (left + right)),
        max(2.2, 1.35 + _ROW_INCHES * (len(rows) + 1.3 * len(headed))),
    )


def _said(row: _Row) -> str:
    """Return what stands at the right of a row: the verdict, and the change."""
    return f"{mpl_text(row.word)}  {_percent(row.change)}" if math.isfinite(row.change) else ""


def _rows(data: pd.DataFrame, smallest: float) -> Iterator[tuple[str, _Row]]:
    for row in data.to_dict("records"):
        change, low, high = (float("nan") if pd.isna(row[c]) else float(row[c]) for c in ("change", "low", "high"))
        word = _NOT_JUDGED if pd.isna(row["word"]) else str(row["word"]) or _NOT_JUDGED
        reason = row.get("reason")
        own = row.get("smallest")
        yield (
            str(row["group"]),
            _Row(
                str(row["label"]), change, low, high, word, bool(row["certain"]) and pd.notna(row["certain"]),
                "" if pd.isna(reason) else str(reason), smallest if own is None or pd.isna(own) else float(own),
            ),
        )  # fmt: skip


def _band(smallest: float) -> tuple[float, float]:
    """Return the changes below the smallest effect: a factor as large in both directions."""
    return 1 / (1 + smallest) - 1, smallest


def _draw(ax: Axes, at: float, row: _Row, ends: tuple[float, float]) -> None:
    look = style.look()
    low, high = _band(row.smallest)
    ax.barh(at, 100 * (high - low), left=100 * low, height=1.0, color=look.band, zorder=0.4)
    known = math.isfinite(row.change)
    colour = look.colours[_PLACES[row.word]] if row.word in _PLACES else look.muted if known else look.grey
    ink = style.ink(colour)
    if not known:
        why = mpl_text(f"{row.word}: {row.reason}" if row.reason else row.word, _REASON)
        ax.text(0.01, at, why, transform=ax.get_yaxis_transform(), fontsize=8.5, va="center", color=look.muted,
                clip_on=True, bbox={"facecolor": look.background, "edgecolor": "none", "pad": 1.5})  # fmt: skip
        return
    _interval(ax, at, row, ends, colour)
    ax.annotate(
        _said(row), (1, at), xycoords=("axes fraction", "data"), xytext=(9, 0), textcoords="offset points",
        fontsize=8.5, va="center", color=ink, annotation_clip=False,
    )  # fmt: skip


def _interval(ax: Axes, at: float, row: _Row, ends: tuple[float, float], colour: str) -> None:
    marker, filled = _SHAPES.get(row.word, ("x", True))
    if not row.certain and math.isfinite(row.low) and math.isfinite(row.high):
        left, right = (100 * reach.within(end, ends) for end in (row.low, row.high))
        ax.plot([left, right], [at, at], "-", color=colour, linewidth=1.5, solid_capstyle="butt")
    lows, highs = ([v for v in (row.change, end) if math.isfinite(v)] for end in (row.low, row.high))
    for beyond, edge, arrow in (
        (min(lows) < ends[0], ends[0], "<"),
        (max(highs) > ends[1], ends[1], ">"),
    ):
        if beyond:
            ax.plot(100 * edge, at, arrow, color=colour, markersize=6, clip_on=False)
    if ends[0] <= row.change <= ends[1]:
        face = colour if filled else style.look().background
        ax.plot(100 * row.change, at, marker, color=colour, markersize=6.5, markerfacecolor=face, zorder=3)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:+.{1 if abs(fraction) >= 0.1 else 2}f} %"
