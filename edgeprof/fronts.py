"""Which of several are dominated: no better than another in anything, and worse in something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from edgeprof.errors import NotComparableError, UsageError, unknown_name
from edgeprof.metrics import METRICS

__all__ = ["directions", "pareto"]


def directions(metrics: Sequence[str]) -> dict[str, str]:
    """Return whether lower or higher is better, by the registry of metrics.

    Raises
    ------
    UsageError
        There is no such metric, or neither direction of it is better.
    """
    for name in metrics:
        if name not in METRICS:
            raise unknown_name("metric", name, METRICS)
        if not METRICS[name].better:
            raise UsageError(f"Neither more nor less of {name} is better in itself: leave it out of a Pareto front.")
    return {name: METRICS[name].better for name in metrics}


def pareto(
    table: pd.DataFrame, metrics: Sequence[str] | Mapping[str, str], *, label: str = "group",
    tolerance: Mapping[str, float] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Return a table with its Pareto front marked.

    Parameters
    ----------
    table
        A row a candidate; what is compared has to be alike (one board, one clock).
    metrics
        Columns that count: names of registered metrics, or column to ``lower`` or ``higher``, which is better.
    label
        The column that names a candidate.
    tolerance
        Column to the fraction below which a difference is none: 0.02 for 2 %. By default every difference counts.

    Returns
    -------
    DataFrame
        The same rows with ``on_front`` (null where a metric is missing), and ``dominated_by``: of those on the front
        that are at least as good in everything and better in something, the one that is better by most in sum, each
        metric scaled by its range.

    Raises
    ------
    UsageError
        A metric that does not exist, or that is no column of the table.
    NotComparableError
        No candidate has all of the metrics.
    """
    wanted = dict(metrics) if isinstance(metrics, Mapping) else directions(metrics)
    for name, better in wanted.items():
        if name not in table.columns:
            raise unknown_name("column of the table", name, map(str, table.columns))
        if better not in ("lower", "higher"):
            raise UsageError(f"Of {name} lower or higher is better, not {better!r}.")
    sign = np.array([1.0 if better == "lower" else -1.0 for better in wanted.values()])
    values = table[list(wanted)].astype("float64").to_numpy() * sign
    known = np.isfinite(values).all(axis=1)
    if not known.any():
        raise NotComparableError(
            f"No candidate has all of {', '.join(wanted)}: without them there is no front. `edgeprof runs --json` says "
            "which are missing."
        )
    within = np.array([(tolerance or {}).get(name, 0.0) for name in wanted])
    scale = np.ptp(values[known], axis=0)
    scale[scale == 0] = 1.0
    names = table[label].astype(str).to_numpy()
    front: list[bool | None] = []
    by: list[str | None] = []
    for row, complete in zip(values, known, strict=True):
        gain = np.where(np.abs(row - values) <= within * np.abs(row), 0.0, row - values) / scale
        better = known & (gain >= 0).all(axis=1) & (gain > 0).any(axis=1)
        front.append(None if not complete else not better.any())
        sums = np.where(better, gain.sum(axis=1), -np.inf)
        # What is better by most in sum cannot be dominated itself: who dominates it would be better by more.
        by.append(str(names[int(np.argmax(sums))]) if complete and better.any() else None)
    return table.assign(on_front=pd.array(front, dtype="boolean"), dominated_by=pd.array(by, dtype="str"))
