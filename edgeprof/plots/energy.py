"""What energy a meter measured: of tokens along the context, of groups, and how long a battery lasts with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from edgeprof import units
from edgeprof.display import mpl_text
from edgeprof.plots import labels, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_battery", "plot_energy", "plot_token_energy"]

_BAND = 0.25
_HEIGHT = 0.8  # of all bars of a group; the rest is between groups


def plot_token_energy(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot the energy of each pass against its position, with its interval as a band.

    Parameters
    ----------
    data
        Columns ``group`` (what a line is called), ``position``, ``energy_uj``, ``energy_low_uj``, ``energy_high_uj``
        and ``meter``, a row a pass. A pass whose energy is unknown is a gap.
    ax
        Where to; a new figure by default.
    """
    ax = style.axes(ax)
    palette, ends = style.colours(data["group"]), {}
    dashes = style.dashes(palette)
    for name, part in data.groupby("group", sort=False):
        at, mean, low, high = _numbers(part, "position", "energy_uj", "energy_low_uj", "energy_high_uj")
        colour, _ = palette[str(name)]
        ax.fill_between(at, low / 1e3, high / 1e3, color=colour, alpha=_BAND, linewidth=0)
        ax.plot(at, mean / 1e3, color=colour, linewidth=1.2, linestyle=dashes[str(name)])
        ends[str(name)] = (at[-1], mean[-1] / 1e3)
    ax.set_ylim(0, style.HEADROOM * ax.get_ylim()[1])
    ax.set_xlabel("position in the context [token]\nshaded: 95 % interval")
    ax.set_ylabel("energy of a pass [mJ]")
    labels.label_lines(ax, ends, palette)
    style.title(ax, "What a token costs in energy", of=data)
    return ax


def plot_energy(data: pd.DataFrame, *, of: str, ax: Axes | None = None) -> Axes:
    """Plot the energy of each group as bars, a bar a part, with its interval as a line.

    Parameters
    ----------
    data
        Columns ``group``, ``part`` (``gross`` and ``net``, or phases), ``energy_uj``, ``energy_low_uj``,
        ``energy_high_uj`` and ``meter``, a row for each group and part. What is unknown has no bar and says so.
    of
        What the energy is of, for the axis: ``a generated token``.
    ax
        Where to; a new figure by default.
    """
    alone = ax is None
    ax = style.axes(ax)
    look = style.look()
    groups, parts = (list(dict.fromkeys(data[name].astype(str))) for name in ("group", "part"))
    height = _HEIGHT / max(len(parts), 1)
    for number, part in enumerate(parts):
        rows = data[data["part"].astype(str) == part]
        at = np.array([groups.index(name) for name in rows["group"].astype(str)]) + height * (
            number - (len(parts) - 1) / 2
        )
        mean, low, high = (v / 1e3 for v in _numbers(rows, "energy_uj", "energy_low_uj", "energy_high_uj"))
        colour = look.colours[number % len(look.colours)]
        ax.barh(at, np.nan_to_num(mean), height=0.9 * height, color=colour, label=mpl_text(part))
        ax.errorbar(mean, at, xerr=(mean - low, high - mean), fmt="none", ecolor=look.text, capsize=3, linewidth=1)
        for y, value, end in zip(at, mean, high, strict=True):
            ax.annotate(
                units.significant(value) if np.isfinite(value) else "unknown", (np.nan_to_num(end), y), xytext=(5, 0),
                textcoords="offset points", va="center", fontsize=8.5, color=look.muted,
            )  # fmt: skip
    if alone:
        style.set_height(ax, 1.6 + 0.28 * max(len(groups) * len(parts), 3))
    ax.set_yticks(range(len(groups)), [mpl_text(name) for name in groups])
    ax.set_ylim(max(len(groups), 1) - 0.4, -0.6)
    ax.set_xlim(0, 1.12 * max(ax.get_xlim()[1], 1e-9))
    ax.grid(False, axis="y")
    ax.set_xlabel(f"energy of {mpl_text(of)} [mJ]\nline: 95 % interval")
    if parts:
        ax.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize=8.5, borderpad=0.2,
            borderaxespad=0,
        )  # fmt: skip
    style.title(ax, f"Energy of {mpl_text(of)}", pad=22, of=data)
    return ax


def plot_battery(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot how long a battery lasts against the tokens of a day, with the interval as a band; both axes logarithmic.

    Parameters
    ----------
    data
        Columns ``group``, ``tokens_per_day``, ``days``, ``days_low``, ``days_high`` and ``meter``, tokens increasing
        within a group.
    ax
        Where to; a new figure by default.
    """
    ax = style.axes(ax)
    palette = style.colours(data["group"])
    dashes = style.dashes(palette)
    for name, part in data.groupby("group", sort=False):
        at, days, low, high = _numbers(part, "tokens_per_day", "days", "days_low", "days_high")
        colour, _ = palette[str(name)]
        ax.fill_between(at, low, high, color=colour, alpha=_BAND, linewidth=0)
        ax.plot(at, days, color=colour, linewidth=1.4, linestyle=dashes[str(name)], label=mpl_text(str(name)))
    ax.set_xscale("log")
    ax.set_yscale("log")
    style.few_ticks(ax.yaxis)
    ax.xaxis.set_major_formatter(lambda v, _: f"{v:,.10g}")
    ax.set_xlabel("generated tokens [token/day]\nshaded: 95 % interval of the energy")
    ax.set_ylabel("battery life [day]")
    if palette:
        ax.legend(frameon=False, fontsize=9)
    style.title(ax, "How long a battery lasts", of=data)
    return ax


def _numbers(data: pd.DataFrame, *columns: str) -> list[np.ndarray]:
    return [data[c].astype("Float64").to_numpy(float, na_value=np.nan) for c in columns]
