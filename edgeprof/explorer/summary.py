"""What is drawn of very many tokens: their mean by position, their extremes, their distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeprof.explorer.extremes import extremes

__all__ = ["BUCKETS", "LEVELS", "Summary", "summarize"]

BUCKETS = 640
"""About as many as the axis has pixels."""
_COUNTED_BELOW = 1 << 20
LEVELS = np.concatenate((np.linspace(0, 0.99, 199), np.linspace(0.991, 1, 91)))
"""At which shares the distribution is drawn: both ends are among them, and the tail has more."""
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Summary:
    """Tokens as they are drawn.

    Attributes
    ----------
    reach
        The first and the last position that occur.
    position, mean
        The mean value at each position that occurs, or where these are more than 2 * BUCKETS in each of BUCKETS
        stretches of them, at the mean of its positions; shape (p,).
    x, y
        Points that are drawn one by one, the extremes among them; shape (m,).
    quantiles
        The values at :data:`LEVELS`.
    tokens
        How many values there are.
    """

    reach: tuple[int, int]
    position: Numbers
    mean: Numbers
    x: Numbers
    y: Numbers
    quantiles: Numbers
    tokens: int


def _means(position: npt.NDArray[np.int64], value: Numbers) -> tuple[Numbers, Numbers]:
    """Return the positions that occur, ascending, and the mean value at each; of very many those of stretches."""
    if position.max() < _COUNTED_BELOW:
        counts = np.bincount(position)
        present = np.flatnonzero(counts)
        count, total = counts[present], np.bincount(position, weights=value)[present]
    else:
        present, at = np.unique(position, return_inverse=True)  # a device may say any number
        count, total = np.bincount(at), np.bincount(at, weights=value)
    if len(present) <= 2 * BUCKETS:
        return present.astype(np.float64), total / count
    low, span = int(present[0]), int(present[-1] - present[0]) + 1
    bucket = (present - low) * BUCKETS // span
    tokens = np.bincount(bucket, weights=count)
    known = tokens > 0
    middle = np.bincount(bucket, weights=(present - low).astype(np.float64) * count)
    return low + middle[known] / tokens[known], np.bincount(bucket, weights=total)[known] / tokens[known]


def summarize(position: npt.NDArray[np.int64], value: Numbers) -> Summary | None:
    """Return what is drawn of some tokens; None where no value is known.

    Parameters
    ----------
    position, value
        Of each token, shape (n,); positions are not negative.
    """
    known = np.isfinite(value)
    if not known.all():
        position, value = position[known], value[known]
    if not value.size:
        return None
    where, mean = _means(position, value)
    drawn = extremes(position, value, BUCKETS)
    ordered = np.sort(value)
    at = LEVELS * (len(ordered) - 1)
    below = at.astype(np.int64)
    above = np.minimum(below + 1, len(ordered) - 1)
    quantiles = ordered[below] + (at - below) * (ordered[above] - ordered[below])
    reach = (int(position.min()), int(position.max()))
    return Summary(reach, where, mean, position[drawn].astype(np.float64), value[drawn], quantiles, len(ordered))
