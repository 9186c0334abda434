"""How far predictions are off: each model is predicted from the captures of all others.

Models with the same dimensions count as one: leaving out one of them would test nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from edgeprof.cost_model import FORCED, SAMPLED, CostModel, fit_costs
from edgeprof.observed import Captures, Observations, captured_boards, load_captures, observations

__all__ = ["compared", "held_out", "held_out_of"]

_COLUMNS = {
    "board": "object", "clock": "object", "model": "object", "quant": "object", "phase": "object", "n_params": "int64",
    "position": "int64", "ticks": "float64", "predicted_ticks": "float64", "error": "float64",
}  # fmt: skip
_PASS = ["shape", "model", "quant", "position"]
_PHASES = {"prefill": FORCED, "decode": SAMPLED}


def held_out(captures: Captures | None = None, models: Iterable[str | Path] = ()) -> pd.DataFrame:
    """Return what passes took beside what was predicted of them without any capture of their model.

    Parameters
    ----------
    captures
        Data sets, or their paths; by default those that come with edgeprof.
    models
        Further GGUF files, or folders of such, in which to look for what ran.

    Returns
    -------
    DataFrame
        A row a board, model, quantization, phase and position: ``board``, ``clock``, ``model``, ``quant``, ``phase``
        (prefill is a pass that computes no output), ``n_params``, ``position`` (tokens), ``ticks`` and
        ``predicted_ticks`` (the sum of the pass's stages), ``error`` (predicted over measured, less 1). What holds a
        type of tensor that no other model was captured with has no row.
    """
    datasets = load_captures(captures)
    found = (observations(datasets, board, models) for board in captured_boards(datasets))
    tables = [held_out_of(each) for each in found if each is not None]
    return pd.concat([t for t in tables if len(t)] or [_empty()], ignore_index=True)


def held_out_of(seen: Observations) -> pd.DataFrame:
    """Return :func:`held_out` of one board's observations."""
    tables = []
    for left_out in sorted(seen.stages["same"].unique()):
        mine = seen.stages["same"] == left_out
        tables.append(compared(seen, seen.stages[mine], fit_costs(seen.stages[~mine], seen.shapes)))
    return pd.concat([t for t in tables if len(t)] or [_empty()], ignore_index=True)


def compared(seen: Observations, stages: pd.DataFrame, costs: CostModel) -> pd.DataFrame:
    """Return some of a board's passes beside what a cost model says of them; columns as of :func:`held_out`."""
    rows = []
    wide = stages.pivot_table(index=_PASS, columns="stage", values="ticks", aggfunc="first")
    for (index, name, quant, position), measured in zip(wide.index, wide.to_dict("records"), strict=True):
        shape = seen.shapes[index]
        for phase, wanted in _PHASES.items():
            timed = [stage for stage in wanted if measured.get(stage, 0) > 0]
            if not set(wanted) - {"other"} <= set(timed):
                continue
            ticks = sum(measured[stage] for stage in timed)
            predicted = costs.pass_ticks(shape, int(position), timed)
            rows.append((seen.board, seen.setup.clock, name, quant, phase, shape.n_params, position, ticks, predicted))
    table = pd.DataFrame(rows, columns=list(_COLUMNS)[:-1]).dropna(subset=["predicted_ticks"])
    return table.assign(error=table["predicted_ticks"] / table["ticks"] - 1).astype(_COLUMNS)


def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _COLUMNS.items()})
