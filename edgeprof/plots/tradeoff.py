"""Quality against size and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeprof.display import mpl_text
from edgeprof.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["plot_tradeoff"]

# Where a label may go, from best to worst: offset in points, horizontal and vertical alignment.
_PLACES = ((8, 5, "left", "bottom"), (-8, 5, "right", "bottom"), (8, -5, "left", "top"), (-8, -5, "right", "top"))
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
    _label(ax, points, palette)
    return ax


def _label(ax: Axes, points: list[tuple[str, float, float]], palette: dict[str, tuple[str, str]]) -> None:
    """Write each point's name beside it, where it meets no other name and no point."""
    figure = ax.get_figure()
    assert figure is not None
    figure.canvas.draw()
    taken = [ax.transData.transform((x, y)) for _, x, y in points]
    boxes = [(px - 6, py - 6, px + 6, py + 6) for px, py in taken]
    inside = ax.get_window_extent()
    for i, (name, x, y) in enumerate(points):
        others = boxes[:i] + boxes[i + 1 :]
        best = None
        for dx, dy, ha, va in _PLACES:
            text = ax.annotate(
                mpl_text(name), (x, y), xytext=(dx, dy), textcoords="offset points", ha=ha, va=va, fontsize=9,
                color=palette[name][0], annotation_clip=False,
            )  # fmt: skip
            box = text.get_window_extent()
            clash = sum(box.x0 < o[2] and o[0] < box.x1 and box.y0 < o[3] and o[1] < box.y1 for o in others) + (
                box.x1 > inside.x1 or box.x0 < inside.x0
            )
            if best is None or clash < best[0]:
                if best is not None:
                    best[1].remove()
                best = (clash, text, (box.x0, box.y0, box.x1, box.y1))
            else:
                text.remove()
            if not clash:
                break
        assert best is not None
        boxes.append(best[2])
