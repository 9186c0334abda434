"""The device's clock on the host's: a line under all arrivals.

A frame cannot arrive before it was sent, and on the way it only loses time: in a scope driver, a USB poll, a busy
scheduler. So in a picture of arrival (host) over sending (device) the true line lies below all points and touches those
that were lucky. That is the lower convex hull's edge below the middle of the points. Averages (least squares) follow
the unlucky ones. Where a clock wanders with temperature, a line does not do: then the lowest point of each half minute
carries a piecewise line.

Pure functions on arrays. What one-way stamps cannot show is the smallest delay itself: it is in every offset.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["ClockFit", "fit_clock", "hull_points", "lower_hull"]

WINDOW_NS = 30_000_000_000
"""Half a minute: the window of a wandering clock's minima, and what the hull's points are kept for."""
WANDER_PPM = 1.0
"""A clock is said to wander where the windows' minima leave the line by more than this, over a window."""
MOST_OFF = 0.1
LONGEST_SECONDS = 1e9

Int = npt.NDArray[np.int64]
Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClockFit:
    """A device's clock on the host's.

    Attributes
    ----------
    method
        ``hull`` (one line) or ``windows`` (piecewise, where the clock wanders).
    ticks, host_ns
        The knots: at these device ticks it was so late at the host. Two of them are a line.
    rate_ppm
        By how much the device's clock runs fast (positive) against the host's, over all.
    error_us
        In microseconds, as the arrivals show it: how far above the line the lowest of some half minute (or tenth, of a
        short capture) stays; where the clock wanders, how far a window's minimum is from the line through its
        neighbours. The smallest delay of the way is not in it, for one-way stamps do not show it.
    n_points
        Arrivals that it was made of: of a capture those that matter to a fit.
    span_s
        From the first to the last, in seconds.
    """

    method: str
    ticks: tuple[int, ...]
    host_ns: tuple[float, ...]
    rate_ppm: float
    error_us: float
    n_points: int
    span_s: float

    def to_host_ns(self, ticks: npt.ArrayLike) -> Float:
        """Return the host's time of device ticks, in nanoseconds; beyond the knots the last slope goes on."""
        x = np.asarray(ticks, np.float64) - self.ticks[0]
        knots = np.asarray(self.ticks, np.float64) - self.ticks[0]
        y = np.asarray(self.host_ns, np.float64)
        piece = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
        slope = np.diff(y) / np.diff(knots)
        out: Float = y[piece] + (x - knots[piece]) * slope[piece]
        return out


def lower_hull(x: Float, y: Float) -> npt.NDArray[np.intp]:
    """Return the indices of the points of the lower convex hull, from left to right.

    Parameters
    ----------
    x, y
        Coordinates, shape (n,); in any order.

    Notes
    -----
    A. M. Andrew, "Another efficient algorithm for convex hulls in two dimensions", Information Processing Letters 9
    (1979). Before it, whole-array passes throw out points above the line through their neighbours.
    """
    order = np.lexsort((y, x))
    order = order[np.concatenate(([True], np.diff(x[order]) > 0))] if len(order) else order
    while len(order) > 64:
        px, py = x[order], y[order]
        above = (py[1:-1] - py[:-2]) * (px[2:] - px[:-2]) >= (py[2:] - py[:-2]) * (px[1:-1] - px[:-2])
        # Of two neighbours only one may go: each was judged with the other there.
        above[1:] &= ~(above[:-1] & (np.arange(1, len(above)) % 2 == 1))
        keep = np.concatenate(([True], ~above, [True]))
        if keep.sum() > 0.9 * len(order):
            break
        order = order[keep]
    hull: list[int] = []
    for i in order.tolist():
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (y[b] - y[a]) * (x[i] - x[a]) < (y[i] - y[a]) * (x[b] - x[a]):
                break
            hull.pop()
        hull.append(i)
    return np.array(hull, np.intp)


def hull_points(ticks: Int, host_ns: Int) -> npt.NDArray[np.intp]:
    """Return which arrivals matter to any fit: the lower hull's points of each half minute, in order.

    Parameters
    ----------
    ticks
        Device time of sending, shape (n,), extended to 64 bits.
    host_ns
        Host time of arrival in nanoseconds, shape (n,).

    Returns
    -------
    numpy.ndarray of int
        Some ten indices a window, of which the hull of all points can be made exactly, and nearly the minima of
        windows that lie otherwise.
    """
    if not len(ticks):
        return np.zeros(0, np.intp)
    window = (host_ns - host_ns[0]) // WINDOW_NS
    cuts = np.flatnonzero(np.diff(window)) + 1
    found = []
    for part in np.split(np.arange(len(ticks)), cuts):
        x, y = ticks[part] - ticks[part[0]], host_ns[part] - host_ns[part[0]]
        found.append(part[np.sort(lower_hull(x.astype(np.float64), y.astype(np.float64)))])
    return np.concatenate(found)


def fit_clock(ticks: Int, host_ns: Int, tick_hz: float) -> ClockFit | None:
    """Fit a device's clock to the host's.

    Parameters
    ----------
    ticks
        Device time of sending since the boot, shape (n,), extended to 64 bits.
    host_ns
        Host time of arrival in nanoseconds, shape (n,).
    tick_hz
        The device's nominal rate.

    Returns
    -------
    ClockFit or None
        None where there is nothing to fit: fewer than two arrivals, less than a second, or a rate that is not the
        one that was said (off by a tenth or more).
    """
    if len(ticks) < 2 or not 0 < tick_hz < np.inf:
        return None
    order = np.argsort(ticks, kind="stable")
    ticks, host_ns = ticks[order], host_ns[order]
    x = (ticks - ticks[0]).astype(np.float64)
    span = float(x[-1]) / tick_hz
    if not 1.0 <= span < LONGEST_SECONDS:  # a device may claim any rate
        return None
    # Against the nominal line, so that what is left are microseconds and no digit of a float is wasted.
    nominal = x * (1e9 / tick_hz)
    y = (host_ns - host_ns[0]).astype(np.float64) - nominal
    hull = lower_hull(x, y)
    a, b = _below_the_middle(x, hull)
    slope = (y[b] - y[a]) / (x[b] - x[a])
    line = y[a] + slope * (x - x[a])
    width = WINDOW_NS / 1e9 * tick_hz
    knots = _window_minima(x, y - line, width)
    residual = y[knots] - line[knots]
    wanders = len(knots) > 2 and _wander_ppm(x[knots], residual, tick_hz) > WANDER_PPM
    if wanders:
        chosen, values = knots, y[knots]
        error_ns = _left_out(x[knots], residual)
    else:
        chosen = np.array([0, len(x) - 1], np.intp)
        values = line[chosen]
        tenths = _window_minima(x, y - line, min(width, float(x[-1]) / 10))
        error_ns = float(np.max(y[tenths] - line[tenths]))
    overall = (values[-1] - values[0]) / (x[chosen[-1]] - x[chosen[0]]) * tick_hz / 1e9
    if not abs(overall) < MOST_OFF:
        return None
    return ClockFit(
        "windows" if wanders else "hull",
        tuple(int(t) for t in ticks[chosen]),
        tuple(float(v) for v in values + nominal[chosen] + float(host_ns[0])),
        # Late by more and more: the host counts more nanoseconds than the device thinks, so the device is slow.
        round(-1e6 * overall / (1 + overall), 4),
        round(error_ns / 1e3, 3),
        len(x),
        round(span, 3),
    )


def _left_out(x: Float, y: Float) -> float:
    """Return by how much a point differs at most from the line through its two neighbours."""
    between = y[:-2] + (y[2:] - y[:-2]) * (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
    return float(np.max(np.abs(y[1:-1] - between)))


def _below_the_middle(x: Float, hull: npt.NDArray[np.intp]) -> tuple[int, int]:
    """Return the hull's edge below the mean of all points: of all lines under them it is nearest to them in sum."""
    at = int(np.clip(np.searchsorted(x[hull], x.mean()), 1, len(hull) - 1))
    return int(hull[at - 1]), int(hull[at])


def _window_minima(x: Float, residual: Float, width: float) -> npt.NDArray[np.intp]:
    """Return the lowest point of each window; a last one that is not full goes to the one before it."""
    count = max(int(x[-1] / width), 1)
    window = np.minimum((x / width).astype(np.int64), count - 1)
    cuts = np.flatnonzero(np.diff(window)) + 1
    parts = np.split(np.arange(len(x)), cuts)
    return np.array([part[np.argmin(residual[part])] for part in parts], np.intp)


def _wander_ppm(x: Float, residual: Float, tick_hz: float) -> float:
    """Return how fast the minima leave their line, as a root mean square over neighbours, in parts per million."""
    steps = np.diff(x) / tick_hz * 1e9
    return float(np.sqrt(np.mean((np.diff(residual) / steps) ** 2)) * 1e6)
