"""The line through pairs of a board's and a meter's edges, with its error, and whether they are pairs by chance.

Least squares is right here. Between clocks and arrivals it would be wrong (:mod:`edgeprof.clock`), for an arrival is
only ever late; an edge is as often early as late in the sample that shows it, so the mean is the truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["FEWEST", "EdgeFit", "inliers", "judged", "nearest", "pairs_near"]

FEWEST = 6
LEAST_SHARE = 0.3
"""Of the board's edges that the meter was there for. One that sees rising edges only has half of them."""

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EdgeFit:
    """Where the board's time lies on the meter's.

    Attributes
    ----------
    begin_ns
        The meter's time at the board's 0.
    rate
        Nanoseconds of the meter in one of the board.
    error_ns
        What 95 % of such fits stay within, all over the run.
    rms_ns
        Of the residuals.
    matched
        Pairs that the line is made of.
    seen
        Edges of the board's in the time that the meter has edges of.
    """

    begin_ns: float
    rate: float
    error_ns: float
    rms_ns: float
    matched: int
    seen: int


def nearest(sorted_values: Float, wanted: Float) -> npt.NDArray[np.intp]:
    """Return the index of the value that is nearest to each wanted one; shape (n,), sorted values of two or more."""
    right = np.clip(np.searchsorted(sorted_values, wanted), 1, len(sorted_values) - 1)
    return right - (wanted - sorted_values[right - 1] < sorted_values[right] - wanted)


def pairs_near(meter: Float, expected: Float, reach: Float | float) -> tuple[npt.NDArray[np.intp], Float]:
    """Return which expected moments have an edge within reach, each edge taken once; and how far the nearest is."""
    closest = nearest(meter, expected)
    off = meter[closest] - expected
    pairs = np.flatnonzero(np.abs(off) <= reach)
    return pairs[np.unique(closest[pairs], return_index=True)[1]], off


def inliers(x: Float, y: Float, resolution_ns: float) -> npt.NDArray[np.bool_]:
    """Return which points are near the line that most of them lie on."""
    kept = np.ones(len(x), bool)
    for _ in range(3):
        residual = y - np.polyval(np.polyfit(x[kept], y[kept], 1), x)
        middle = float(np.median(residual[kept]))
        scale = max(1.4826 * float(np.median(np.abs(residual[kept] - middle))), resolution_ns / np.sqrt(12), 1.0)
        now = np.abs(residual - middle) <= 4 * scale
        if now.sum() < 3 or (now == kept).all():
            break
        kept = now
    return kept


def judged(
    board: Float, meter: Float, begin: float, rate: float, resolution_ns: float, tolerance: float
) -> EdgeFit | None:
    """Fit the line of all pairs, with its error; None if they may be there by chance."""
    expected = begin + rate * board
    seen = (expected >= meter[0] - tolerance) & (expected <= meter[-1] + tolerance)
    pairs, off = pairs_near(meter, expected, np.where(seen, tolerance, -1.0))
    if len(pairs) < FEWEST:
        return None
    pairs = pairs[inliers(board[pairs], off[pairs], resolution_ns)]
    n, total = len(pairs), int(seen.sum())
    if n < max(FEWEST, LEAST_SHARE * total) or not _beyond_chance(n, total, meter, len(board), tolerance):
        return None
    x, y = board[pairs], off[pairs]
    mean = float(x.mean())
    slope, intercept = np.polyfit(x - mean, y, 1)
    residual = y - (intercept + slope * (x - mean))
    rms = float(np.sqrt((residual**2).sum() / (n - 2)))
    # Student's t at 97.5 %, to 1 % from four degrees of freedom on; at the end of the run that is farther away.
    t = 1.96 + 3.3 / (n - 2)
    far = max(abs(float(board[0]) - mean), abs(float(board[-1]) - mean))
    scatter = max(rms, resolution_ns / np.sqrt(12))
    line = t * scatter * float(np.sqrt(1 / n + far**2 / float(((x - mean) ** 2).sum())))
    # Where a clock wanders, a stretch of neighbours leaves the line together.
    bent = max(abs(float(part.mean())) for part in np.array_split(residual, min(10, n // 3)))
    return EdgeFit(
        # The edge was before the sample that shows it: half a sample on average, and that half is in the error.
        float(begin) + float(intercept) - float(slope) * mean - resolution_ns / 2,
        rate + float(slope),
        max(line, bent) + resolution_ns / 2,
        rms,
        n,
        total,
    )


def _beyond_chance(matched: int, seen: int, meter: Float, n_board: int, tolerance: float) -> bool:
    """Tell whether so many of the edges would hardly be met by any place that was tried.

    The two of a vote match by its making. Of the rest: Chernoff's bound of the binomial tail, times all places.
    """
    chance = min(2 * tolerance * len(meter) / max(float(meter[-1] - meter[0]), 1.0), 0.9)
    share = min((matched - 2) / max(seen - 2, 1), 1 - 1e-9)
    if share <= chance:
        return False
    divergence = share * np.log(share / chance) + (1 - share) * np.log((1 - share) / (1 - chance))
    return bool(np.log(len(meter) * n_board) - (seen - 2) * divergence < np.log(1e-3))
