"""Quality against size and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeprof.plots import labels, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["plot_tradeoff"]

LINEAR_BELOW_PERCENT = 0.1


def plot_tradeoff(data: pd.DataFrame, x: str, *, xlabel: str, scale: float = 1.0, ax: Axes | None = None) -> Axes:
    """Plot how far each group's perplexity lies above the best, against a size or cost; lower left is better.

    The vertical axis is logarithmic above 0.1 % and linear below, so that the best itself, at 0, and a model that
    rounding destroyed fit into one picture.

    Parameters
    ----------
    data
        Columns ``group``, ``perplexity`` and ``x``.
    x
        The column along the horizontal axis.
    xlabel
        Its name and unit, as it stands after division by ``scale``.
    scale
        Divides the values.
    ax
        Where to; a new figure by default.
    """
    ax = style.axes(ax)
    known = data[["perplexity", x]].to_numpy(float)
    shown = np.isfinite(known).all(axis=1)
    names, known = data["group"][shown].astype(str), known[shown]
    palette = style.colours(names)
    best = known[:, 0].min(initial=np.inf)
    above = 100 * (known[:, 0] / best - 1)
    points = list(zip(names, (known[:, 1] / scale).tolist(), above.tolist(), strict=True))
    ax.set_yscale("symlog", linthresh=LINEAR_BELOW_PERCENT)
    for name, across, above in points:
        colour, marker = palette[name]
        ax.plot(across, above, marker, color=colour, markersize=8, clip_on=False)
    ax.set_xlim(left=0, right=1.1 * max((p[1] for p in points), default=1.0))
    ax.set_ylim(bottom=-LINEAR_BELOW_PERCENT / 2, top=4 * max((p[2] for p in points), default=1.0) + 0.1)
    ax.yaxis.set_major_formatter(lambda v, _: f"{v:g}")
    ax.set_xlabel(xlabel)
    ax.set_ylabel("perplexity above the best [%]")
    labels.label_points(ax, points, palette)
    return ax
