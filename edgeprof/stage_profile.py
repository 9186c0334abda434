"""Where a pass goes: the stages that the firmware timed, beside what the whole pass took."""

from __future__ import annotations

import numpy as np
import pandas as pd

from edgeprof import units
from edgeprof.records import STAGES

__all__ = ["UNATTRIBUTED", "stage_shares", "stage_table"]

UNATTRIBUTED = "unattributed"
"""The stage that is none: what a pass took beyond the sum of its stages."""

_KEYS = ["run_id", "position"]
_COLUMNS = {"run_id": "object", "phase": "object", "stage": "object", "passes": "int64",
            "ticks_per_pass": "float64", "share": "float64"}  # fmt: skip


def stage_shares(tokens: pd.DataFrame, stages: pd.DataFrame) -> pd.DataFrame:
    """Return what each stage takes of a pass, per run and phase.

    A phase's figures are sums over its passes, divided by their number: a stage that only some passes have (``head``
    in the prefill, where the last pass alone computes output probabilities) counts with what it takes on average.
    Left out are passes of which no stage was received or whose own cost is unknown, and positions that a run has twice.

    Parameters
    ----------
    tokens
        Rows of table ``tokens``: ``run_id``, ``position``, ``phase``, ``ticks`` (ticks of the board's clock).
    stages
        Rows of table ``stages``: ``run_id``, ``position``, ``stage``, ``ticks`` (ticks of the board's clock).

    Returns
    -------
    pandas.DataFrame
        A row for each run, phase and stage: ``run_id``, ``phase``, ``stage``, ``passes`` (how many it is made of),
        ``ticks_per_pass`` (ticks) and ``share`` (of the pass, 0 to 1). The last stage of each phase is
        ``unattributed``, the rest of the pass that no stage has: it is never forced to zero, and negative where the
        stages add up to more than the pass. Where frames were lost (``runs.frames_lost``) it holds their stages, too. A
        stage that was never timed has no row.
    """
    parts = stages.dropna(subset=["ticks"])
    passes = tokens.drop_duplicates(_KEYS, keep=False).dropna(subset=["ticks", "phase"])[[*_KEYS, "phase", "ticks"]]
    passes = passes.merge(parts[_KEYS].drop_duplicates(), on=_KEYS)
    found = parts[[*_KEYS, "stage", "ticks"]].merge(passes[[*_KEYS, "phase"]], on=_KEYS)
    by = ["run_id", "phase"]
    whole = passes.groupby(by, sort=False)["ticks"].agg(["sum", "size"])
    sums = found.pivot_table("ticks", by, "stage", "sum").astype("float64")
    sums = sums.reindex(index=whole.index, columns=sorted(sums.columns, key=_order))
    ticks = np.column_stack([sums.to_numpy(np.float64), whole["sum"].to_numpy(np.float64)])
    ticks[:, -1] -= np.nan_to_num(ticks[:, :-1]).sum(axis=1)
    # Row after row, and of a stage that was never timed none.
    run, stage = np.nonzero(~np.isnan(ticks))
    took, n = ticks[run, stage], whole["size"].to_numpy(np.int64)[run]
    all_of_it = whole["sum"].to_numpy(np.float64)[run]
    return pd.DataFrame(
        {
            "run_id": whole.index.get_level_values("run_id").to_numpy(object)[run],
            "phase": whole.index.get_level_values("phase").to_numpy(object)[run],
            "stage": np.array([*sums.columns, UNATTRIBUTED], object)[stage],
            "passes": n,
            "ticks_per_pass": took / n,
            "share": took / np.where(all_of_it == 0, np.nan, all_of_it),
        }
    ).astype(_COLUMNS)


def _order(stage: str) -> tuple[int, str]:
    return (STAGES.index(stage) if stage in STAGES else len(STAGES), stage)


def stage_table(data: pd.DataFrame) -> pd.DataFrame:
    """Return what :func:`stage_shares` says of one run, as strings: a row for each phase and stage, and the whole.

    Parameters
    ----------
    data
        As of :func:`stage_shares`; ``phase`` may be called ``group``, as :func:`edgeprof.plots.plot_stages` wants it.
    """
    by = "group" if "group" in data else "phase"
    rows = []
    for name, part in data.groupby(by, sort=False):
        whole = float(part["ticks_per_pass"].sum())
        lines = [*zip(part["stage"], part["ticks_per_pass"], part["share"], strict=True), ("all of it", whole, 1.0)]
        rows += [
            {
                by: name,
                "stage": stage,
                "passes": units.exact(part["passes"].iloc[0]),
                "per pass [tick]": units.si(ticks, digits=4),
                "share [%]": units.significant(100 * share),
            }
            for stage, ticks, share in lines
        ]
    return pd.DataFrame(rows, columns=[by, "stage", "passes", "per pass [tick]", "share [%]"])
