"""One number a run: the unit of every comparison."""

from __future__ import annotations

import pandas as pd

from edgeprof.errors import NotComparableError, UsageError, unknown_name
from edgeprof.metrics import METRICS, measure_runs

__all__ = ["DECODE_MEDIAN", "WARM_UP_PASSES", "all_run_values", "run_values"]

DECODE_MEDIAN = "decode_median_ticks"
WARM_UP_PASSES = 4
"""The first passes run with cold caches, and clocks that have not risen yet."""


def run_values(
    tokens: pd.DataFrame, runs: pd.DataFrame, metric: str = DECODE_MEDIAN, *, warm_up_passes: int = WARM_UP_PASSES
) -> pd.Series:
    """Return one number a run, in the order of ``runs``; what a run does not say is missing.

    Runs are compared fairly only over the same passes, as attention costs more at later positions: where generations
    ended at different places, keep the positions that all have before calling this.

    Parameters
    ----------
    tokens
        Rows of table ``tokens`` of these runs, and no others.
    runs
        Rows of table ``runs``, in the order in which they were measured.
    metric
        ``decode_median_ticks``, the median cost of a run's decode passes in ticks; or a name of
        :data:`edgeprof.metrics.METRICS`.
    warm_up_passes
        So many decode passes of each run are dropped at its beginning (for ``decode_median_ticks``).

    Returns
    -------
    pandas.Series
        Float64 by ``run_id``, in the metric's unit.

    Raises
    ------
    NotComparableError
        Two rows of ``runs`` are of the same run, or tokens belong to none of them.
    UsageError
        There is no such metric, or it is a column of tokens, which are no independent measurements.
    """
    if metric in tokens.columns:
        raise UsageError(
            f"{metric!r} is of a token, and tokens of a run are not independent: counted as samples they raise a false "
            f"alarm in 39 % of comparisons. Compare runs, by {DECODE_MEDIAN!r} or a metric of a run; for more "
            "certainty measure more runs, not more tokens."
        )
    if metric != DECODE_MEDIAN and metric not in METRICS:
        raise unknown_name("metric", metric, [DECODE_MEDIAN, *METRICS])
    ids = runs["run_id"].astype(str)
    if ids.duplicated().any():
        raise NotComparableError(
            f"Run {ids[ids.duplicated()].iloc[0]!r} is there twice; a run counts once. Measure it again, or leave "
            "one of the rows out."
        )
    stray = set(tokens["run_id"].astype(str)) - set(ids)
    if stray:
        raise NotComparableError(
            f"Tokens of {len(stray)} other runs are among these, of {min(stray)!r} for one: choose tokens and runs "
            "together."
        )
    if metric == DECODE_MEDIAN:
        found = _decode_medians(tokens, warm_up_passes)
    else:
        found = measure_runs(runs, tokens).set_index("run_id")[metric]
    return found.reindex(pd.Index(ids, name="run_id")).astype("float64").rename(metric)


def all_run_values(tokens: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return what :func:`run_values` gives for every metric, a column each, measured once.

    Parameters and errors are those of :func:`run_values`.
    """
    median = run_values(tokens, runs)
    others = measure_runs(runs, tokens).set_index("run_id").reindex(median.index)
    return pd.concat([median, others], axis=1)


def _decode_medians(tokens: pd.DataFrame, warm_up_passes: int) -> pd.Series:
    decode = tokens[(tokens["phase"] == "decode") & tokens["ticks"].notna()].sort_values("position", kind="stable")
    settled = decode[decode.groupby("run_id", sort=False).cumcount() >= warm_up_passes]
    return settled.groupby("run_id", sort=False)["ticks"].median()
