"""Power over time, with the passes that it was for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from edgeprof.display import mpl_text
from edgeprof.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_power"]

_NAMED = 16
"""With more passes than these, not every position is written."""


def plot_power(data: pd.DataFrame, *, passes: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Plot the power that a meter saw over some passes of a run; a strip above says which pass it was for.

    Parameters
    ----------
    data
        Columns ``t_ns`` (on the meter's clock, increasing), ``power_uw`` and ``meter``, a row a sample. A missing
        sample, whose power is NaN, is a gap.
    passes
        Columns ``position``, ``phase``, ``begin_ns`` and ``end_ns`` on the same clock.
    ax
        Where to; a new figure by default.
    """
    ax = style.axes(ax)
    look = style.look()
    palette = style.colours(["prefill", "decode", "score", "unknown"])
    zero = float(data["t_ns"].min()) if len(data) else 0.0
    t_ms = (data["t_ns"].to_numpy(float) - zero) / 1e6
    power_mw = data["power_uw"].to_numpy(float) / 1e3
    ax.plot(t_ms, power_mw, color=look.text, linewidth=0.6)
    top = float(np.nanmax(power_mw, initial=0.0)) or 1.0
    every = -(-len(passes) // _NAMED)
    for number, (position, phase, begin, end) in enumerate(
        passes[["position", "phase", "begin_ns", "end_ns"]].itertuples(index=False)
    ):
        begin_ms, end_ms = (begin - zero) / 1e6, (end - zero) / 1e6
        colour = palette.get(str(phase), palette["unknown"])[0]
        ax.axvline(begin_ms, color=look.grey, linewidth=0.5, zorder=1.2)
        ax.barh(
            1.1 * top, end_ms - begin_ms, left=begin_ms, height=0.07 * top, color=colour,
            edgecolor=look.background, linewidth=0.6,
        )  # fmt: skip
        if not number % every:
            ax.text(
                (begin_ms + end_ms) / 2, 1.1 * top, str(position), ha="center", va="center", fontsize=8,
                color=style.on(colour), clip_on=True,
            )  # fmt: skip
    if len(t_ms):
        ax.set_xlim(t_ms[0], t_ms[-1])
    ax.set_ylim(0, 1.16 * top)
    phases = dict.fromkeys(passes["phase"].astype(str))
    above = ", ".join(mpl_text(phase) for phase in phases)
    ax.set_xlabel(f"time by the meter's clock [ms]\nabove: the position of each pass ({above})")
    ax.set_ylabel("power [mW]")
    style.title(ax, "Power, pass by pass", of=data)
    return ax
