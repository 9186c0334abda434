"""``benchmark.json``: values for ``github-action-benchmark``, which draws them over time.

Its tools ``customSmallerIsBetter`` and ``customBiggerIsBetter`` take an array of entries; a value belongs to the former
unless its metric is a rate.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, Literal

import pandas as pd

from edgeprof import units
from edgeprof.changes import FITS
from edgeprof.gate_cells import Cell
from edgeprof.gate_outputs.wording import cell_text, plain
from edgeprof.gate_rules import CELL
from edgeprof.gating import Check, GateResult
from edgeprof.metrics import METRICS

__all__ = ["bigger_is_better", "entry", "of_runs", "smaller_is_better"]


def smaller_is_better(result: GateResult) -> str:
    """Return the candidate's values of metrics that are better when lower (``customSmallerIsBetter``)."""
    return _entries(result.checks, "lower")


def bigger_is_better(result: GateResult) -> str:
    """Return the candidate's values of metrics that are better when higher (``customBiggerIsBetter``)."""
    return _entries(result.checks, "higher")


def of_runs(measured: pd.DataFrame) -> str:
    """Return what runs measured, without judging it (``customSmallerIsBetter``): a median a cell and metric.

    Parameters
    ----------
    measured
        From :func:`edgeprof.measure`.
    """
    judged = {name: metric for name, metric in METRICS.items() if metric.better == "lower"}
    done = measured[measured["status"] == "ok"]
    cells = done.assign(**{name: done[name].fillna("") for name in CELL}).groupby(list(CELL), sort=True)
    medians = cells[list(judged)].median()
    found = [
        entry(f"{cell_text(Cell(*cell))} {name}".lstrip(), metric.unit, float(row[name]))
        for cell, (_, row) in zip(medians.index.tolist(), medians.iterrows(), strict=True)
        for name, metric in judged.items()
        if math.isfinite(row[name])
    ]
    return json.dumps(found, indent=1, allow_nan=False) + "\n"


def entry(name: str, unit: str, value: float, spread: float | None = None, extra: str = "") -> dict[str, Any]:
    """Return one value in the action's format.

    Parameters
    ----------
    name
        What was measured where; markup in it is taken out, as the action writes it into comments.
    unit
        Of the value.
    value
        A finite number.
    spread
        How far it may be off, in the same unit; None where that is not known.
    extra
        What is shown beside it.
    """
    found: dict[str, Any] = {"name": plain(name), "unit": unit or "1", "value": value}
    if spread is not None:
        found["range"] = f"± {units.significant(spread)}"
    return found | ({"extra": plain(extra)} if extra else {})


def _entries(checks: Iterable[Check], better: Literal["lower", "higher"]) -> str:
    found = []
    for check in checks:
        change = check.change
        if change is None or change.metric == FITS or change.better != better or not math.isfinite(change.candidate):
            continue
        half = (change.verdict.high - change.verdict.low) / 2 * change.base
        spread = half if math.isfinite(half) and not change.verdict.certain else None
        extra = f"{check.outcome}: {check.word}"
        found.append(entry(f"{cell_text(check.cell)} {check.metric}", change.unit, change.candidate, spread, extra))
    return json.dumps(found, indent=1, allow_nan=False) + "\n"
