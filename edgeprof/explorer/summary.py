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
    position, mean
        The mean value at each position that occurs; shape (p,).
    x, y
        Points that are drawn one by one, the extremes among them; shape (m,).
    quantiles
        The values at :data:`LEVELS`.
    tokens
        How many values there are.
    """

    position: Numbers
    mean: Numbers
    x: Numbers
    y: Numbers
    quantiles: Numbers
    tokens: int


def _means(position: npt.NDArray[np.int64], value: Numbers) -> tuple[npt.NDArray[np.int64], Numbers]:
    """Return the positions that occur, ascending, and the mean value at each."""
    if position.max() < _COUNTED_BELOW:
        count = np.bincount(position)
        present = np.flatnonzero(count)
        return present, np.bincount(position, weights=value)[present] / count[present]
    present, at = np.unique(position, return_inverse=True)  # a device may say any number
    return present, np.bincount(at, weights=value) / np.bincount(at)


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
    present, mean = _means(position, value)
    drawn = extremes(position, value, BUCKETS)
    ordered = np.sort(value)
    at = LEVELS * (len(ordered) - 1)
    below = at.astype(np.int64)
    above = np.minimum(below + 1, len(ordered) - 1)
    quantiles = ordered[below] + (at - below) * (ordered[above] - ordered[below])
    return Summary(
        present.astype(np.float64), mean, position[drawn].astype(np.float64), value[drawn], quantiles, len(ordered)
    )
