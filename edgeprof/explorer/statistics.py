"""What a brushed range of tokens comes to, for each pinned run, and how the second differs from the first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from edgeprof import units

__all__ = ["range_statistics", "statistics_table"]

_FIGURES = ("p50", "p95", "p99", "mean")


def range_statistics(
    passes: Sequence[tuple[str, pd.DataFrame]], phase: str, value: str, first: int | None, last: int | None
) -> pd.DataFrame:
    """Return figures of the tokens at some positions.

    Parameters
    ----------
    passes
        Name and passes of each run: columns ``position``, ``phase``, ``ticks`` and ``value``.
    phase, value
        Passes of which phase count; and which of their columns.
    first, last
        The positions, both included; None: from the first, to the last.

    Returns
    -------
    DataFrame
        A row a run: ``run``, ``tokens`` (how many are in the range), ``p50``, ``p95``, ``p99``, ``mean`` (in the
        unit of ``value``; NaN where nothing is known) and ``share`` (of the ticks of all passes of the run, 0 to 1).
    """
    rows = []
    for name, run in passes:
        mine = run[run["phase"] == phase]
        inside = mine["position"].between(-np.inf if first is None else first, np.inf if last is None else last)
        mine = mine[inside]
        known = mine[value].astype("Float64").to_numpy(float, na_value=np.nan)
        known = known[np.isfinite(known)]
        figures = [*np.quantile(known, [0.5, 0.95, 0.99]), known.mean()] if known.size else [np.nan] * 4
        whole = float(run["ticks"].sum())
        # Tokens whose ticks are all unknown have an unknown share; no tokens have none.
        took = float(mine["ticks"].sum()) if mine.empty or mine["ticks"].notna().any() else np.nan
        share = took / whole if whole else np.nan
        rows.append({"run": name, "tokens": len(mine), **dict(zip(_FIGURES, figures, strict=True)), "share": share})
    return pd.DataFrame(rows, columns=["run", "tokens", *_FIGURES, "share"])


def statistics_table(figures: pd.DataFrame, unit: str, *, alike: bool = True) -> pd.DataFrame:
    """Return :func:`range_statistics` as strings, with what the second run is against the first.

    Parameters
    ----------
    figures
        Of one run or two.
    unit
        That of the value: ``tick`` or ``nat``.
    alike
        Whether both were measured by the same clock; if not, there is no difference.
    """
    rows = [
        {"run": row["run"], "tokens": units.exact(row["tokens"])}
        | {f"{name} [{unit}]": units.si(row[name], digits=4) for name in _FIGURES}
        | {"share of the run [%]": units.significant(100 * row["share"])}
        for row in figures.to_dict("records")
    ]
    if len(figures) == 2:
        a, b = figures.to_dict("records")

        def change(name: str) -> str:
            return units.percent(b[name] / a[name] - 1) if alike and a[name] else units.UNKNOWN

        points = 100 * (b["share"] - a["share"])
        rows.append(
            {"run": "B against A", "tokens": units.percent(b["tokens"] / a["tokens"] - 1) if a["tokens"] else "–"}
            | {f"{name} [{unit}]": change(name) for name in _FIGURES}
            | {"share of the run [%]": units.UNKNOWN if np.isnan(points) else f"{points:+.1f} points"}
        )
    return pd.DataFrame(rows)
