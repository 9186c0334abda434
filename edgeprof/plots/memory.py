"""What memory is taken by: a board's budget, and the parts of a firmware image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from edgeprof import units
from edgeprof.display import mpl_text
from edgeprof.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_memory_budget", "plot_sections"]

# The place in the palette, the same in every picture; the reserve of the stack is its colour, hollow.
_PLACES = {
    "weights": 0, "code and constants": 4, "static data": 6, "stack": 3, "stack reserve": 3, "KV cache": 1,
    "activations": 2, "heap": 2,
}  # fmt: skip
_HOLLOW = {"stack reserve"}
_KINDS = {"code": 0, "rodata": 4, "data": 1, "bss": 2, "stack": 3, "heap": 6}
_MIB_FROM = 4 << 20


def _unit(largest: float) -> tuple[float, str]:
    return (1 << 20, "MiB") if largest >= _MIB_FROM else (1 << 10, "KiB")


def plot_memory_budget(data: pd.DataFrame, *, region: str = "RAM", ax: Axes | None = None) -> Axes:
    """Plot what each group takes of a board's memory, as stacked bars, with the board's limit as a line.

    What lies beyond the limit is hatched in red, and the label says by how much. Where a part is not known (there is
    neither ``unused`` nor ``over``), the label says ``≥``.

    Parameters
    ----------
    data
        Columns ``group``, ``region``, ``part``, ``how``, ``bytes`` and ``has_bytes`` (bytes), as of
        :func:`edgeprof.budget.largest`.
    region
        ``RAM`` or ``flash``.
    ax
        Where to; a new figure by default.
    """
    alone = ax is None
    ax = style.axes(ax)
    mine = data[data["region"] == region]
    takes = mine[~mine["part"].isin(["unused", "over"])]
    names = [str(n) for n in dict.fromkeys(mine["group"])]
    needed = takes.groupby("group")["bytes"].sum().astype(float)
    limits = mine.groupby("group")["has_bytes"].first().astype(float)
    reach = max([*needed, *limits.dropna(), 1.0])
    scale, unit = _unit(reach)
    said = {str(p): f"{p} ({how})" for p, how in zip(takes["part"], takes["how"], strict=True)}
    known = [part for part in _PLACES if part in said]
    labels = {said[part]: _fill(part) for part in [*known, *(p for p in said if p not in known)]}
    balanced = set(mine.loc[mine["part"].isin(["unused", "over"]), "group"])
    for row, name in enumerate(names):
        left, parts = 0.0, takes[takes["group"] == name]
        for part, width in zip(parts["part"], parts["bytes"].to_numpy(float) / scale, strict=True):
            ax.barh(row, width, left=left, height=0.62, **_fill(str(part)))
            left += width
        _limit(ax, row, left, limits.get(name, float("nan")) / scale, unit, name in balanced)
    if alone:
        style.set_height(ax, max(style.SIZE[1], 1.5 + 0.3 * len(names)))
    ax.set_yticks(range(len(names)), [mpl_text(n) for n in names])
    ax.set_ylim(max(len(names), 1) - 0.4, -0.6)
    ax.set_xlim(0, 1.34 * reach / scale)
    ax.grid(False, axis="y")
    ax.set_xlabel(f"{mpl_text(region)} [{unit}]   line: what the board has; red: what does not fit")
    _legend(ax, labels)
    ax.set_title(f"What takes the {mpl_text(region)}", loc="left", fontsize=11)
    return ax


def _limit(ax: Axes, row: int, needed: float, has: float, unit: str, whole: bool) -> None:
    """Draw a bar's limit, and write at its end how much is needed of it (of what is known of it), or is missing."""
    known = has == has  # not NaN
    look = style.look()
    text, colour = f"{units.significant(needed)} {unit}", look.muted
    if known:
        ax.plot([has, has], [row - 0.42, row + 0.42], color=look.text, linewidth=1.8)
        text = f"{'' if whole else '≥ '}{units.significant(needed)} of {units.significant(has)} {unit}"
    if known and needed > has:
        ax.barh(
            row, needed - has, left=has, height=0.62, facecolor="none", edgecolor=look.over, hatch="////", linewidth=1.4
        )
        text, colour = f"{units.significant(needed - has)} {unit} over {units.significant(has)} {unit}", look.over
    ax.annotate(
        text, (max(needed, has) if known else needed, row), xytext=(5, 0), textcoords="offset points", va="center",
        fontsize=8.5, color=colour, fontweight="bold" if colour == look.over else "normal",
    )  # fmt: skip


def _fill(part: str) -> dict[str, Any]:
    """Return how a part's bar is drawn."""
    look = style.look()
    colour = look.colours[_PLACES[part]] if part in _PLACES else look.grey
    if part in _HOLLOW:  # the edge is the bar, so it is no thinner than a line
        return {"facecolor": look.background, "edgecolor": colour, "linewidth": 1.2}
    return {"facecolor": colour, "edgecolor": look.background, "linewidth": 0.5}


def _legend(ax: Axes, labels: dict[str, dict[str, Any]]) -> None:
    """Write a legend below the axis' own label."""
    from matplotlib.patches import Patch

    if labels:
        handles = [Patch(**{"label": name, **fill}) for name, fill in labels.items()]
        height = ax.get_window_extent().height / ax.figure.dpi
        below = -0.5 / height if height else -0.16
        ax.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.45, below), ncols=3, frameon=False, fontsize=8.5
        )


def plot_sections(data: pd.DataFrame, *, of: str = "flash", ax: Axes | None = None) -> Axes:
    """Plot the largest parts of a firmware image, coloured by what they are.

    Parameters
    ----------
    data
        Columns ``name``, ``kind`` and ``bytes``, the largest first, as of :func:`edgeprof.image_parts.top_symbols`.
    of
        Which memory the bytes are of, for the axis: ``flash`` or ``RAM``.
    ax
        Where to; a new figure by default.
    """
    alone = ax is None
    ax = style.axes(ax)
    if alone:
        style.set_height(ax, max(style.SIZE[1], 1.5 + 0.3 * len(data)))
    look, labels = style.look(), dict[str, dict[str, Any]]()
    longest = 1.0
    for row, (kind, size) in enumerate(zip(data["kind"], data["bytes"].to_numpy(float), strict=True)):
        others = kind == "all others"
        text = f"{units.exact(size)} in all" if others else units.exact(size)
        if not others:  # many small ones together would dwarf the others
            longest = max(longest, size)
            colour = look.colours[_KINDS[str(kind)]] if kind in _KINDS else look.grey
            labels[mpl_text(kind)] = {"facecolor": colour}
            ax.barh(row, size, height=0.7, color=colour)
        ax.annotate(
            text, (0 if others else size, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8.5,
            color=look.muted if others else look.text,
        )  # fmt: skip
    ax.set_yticks(range(len(data)), [mpl_text(n) for n in data["name"]], fontfamily="monospace", fontsize=8.5)
    ax.set_ylim(max(len(data), 1) - 0.4, -0.6)
    ax.set_xlim(0, 1.15 * longest)
    ax.grid(False, axis="y")
    ax.xaxis.set_major_formatter(lambda v, _: f"{v:,.0f}")
    ax.set_xlabel(f"{mpl_text(of)} [byte]")
    _legend(ax, labels)
    style.title(ax, "The largest parts of the image")
    return ax
