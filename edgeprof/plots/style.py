"""One look for all plots: sizes, colours that colour-blind readers can tell apart, text from devices made harmless."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from edgeprof.display import mpl_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "axes", "colours", "label_lines", "set_height", "tick_unit"]

# Okabe and Ito's palette, without its yellow, which is too light on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
SIZE, DPI = (7.2, 4.2), 120


def axes(ax: Axes | None) -> Axes:
    """Return the given axes, or those of a new figure of the common size, in the common style."""
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(figsize=SIZE, dpi=DPI, layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=9)
    return ax


def set_height(ax: Axes, inches: float) -> None:
    """Give the figure of axes that stand alone another height, in inches."""
    from matplotlib.figure import Figure

    figure = ax.get_figure()
    if isinstance(figure, Figure):
        figure.set_figheight(inches)


def colours(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a marker for each name, in order of appearance."""
    pairs = {}
    for i, name in enumerate(dict.fromkeys(names)):  # another marker each time that the colours begin anew
        pairs[str(name)] = (COLOURS[i % len(COLOURS)], MARKERS[(i + i // len(COLOURS)) % len(MARKERS)])
    return pairs


def tick_unit(clock: str) -> str:
    """Return what a tick of a clock is, for an axis."""
    return {
        "fuel": "WebAssembly instructions",
        "instructions": "instructions",
        "cycles": "emulated cycles",
        "device_timer": "timer ticks",
        "host": "ns of host time",
    }.get(clock, f"ticks of {mpl_text(clock)}")


def label_lines(ax: Axes, ends: dict[str, tuple[float, float]], palette: dict[str, tuple[str, str]]) -> None:
    """Write each line's name at its right end, moved apart where they would overlap."""
    low, high = ax.get_ylim()
    gap = 0.05 * (high - low)
    last = float("-inf")
    for name, (x, y) in sorted(ends.items(), key=lambda item: item[1][1]):
        at = max(y, last + gap)
        last = at
        ax.annotate(
            mpl_text(name), (x, y), xytext=(x + 0.02 * (ax.get_xlim()[1] - ax.get_xlim()[0]), at),
            color=palette[name][0], fontsize=9, va="center", annotation_clip=False,
        )  # fmt: skip
