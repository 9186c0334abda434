"""Where a pass goes, stage by stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from edgeprof import units
from edgeprof.display import mpl_text
from edgeprof.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_stages"]

# The place in the palette, the same in every picture; what has none is grey.
_PLACES = {"embedding": 6, "attention": 0, "feed_forward": 1, "head": 2, "sampling": 3, "other": 4}
_ORDER = (*_PLACES, "unattributed")
_WRITTEN_FROM, _SEEN_FROM = 0.045, 0.004
_COLUMNS, _LINE = 3, 14  # of the legend; points


def plot_stages(data: pd.DataFrame, *, clock: str = "fuel", ax: Axes | None = None) -> Axes:
    """Plot what each stage takes of a pass, as a stacked bar for each group; its end says what the whole pass costs.

    Parameters
    ----------
    data
        Columns ``group``, ``stage``, ``ticks_per_pass`` (ticks) and ``share`` (of the pass, 0 to 1), a row for each
        group and stage, as of :func:`edgeprof.stage_shares` with a run or phase as the group. What is below zero is
        not drawn.
    clock
        The clock's kind; it is named in the axis.
    ax
        Where to; a new figure by default.
    """
    alone = ax is None
    ax = style.axes(ax)
    names = list(dict.fromkeys(data["group"]))
    for row, name in enumerate(names):
        left, parts = 0.0, data[data["group"] == name]
        for stage, share in zip(parts["stage"], parts["share"].to_numpy(float), strict=True):
            if not share > 0:
                continue
            colour = _colour(str(stage))
            ax.barh(
                row, 100 * share, left=left, height=0.62, color=colour, edgecolor=style.look().background,
                linewidth=0.5,
            )  # fmt: skip
            if share >= _WRITTEN_FROM:
                text = units.significant(100 * share, 2 if share < 0.9995 else 3)
                ax.text(left + 50 * share, row, text, ha="center", va="center", fontsize=8.5, color=style.on(colour))
            left += 100 * share
        whole = units.significant(parts["ticks_per_pass"].sum() / 1e6)
        ax.annotate(
            whole, (left, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8.5,
            color=style.look().muted,
        )  # fmt: skip
    if not names:
        ax.text(0.5, 0.5, "not known", transform=ax.transAxes, ha="center", va="center", color=style.look().muted)
    if alone:
        style.set_height(ax, 1.9 + 0.36 * max(len(names), 2))
    ax.set_yticks(range(len(names)), [mpl_text(n) for n in names])
    ax.set_ylim(max(len(names), 1) - 0.4, -0.6)
    ax.set_xlim(0, 112)
    ax.set_xticks(range(0, 101, 20))
    ax.grid(False, axis="y")
    ax.set_xlabel(f"share of a pass [%]\nright of the bar: the whole pass [million {style.tick_unit(clock)}]")
    rows = _legend(ax, {stage: float(data.loc[data["stage"] == stage, "share"].max()) for stage in _in_order(data)})
    style.title(ax, "Where a pass goes", pad=8 + _LINE * rows)
    return ax


def _in_order(data: pd.DataFrame) -> list[str]:
    """Return the stages that occur, in the order of a pass."""
    present = list(dict.fromkeys(str(stage) for stage in data["stage"]))
    return [s for s in _ORDER if s in present] + [s for s in present if s not in _ORDER]


def _colour(stage: str) -> str:
    look = style.look()
    return look.colours[_PLACES[stage]] if stage in _PLACES else look.grey


def _legend(ax: Axes, largest: dict[str, float]) -> int:
    """Write a legend above the bars, which says of a stage too thin to be seen how thin; return its lines."""
    from matplotlib.patches import Patch

    handles = []
    for stage, share in largest.items():
        thin = f" (up to {units.significant(100 * share, 2)} %)" if 0 <= share < _SEEN_FROM else ""
        handles.append(Patch(facecolor=_colour(stage), label=mpl_text(stage.replace("_", " ")) + thin))
    if handles:
        ax.legend(
            handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=_COLUMNS, frameon=False, fontsize=8.5,
            borderpad=0.2, borderaxespad=0, handlelength=1.4, columnspacing=1.4,
        )  # fmt: skip
    return -(-len(handles) // _COLUMNS)
