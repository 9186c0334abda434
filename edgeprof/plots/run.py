"""One run, pass by pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from edgeprof.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_passes"]


def plot_passes(data: pd.DataFrame, *, clock: str = "fuel", ax: Axes | None = None) -> Axes:
    """Plot the cost of each pass of a run against its position, coloured by phase.

    Parameters
    ----------
    data
        Columns ``position``, ``phase`` and ``ticks``.
    clock
        The clock's kind; it is named in the axis.
    ax
        Where to; a new figure by default.
    """
    ax = style.axes(ax)
    palette = style.colours(["prefill", "decode", "score", "unknown"])
    for phase, part in data.groupby("phase", sort=False):
        colour, marker = palette[str(phase)]
        ax.plot(part["position"], part["ticks"] / 1e6, marker, color=colour, markersize=4, label=str(phase))
    ax.set_ylim(0, style.HEADROOM * ax.get_ylim()[1])
    ax.set_xlabel("position in the context [token]")
    ax.set_ylabel(f"cost of a pass\n[million {style.tick_unit(clock)}]")
    style.title(ax, "Every pass of the run")
    ax.legend(title="phase", frameon=False, fontsize=9, title_fontsize=9)
    return ax
