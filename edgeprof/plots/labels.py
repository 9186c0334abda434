"""Names written beside what they name, so that no legend has to be searched."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import scipy

from edgeprof.display import mpl_text
from edgeprof.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

__all__ = ["apart", "label_lines", "label_points"]

_LINE_POINTS = 11.5
_APART = 2.0  # pixels between names
# Where a name may stand, from best to worst: the sides of its point, and then ever farther, with a line to it.
_NEAR = ((8, 5), (-8, 5), (8, -5), (-8, -5))
_FAR = tuple(
    (round(r * math.cos(a)), round(r * math.sin(a)))
    for r in (24, 38, 54)
    for a in (math.pi / 4 * k for k in (1, 3, 7, 5, 2, 6, 0, 4))
)
_Box = tuple[float, float, float, float]


def apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Return ascending places at least ``gap`` apart that lie as near as can be to the wanted ascending ones.

    Least squares: what has to give way does so to both sides.
    """
    if not wanted:
        return []
    found = scipy.optimize.isotonic_regression([y - i * gap for i, y in enumerate(wanted)]).x
    return [float(y) + i * gap for i, y in enumerate(found)]


def label_lines(ax: Axes, ends: Mapping[str, tuple[float, float]], palette: Mapping[str, tuple[str, str]]) -> None:
    """Write each line's name right of its end, moved apart where names would overlap, with a thin line to the end."""
    known = {name: (x, y) for name, (x, y) in ends.items() if math.isfinite(x) and math.isfinite(y)}
    low, high = ax.get_ylim()
    inches = ax.get_window_extent().height / float(ax.figure.dpi)
    gap = _LINE_POINTS / 72 / inches * (high - low)
    across = max((x for x, _ in known.values()), default=0.0)
    ordered = sorted(known, key=lambda name: known[name][1])
    for name, at in zip(ordered, apart([known[name][1] for name in ordered], gap), strict=True):
        x, y = known[name]
        colour = palette[name][0]
        ax.annotate(
            mpl_text(name), (x, y), xytext=(across + 0.035 * (ax.get_xlim()[1] - ax.get_xlim()[0]), at), fontsize=9,
            color=style.ink(colour), va="center", annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 1, "relpos": (0, 0.5),
            },
        )  # fmt: skip


def label_points(ax: Axes, points: Iterable[tuple[str, float, float]], palette: Mapping[str, tuple[str, str]]) -> None:
    """Write each point's name beside it, where it meets no other name and no point.

    Parameters
    ----------
    ax
        Its limits and scales have to be settled.
    points
        Name, and place in data.
    palette
        As of :func:`edgeprof.plots.style.colours`.
    """
    from matplotlib.layout_engine import ConstrainedLayoutEngine, TightLayoutEngine

    figure = ax.get_figure()
    assert figure is not None
    if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine | TightLayoutEngine):
        figure.canvas.draw()  # moves axes; else their limits are all that can be unsettled
    ax.get_xlim(), ax.get_ylim()
    points = list(points)
    inside = ax.get_window_extent()
    limits = (inside.x0, inside.y0, inside.x1, inside.y1)
    marks = [ax.transData.transform((x, y)) for _, x, y in points]
    taken: list[_Box] = [(px - 6, py - 6, px + 6, py + 6) for px, py in marks]
    for i, (name, x, y) in enumerate(points):
        others = taken[:i] + taken[i + 1 :]
        best: tuple[float, Annotation, _Box] | None = None
        for place in (*_NEAR, *_FAR):
            text = _written(ax, name, (x, y), place, palette[name][0])
            box = text.get_window_extent()
            found = (box.x0, box.y0, box.x1, box.y1)
            clash = sum(_overlap(_wider(found), o) for o in others) + _beyond(found, limits)
            if best is not None and clash >= best[0]:
                text.remove()
                continue
            if best is not None:
                best[1].remove()
            best = (clash, text, found)
            if not clash:
                break
        assert best is not None
        taken.append(best[2])


def _written(ax: Axes, name: str, at: tuple[float, float], place: tuple[int, int], colour: str) -> Annotation:
    dx, dy = place
    left, right, below, above = dx > 2, dx < -2, dy > 2, dy < -2
    line = {
        "arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4,
        "relpos": (0.5 + 0.5 * (right - left), 0.5 + 0.5 * (above - below)),
    }  # fmt: skip
    return ax.annotate(
        mpl_text(name), at, xytext=place, textcoords="offset points", fontsize=9, color=style.ink(colour),
        ha="left" if left else "right" if right else "center",
        va="bottom" if below else "top" if above else "center", annotation_clip=False,
        arrowprops=None if place in _NEAR else line,
        bbox={"facecolor": style.look().background, "edgecolor": "none", "pad": 0.5, "alpha": 0.8},
    )  # fmt: skip


def _wider(box: _Box) -> _Box:
    return (box[0] - _APART, box[1] - _APART, box[2] + _APART, box[3] + _APART)


def _overlap(a: _Box, b: _Box) -> float:
    """Return the area that two boxes share."""
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)


def _beyond(box: _Box, limits: _Box) -> float:
    """Return the area of a box outside of limits."""
    return (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, limits)
