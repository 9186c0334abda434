"""The monitor's figure: strips over one axis of time. It is drawn often, so its parts are kept and given new data."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edgeprof.monitor.bins import BIN_SECONDS, BINS, Bins, Floats
from edgeprof.plots.style import Look
from edgeprof.units import significant

__all__ = ["Strip", "StripFigure"]

WIDTH, STRIP_HEIGHT, REST_HEIGHT, DPI = 8.0, 0.95, 0.5, 100
_RATE_BINS = 3
"""Tokens come in frames of up to 30: a rate is that of so many bins."""


@dataclass(frozen=True, slots=True)
class Strip:
    """One strip.

    Attributes
    ----------
    title
        What it shows, with its unit.
    bins
        The values.
    scale
        What they are multiplied with.
    rate
        Draw how many came a second, not what they were.
    """

    title: str
    bins: Bins
    scale: float = 1.0
    rate: bool = False


class StripFigure:
    """A figure of some strips, from top to bottom, in the colours of a look. Uses no state of pyplot's."""

    def __init__(self, titles: Sequence[str], look: Look) -> None:
        self.titles = list(titles)
        height = STRIP_HEIGHT * len(titles) + REST_HEIGHT
        figure = self._figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=look.background)
        FigureCanvasAgg(figure)
        self._parts: list[tuple[Any, Any, Any]] = []
        for number, title in enumerate(titles):
            last = number == len(titles) - 1
            bottom = (REST_HEIGHT + STRIP_HEIGHT * (len(titles) - 1 - number)) / height
            ax = figure.add_axes((0.09, bottom, 0.89, 0.6 * STRIP_HEIGHT / height), facecolor=look.background)
            colour = look.colours[number % len(look.colours)]
            band = ax.vlines([], [], [], color=colour, alpha=0.35, linewidth=3)
            (line,) = ax.plot([], [], color=colour, linewidth=1.4, marker=".", markersize=4)
            ax.set_xlim(-BINS * BIN_SECONDS, 0)
            ax.set_title(title, loc="left", fontsize=9, color=look.text, pad=3)
            ax.tick_params(labelsize=8, colors=look.text, labelbottom=last)
            ax.spines[["top", "right"]].set_visible(False)
            ax.spines[["left", "bottom"]].set_color(look.grey)
            ax.grid(True, axis="x", color=look.grid, linewidth=0.6)
            if last:
                ax.set_xlabel("seconds before now, by the host's clock", fontsize=8, color=look.text)
            self._parts.append((ax, line, band))

    def png(self, strips: Sequence[Strip], now: float) -> bytes:
        """Return the figure of the last minute and a half before ``now`` (seconds), as PNG."""
        for strip, (ax, line, band) in zip(strips, self._parts, strict=True):
            at, middle, least, most = _values(strip, now)
            known = np.isfinite(middle)
            line.set_data(at[known], middle[known])
            ends = np.column_stack([at, least, at, most])[known].reshape(-1, 2, 2)
            band.set_segments([] if strip.rate else ends)
            top = float(most[known].max()) if known.any() else 0.0
            top = top if 1e-300 < top < 1e300 else 1.0  # an axis must end at a number
            ax.set_ylim(0, 1.15 * top)
            ax.set_yticks([0.0, top], ["0", significant(top)])
        with io.BytesIO() as file:
            self._figure.savefig(file, format="png", pil_kwargs={"compress_level": 1})
            return file.getvalue()


def _values(strip: Strip, now: float) -> tuple[Floats, Floats, Floats, Floats]:
    at, count, mean, least, most = strip.bins.series(now)
    if strip.rate:
        rate = np.convolve(count, np.full(_RATE_BINS, 1 / (_RATE_BINS * BIN_SECONDS)))[: len(count)]
        rate[at < -now] = np.nan  # before the capture began
        return at, rate, rate, rate
    return at, strip.scale * mean, strip.scale * least, strip.scale * most
