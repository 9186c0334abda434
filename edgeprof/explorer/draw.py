"""The panels of an explorer's figure: each draws into its axes what a view says, and computes as little as it can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from edgeprof import plots
from edgeprof.display import mpl_text
from edgeprof.explorer.summary import LEVELS, Summary
from edgeprof.metrics import METRICS
from edgeprof.plots import style

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

__all__ = ["Line", "Pinned", "Scale", "brush", "cost", "distribution", "front", "memory", "say", "stages"]

Palette = Mapping[str, tuple[str, str]]


class Line(NamedTuple):
    """A group's tokens as they are drawn, and what divides their values."""

    group: str
    tokens: Summary
    divisor: float


class Pinned(NamedTuple):
    """A pinned run: its letter, what it is called, its group, and its tokens; None where it has none."""

    letter: str
    name: str
    group: str
    tokens: Summary | None
    divisor: float


class Scale(NamedTuple):
    """What values are called in axes."""

    title: str
    label: str
    clock: str
    empty: str = "lower"
    """Which part of the axes has the fewest values."""


def say(ax: Axes, text: str) -> None:
    """Write in words why axes are empty."""
    ax.set_axis_off()
    ax.text(
        0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=style.look().muted, wrap=True,
        fontsize=10,
    )  # fmt: skip


def cost(ax: Axes, lines: Sequence[Line], pinned: Sequence[Pinned], palette: Palette, scale: Scale) -> None:
    """Draw each group's mean by position, its extremes as points, and the pinned runs with markers of their own."""
    for line in lines:
        ax.plot(
            line.tokens.x, line.tokens.y / line.divisor, ".", color=palette[line.group][0], markersize=2.4, alpha=0.45,
            markeredgewidth=0,
        )  # fmt: skip
    look = style.look()
    for run, marker in zip((p for p in pinned if p.tokens is not None), "os", strict=False):
        assert run.tokens is not None
        ax.plot(
            run.tokens.x, run.tokens.y / run.divisor, marker, color=palette[run.group][0], markersize=4.2,
            markeredgecolor=look.text, markeredgewidth=0.6, label=f"{run.letter}: {mpl_text(run.name, 60)}",
        )  # fmt: skip
    means = pd.DataFrame(
        {
            "group": np.repeat([line.group for line in lines], [len(line.tokens.mean) for line in lines]),
            "position": np.concatenate([line.tokens.position for line in lines]),
            "ticks": np.concatenate([line.tokens.mean / line.divisor * 1e6 for line in lines]),
        }
    )
    ax.set_xlim(ax.get_xlim())  # a brush changes nothing
    plots.plot_cost_by_position(means, clock=scale.clock, palette=palette, ax=ax)
    ax.set_ylabel(scale.label)
    style.title(ax, f"{scale.title} against position: means (lines) and extremes (points) of each group")
    if any(run.tokens is not None for run in pinned):
        ax.legend(
            loc="lower left" if scale.empty == "lower" else "upper left",
            frameon=False,
            fontsize=8.5,
            ncols=2,
            borderpad=0,
        )


def distribution(ax: Axes, lines: Sequence[Line], palette: Palette, scale: Scale) -> None:
    """Draw how many tokens are at or below a value, on the axis of :func:`cost`."""
    style.axes(ax)
    look = style.look()
    at = 0 if scale.empty == "lower" else 0.93
    for share, name in ((50, "median"), (95, "p95")):
        ax.axvline(share, color=look.muted, linewidth=0.8, linestyle=":")
        ax.annotate(
            name, (share, at), xycoords=("data", "axes fraction"), xytext=(-3, 4), textcoords="offset points",
            ha="right", fontsize=8.5, color=look.muted,
        )  # fmt: skip
    dashes = style.dashes(palette)
    for line in lines:
        ax.plot(
            100 * LEVELS, line.tokens.quantiles / line.divisor, color=palette[line.group][0], linewidth=1.4,
            linestyle=dashes[line.group],
        )  # fmt: skip
    ax.set_xlim(0, 100)
    ax.tick_params(labelleft=False)
    ax.set_xlabel("tokens at or below [%]")
    style.title(ax, "Distribution")


def brush(ax: Axes, first: int | None, last: int | None) -> list[Artist]:
    """Shade the brushed positions; return what was drawn, so that it can be taken away."""
    if first is None and last is None:
        return []
    low, high = ax.get_xlim()
    look = style.look()
    ends = (low if first is None else first - 0.5, high if last is None else last + 0.5)
    shaded = ax.axvspan(*ends, color=look.band, zorder=0.3)
    edges = [ax.axvline(end, color=look.muted, linewidth=0.8, zorder=0.4) for end in ends]
    ax.set_xlim(low, high)
    return [shaded, *edges]


def front(
    ax: Axes, points: pd.DataFrame, x: str, y: str, palette: Palette, pinned: Sequence[Pinned], counter: str
) -> None:
    """Draw the groups that one board's clock counted over two metrics, and ring the pinned runs' ones."""
    labels, scales = zip(*(_axis(name, points[name]) for name in (x, y)), strict=True)
    plots.plot_front(points, x, y, xlabel=labels[0], ylabel=labels[1], scales=scales, palette=palette, ax=ax)
    look = style.look()
    values = points.set_index("group")[[x, y]].astype(float)
    for run in pinned:
        if run.group in values.index and np.isfinite(values.loc[run.group]).all():
            across, up = (values.loc[run.group].to_numpy(float) / np.array(scales)).tolist()
            ax.plot(across, up, "o", markersize=15, markerfacecolor="none", markeredgecolor=look.text, zorder=1.3)
            ax.annotate(
                run.letter, (across, up), xytext=(-14 if run.letter == "A" else 14, 0), textcoords="offset points",
                ha="center", va="center", fontsize=9, fontweight="bold", color=look.text,
            )  # fmt: skip
    style.title(ax, f"What nothing else beats in both, on {mpl_text(counter)}")


def _axis(name: str, values: pd.Series) -> tuple[str, float]:
    """Return what a metric's axis is called, and what its values are divided by."""
    unit, largest = METRICS[name].unit, float(values.astype(float).max())
    words = name.removesuffix("_bytes").removesuffix("_ticks").removesuffix("_ticks_per_token").replace("_", " ")
    if unit == "byte":
        return f"{words} [KiB]", 1024.0
    if unit.startswith("tick") and largest >= 1e6:
        return f"{words} [million {unit}]", 1e6
    return f"{words} [{unit}]" if unit else words, 1.0


def memory(axes: Sequence[Axes], budget: pd.DataFrame, said: str) -> None:
    """Draw what each model file takes of RAM and flash, and what the board has; one legend for both."""
    handles, names = list[Any](), list[str]()
    for ax, region in zip(axes, ("RAM", "flash"), strict=True):
        plots.plot_memory_budget(budget, region=region, ax=ax)
        ax.set_xlabel(ax.get_xlabel().partition("   ")[0])
        ax.set_xlim(0, 1.1 * ax.get_xlim()[1])
        legend = ax.get_legend()
        if legend:
            handles += legend.legend_handles
            names += [text.get_text() for text in legend.get_texts()]
            legend.remove()
    axes[0].set_title(f"What takes the RAM ({said})", loc="left", fontsize=11)
    axes[1].tick_params(labelleft=False)
    legend = axes[0].legend(
        handles, names, loc="lower center", bbox_to_anchor=(0.5, 0.0), bbox_transform=axes[0].figure.transFigure,
        ncols=4, frameon=False, fontsize=8.5,
    )  # fmt: skip
    legend.set_in_layout(False)


def stages(ax: Axes, shares: pd.DataFrame, clock: str) -> None:
    """Draw where the passes of the pinned runs go."""
    plots.plot_stages(shares, clock=clock, ax=ax)
