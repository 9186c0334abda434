"""Every model file on every board, as a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from edgeprof.display import mpl_text
from edgeprof.fleet import fleet_table
from edgeprof.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_fleet"]

CELL_INCHES = 0.34
_FARTHEST = 0.7
"""Ratios from 1/1.7 to 1.7 have colours of their own; what lies beyond has the last."""


def plot_fleet(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot what each board does with each model file: the cost of a token against the same board's reference.

    Blue is cheaper than the reference, orange dearer; hatched does not fit, and the text says by how much.

    Parameters
    ----------
    data
        From :func:`edgeprof.fleet.fleet`; ``clock`` stands below the board's name.
    ax
        Where to; a new figure by default.
    """
    from matplotlib import pyplot as plt
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    look, texts = style.look(), fleet_table(data)
    boards = sorted(data["board"].unique())
    clocks = data.groupby("board")["clock"].first().to_dict() if "clock" in data else {}
    ratios = data.pivot_table(index="group", columns="board", values="cost_ratio", sort=False, dropna=False)
    if ax is None:
        size = (2.6 + 1.15 * len(boards), 1.1 + CELL_INCHES * len(texts))
        _, ax = plt.subplots(figsize=size, dpi=style.DPI, layout="constrained")
    colours = LinearSegmentedColormap.from_list("cost", look.diverging)
    for y, name in enumerate(texts["file"]):
        for x, board in enumerate(boards):
            text = str(texts[board].iloc[y])
            value = float(ratios.loc[name, board]) if name in ratios.index and board in ratios.columns else np.nan
            runs, absent = np.isfinite(value), text == "not run"
            shade = np.clip(np.log(value) / np.log(1 + _FARTHEST), -1, 1) if runs else 0.0
            fill = colours(0.5 + shade / 2) if runs else look.blank
            ax.add_patch(
                Rectangle(
                    (x - 0.5, y - 0.5), 1, 1, facecolor=fill, edgecolor=look.background, linewidth=1.5,
                    hatch=None if runs or absent else "////",
                )
            )  # fmt: skip
            ax.text(
                x, y, mpl_text(text), ha="center", va="center", fontsize=8.5,
                color=style.on(fill) if runs else look.muted,
                bbox=None if runs else {"facecolor": look.blank, "edgecolor": "none", "pad": 1.2},
            )  # fmt: skip
    rows = zip(texts["file"], texts["bits / weight"], texts["perplexity"], strict=True)
    ax.set_yticks(range(len(texts)), [f"{mpl_text(f)}   {b} bit" for f, b, _ in rows], fontsize=9)
    under = [f"{mpl_text(b)}\n{mpl_text(clocks.get(b) or '', 14)}".rstrip() for b in boards]
    ax.set_xticks(range(len(boards)), under, fontsize=9)
    ax.xaxis.tick_top()
    style.settle(ax)
    ax.tick_params(length=0)
    ax.set_xlim(-0.5, len(boards) - 0.5 + 0.95)
    ax.set_ylim(len(texts) - 0.5, -0.5)
    ax.spines[:].set_visible(False)
    for y, value in enumerate(texts["perplexity"]):
        ax.text(len(boards) - 0.05, y, str(value), ha="center", va="center", fontsize=8.5)
    ax.text(len(boards) - 0.05, -0.62, "perplexity", ha="center", va="bottom", fontsize=9)
    reference = str(data["reference"].iloc[0]) if len(data) else ""
    ax.set_xlabel(
        f"cost of a token [× that of {mpl_text(reference)} on the same board]\n"
        "below a board: its clock; hatched: does not fit, and by how much",
        fontsize=9,
    )
    return ax
