"""Fewer points that look the same: of each bucket along an axis the smallest and the largest value stay."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["extremes"]


def extremes(x: npt.NDArray[np.int64], y: npt.NDArray[np.float64], buckets: int) -> npt.NDArray[np.int64]:
    """Return which points to draw, in their order: at most two of each bucket.

    Parameters
    ----------
    x, y
        Places and values, shape (n,). A value that is NaN is never drawn.
    buckets
        Into how many stretches of equal width the axis is cut: one a pixel. At least 1.

    Returns
    -------
    array of int, shape (m,)
        Ascending indices, m <= 2 * buckets. Of each bucket that has a value, the first of its smallest and the first
        of its largest are among them, so that the axis' own extremes are, too.
    """
    known = np.flatnonzero(~np.isnan(y))
    if not known.size:
        return known
    places, values = x[known], y[known]
    low = int(places.min())
    span = int(places.max()) - low + 1
    bucket = places - low
    if span > buckets:
        bucket = bucket * buckets // span
    count = min(span, buckets)
    kept = np.zeros(known.size, np.bool_)
    for start, choose in ((np.inf, np.minimum), (-np.inf, np.maximum)):
        edge = np.full(count, start)
        choose.at(edge, bucket, values)
        at = np.flatnonzero(values == edge[bucket])
        # Backwards, so that of several that are alike the first is written last.
        first = np.zeros(count, np.int64)
        first[bucket[at[::-1]]] = at[::-1]
        met = np.zeros(count, np.bool_)
        met[bucket[at]] = True
        kept[first[met]] = True
    return known[kept]
