"""A Pareto front over two metrics: what is on it, and what is dominated by what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from edgeprof.display import mpl_text
from edgeprof.metrics import METRICS
from edgeprof.plots import labels, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_front"]

_LOG_FROM = 5.0
"""An axis whose largest value is so many times its smallest is logarithmic."""
_NAMED = 24
"""With more candidates than these, only those on the front are named, and no lines lead to it."""
_TOWARD = ({"lower": "left", "higher": "right"}, {"lower": "down", "higher": "up"})


def plot_front(
    data: pd.DataFrame, x: str, y: str, *, xlabel: str, ylabel: str, scales: tuple[float, float] = (1.0, 1.0),
    better: Mapping[str, str] | None = None, label: str = "group", linear_below: float = 0.0,
    palette: Mapping[str, tuple[str, str]] | None = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Plot candidates over two metrics, with their Pareto front as a line.

    What is dominated is grey, with a thin line to what dominates it; of more than 24 candidates only those on the
    front are named, and there are no lines. What lacks a metric is named below. An axis whose values differ by more
    than a factor of 5 is logarithmic.

    Parameters
    ----------
    data
        From :func:`edgeprof.pareto`: columns ``x``, ``y``, the label, ``on_front`` and ``dominated_by``.
    x, y
        The columns along the axes.
    xlabel, ylabel
        Their names and units, as they stand after division by ``scales``.
    scales
        Divide the values of x and y.
    better
        Column to ``lower`` or ``higher``; by default as the registry of metrics says, else lower.
    label
        The column that names a candidate.
    linear_below
        The vertical axis is linear below this and logarithmic above, if it is not 0: for how far something lies above
        the best, which is 0 itself.
    palette
        Colour and marker of each candidate; by default in the order of those on the front.
    ax
        Where to; a new figure by default.
    """
    ax = style.axes(ax)
    look = style.look()
    across, up = (
        data[c].astype("Float64").to_numpy(float, na_value=np.nan) / s for c, s in zip((x, y), scales, strict=True)
    )
    on_front = data["on_front"].astype("boolean")
    shown = (np.isfinite(across) & np.isfinite(up) & on_front.notna()).to_numpy()
    names = data[label].astype(str).to_numpy()
    front = shown & on_front.fillna(False).to_numpy(bool)
    many = int(shown.sum()) > _NAMED
    palette = dict(palette or style.colours(names[front])) | dict.fromkeys(names[shown & ~front], (look.grey, "o"))
    _scale(ax, across[shown], up[shown])
    if linear_below:
        ax.set_yscale("symlog", linthresh=linear_below)
        ax.set_ylim(-linear_below / 2, 4 * float(np.max(up[shown], initial=0.0)) + linear_below)
        ax.yaxis.set_major_formatter(lambda v, _: f"{v:g}")
    where = dict(zip(names[front], zip(across[front], up[front], strict=True), strict=True))
    directions = {c: (better or {}).get(c) or (METRICS[c].better if c in METRICS else "") or "lower" for c in (x, y)}
    _steps(ax, across[front], up[front], directions[x], directions[y])
    for name, px, py, by in zip(names[shown], across[shown], up[shown], data["dominated_by"][shown], strict=True):
        if by in where and not many:
            ax.plot([px, where[by][0]], [py, where[by][1]], "-", color=look.grey, linewidth=0.5, zorder=1.2)
        colour, marker = palette[name]
        ax.plot(px, py, marker, color=colour, markersize=8 if name in where else 5, clip_on=False)
    toward = f"{_TOWARD[0][directions[x]]} and {_TOWARD[1][directions[y]]}"
    missing = [mpl_text(n, 24) for n in names[~shown]]
    ax.set_xlabel(
        f"{xlabel}\nbetter: {toward}" + (f"\nnot shown, for a metric is missing: {_some(missing)}" if missing else "")
    )
    ax.set_ylabel(ylabel)
    style.title(ax, "What nothing else beats in both", of=data)
    points = [(n, a, u) for n, a, u, f in zip(names, across, up, shown & (front | (not many)), strict=True) if f]
    labels.label_points(ax, points, palette)
    return ax


def _scale(ax: Axes, across: np.ndarray, up: np.ndarray) -> None:
    """Settle scales and limits, with room for names."""
    for values, scale, limit, axis in (
        (across, ax.set_xscale, ax.set_xlim, ax.xaxis), (up, ax.set_yscale, ax.set_ylim, ax.yaxis),
    ):  # fmt: skip
        if not values.size:
            continue
        low, high = float(values.min()), float(values.max())
        if low > 0 and high / low > _LOG_FROM:
            scale("log")
            style.few_ticks(axis)
            limit(low / 1.5, high * (high / low) ** 0.12)
        else:
            span = high - low or abs(high) or 1.0
            limit(low - 0.08 * span, high + 0.16 * span)


def _steps(ax: Axes, across: np.ndarray, up: np.ndarray, x_better: str, y_better: str) -> None:
    """Draw the front as steps: the border of what it dominates."""
    order = np.lexsort((up if y_better == "lower" else -up, across))
    where: Literal["pre", "post"] = "post" if x_better == "lower" else "pre"
    ax.step(across[order], up[order], where=where, color=style.look().muted, linewidth=1.2, zorder=1.4)


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
