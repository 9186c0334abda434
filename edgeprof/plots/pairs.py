"""The ratios of pairs in the order of their measurement, to see drift and outliers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from edgeprof import units
from edgeprof.plots import labels, reach, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_pairs"]

_INSET = 0.03
"""So far from the edge, as a part of the axis, stands the arrow for what lies beyond it."""


def plot_pairs(data: pd.DataFrame, *, estimate: float, low: float, high: float, ax: Axes | None = None) -> Axes:
    """Plot the ratio of each pair in the order in which they were measured, with the centre and its interval.

    A drift is a slope, an outlier stands apart; an arrow at the edge is a pair beyond the axis, with its ratio.

    Parameters
    ----------
    data
        Columns ``pair`` and ``ratio`` (candidate / base), a row a pair, in order.
    estimate, low, high
        The centre of the ratios and the ends of its interval; NaN where there is none.
    ax
        Where to; a new figure by default.
    """
    from matplotlib.ticker import MaxNLocator

    ax = style.axes(ax)
    look = style.look()
    ratios = data["ratio"].astype("Float64").to_numpy(float, na_value=float("nan"))
    numbers = range(1, len(ratios) + 1)
    ends = reach.limits([0.998, 1.002, estimate], ratios, [low, high], far=1.0)
    colour = look.colours[0]
    if math.isfinite(low) and math.isfinite(high):
        ax.axhspan(reach.within(low, ends), reach.within(high, ends), color=look.band, zorder=0.4)
    ax.axhline(1, color=look.text, linewidth=0.9, zorder=1.5)
    if math.isfinite(estimate):
        ax.axhline(estimate, color=look.colours[1], linewidth=1.6)
    inside = [(n, r) for n, r in zip(numbers, ratios, strict=True) if ends[0] <= r <= ends[1]]
    ax.plot([n for n, _ in inside], [r for _, r in inside], "o", color=colour, markersize=5)
    for number, ratio in zip(numbers, ratios.tolist(), strict=True):
        if math.isfinite(ratio) and not ends[0] <= ratio <= ends[1]:
            above = ratio > ends[1]
            inset = _INSET * (ends[1] - ends[0])
            edge = ends[1] - inset if above else ends[0] + inset
            ax.plot(number, edge, "^" if above else "v", color=colour, markersize=7)
            ax.annotate(
                units.ratio(ratio), (number, edge), xytext=(7, 0), textcoords="offset points", fontsize=8.5,
                va="center", color=style.ink(colour),
            )  # fmt: skip
    ax.set_xlim(0.5, max(len(ratios), 1) + 0.5)
    ax.set_ylim(*ends)
    _name_lines(ax, estimate, low, high)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    ax.set_xlabel("pair, in the order of measurement [number]\nshaded: 95 % interval of the centre")
    ax.set_ylabel("candidate / base [ratio]")
    style.title(ax, "Every pair")
    return ax


def _name_lines(ax: Axes, estimate: float, low: float, high: float) -> None:
    """Write what the lines are at their right ends."""
    look = style.look()
    right = ax.get_xlim()[1]
    centre = f"centre {estimate:.4f}"
    if math.isfinite(low) and math.isfinite(high):
        centre += f"  [{low:.4f}, {high:.4f}]"
    ends = {"no change": (right, 1.0), centre: (right, estimate)}
    labels.label_lines(ax, ends, {"no change": (look.text, ""), centre: (look.colours[1], "")})
