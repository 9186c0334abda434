"""When the stages of a run's passes were: a board says how long a stage took in a pass, not when it began.

The embedding begins a pass; the head, and the sampling behind it, end it. What a pass took beyond its stages may lie
anywhere between, so each edge is off by up to that. Attention and feed-forward take turns, layer by layer: their place
is not known, and a sum of ticks that has no place has no samples.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["stage_intervals", "why_no_place"]

_LAST = ("head", "sampling")
"""Stages that end a pass, in this order."""


def stage_intervals(passes: pd.DataFrame, stages: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return when stages were, in ticks from run begin.

    Parameters
    ----------
    passes
        Rows of ``tokens`` of one generation: ``position``, ``ticks_start``, ``ticks``.
    stages
        Its rows of ``stages``: ``position``, ``stage``, ``ticks``.

    Returns
    -------
    intervals : pandas.DataFrame
        ``stage``, ``ticks_start``, ``ticks``, and ``off_ticks``: by how much it may lie elsewhere.
    others : pandas.DataFrame
        A row a stage without a place: ``ticks`` in all and ``n``, by ``stage``.
    """
    wide = stages.groupby(["position", "stage"], as_index=False)["ticks"].sum()
    whole = wide.groupby("position")["ticks"].sum().rename("in_stages")
    rows = wide.merge(passes[["position", "ticks_start", "ticks"]], on="position", suffixes=("", "_pass"))
    rows = rows.merge(whole, on="position").dropna()
    rows["off_ticks"] = rows["ticks_pass"] - rows["in_stages"]
    behind = rows[rows["stage"].eq("sampling")].set_index("position")["ticks"]
    later = rows["position"].map(behind).fillna(0).where(rows["stage"].eq("head"), 0)
    at_end = rows["ticks_start"] + rows["ticks_pass"] - later - rows["ticks"]
    rows["ticks_start"] = np.where(rows["stage"].isin(_LAST), at_end, rows["ticks_start"])
    placed = rows["stage"].isin(("embedding", *_LAST)) & (rows["off_ticks"] >= 0)
    others = rows[~placed].groupby("stage").agg(ticks=("ticks", "sum"), n=("ticks", "size"))
    return rows.loc[placed, ["stage", "ticks_start", "ticks", "off_ticks"]], others


def why_no_place(stage: str) -> str:
    """Return why a stage has no energy of its own, in words."""
    if stage in ("embedding", *_LAST):
        return "needs stages within their pass: here they add up to more than it took, so where they lie is not known"
    return (
        "needs to know when the stage was: a board says how long it took in a pass, in all its turns; embedding, head "
        "and sampling begin or end a pass"
    )
