"""What a pass costs: against its position in the context, and as inter-token latency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from edgeprof.display import mpl_text
from edgeprof.plots import labels, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_cost_by_position", "plot_itl"]


def plot_cost_by_position(
    data: pd.DataFrame, *, clock: str = "fuel", palette: Mapping[str, tuple[str, str]] | None = None,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Plot the cost of decode passes against their position.

    Parameters
    ----------
    data
        Columns ``group`` (what a line is called), ``position`` and ``ticks``; the mean is drawn where a position
        occurs several times.
    clock
        The clock's kind; it is named in the axis.
    palette
        Colour and marker of each group; by default in the order of the groups.
    ax
        Where to; a new figure by default.
    """
    ax = style.axes(ax)
    palette = palette or style.colours(data["group"])
    dashes = style.dashes(palette)
    ends = {}
    for name, part in data.groupby("group", sort=False):
        line = part.groupby("position")["ticks"].mean() / 1e6
        colour, _ = palette[str(name)]
        ax.plot(line.index.to_numpy(), line.to_numpy(), color=colour, linewidth=1.6, linestyle=dashes[str(name)])
        ends[str(name)] = (float(line.index[-1]), float(line.iloc[-1]))
    ax.set_ylim(0, style.HEADROOM * ax.get_ylim()[1])
    ax.set_xlabel("position in the context [token]")
    ax.set_ylabel(f"cost of a decode pass\n[million {style.tick_unit(clock)}]")
    labels.label_lines(ax, ends, palette)
    style.title(ax, "What a token costs, and how it grows with the context")
    return ax


def plot_itl(data: pd.DataFrame, *, clock: str = "fuel", ax: Axes | None = None) -> Axes:
    """Plot the distribution of inter-token latencies, a row for each group.

    Parameters
    ----------
    data
        Columns ``group`` and ``itl_ticks``.
    clock, ax
        As of :func:`plot_cost_by_position`.
    """
    ax = style.axes(ax)
    palette = style.colours(data["group"])
    names = list(palette)[::-1]
    for row, name in enumerate(names):
        values = data.loc[data["group"] == name, "itl_ticks"].to_numpy(float) / 1e6
        colour, _ = palette[name]
        offsets = row + 0.28 * np.sin(np.arange(len(values)) * 2.399963)  # spread evenly, the same on every run
        ax.plot(values, offsets, ".", color=colour, markersize=2.5, markeredgewidth=0)
        for quantile, marker in ((0.5, "|"), (0.95, "4")):
            ax.plot(
                np.quantile(values, quantile), row, marker, color=style.look().text, markersize=14, markeredgewidth=1.6
            )
    ax.set_yticks(range(len(names)), [mpl_text(n) for n in names])
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xlim(0, style.HEADROOM * ax.get_xlim()[1])
    ax.set_xlabel(f"inter-token latency [million {style.tick_unit(clock)}]\nbar: median, arrow: 95th percentile")
    style.title(ax, "Time between tokens")
    return ax
