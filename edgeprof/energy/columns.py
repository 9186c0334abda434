"""Energy beside the rows of runs and tokens that metrics are computed from."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from edgeprof.energy.run_energy import RunEnergy
from edgeprof.errors import NotComparableError, UsageError

if TYPE_CHECKING:
    from edgeprof.energy.of_dataset import IdlePower
    from edgeprof.store import Dataset

__all__ = ["with_energy"]


def with_energy(ds: Dataset, runs: pd.DataFrame, tokens: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rows with what a meter said of them; the same rows where the data set has no sample of a meter.

    Parameters
    ----------
    ds
        Where the rows are from.
    runs
        Rows of ``runs``.
    tokens
        Rows of ``tokens`` of these runs, and maybe of others, with ``run_id``, ``ticks_start`` and ``ticks``.

    Returns
    -------
    runs : pandas.DataFrame
        With ``meter`` (null where none measured the run) and ``energy``, a
        :class:`edgeprof.energy.run_energy.RunEnergy` (null where there cannot be any: the clock is no time).
    tokens : pandas.DataFrame
        With ``energy_uj`` of each pass, NaN where it is unknown.
    """
    # SciPy and the readers of meters are loaded only where there is something to read.
    from edgeprof.energy.of_dataset import IdlePower, has_power

    if not has_power(ds):
        return runs, tokens
    idle, places = IdlePower(ds), tokens.groupby("run_id").indices
    of_passes, of_runs = np.full(len(tokens), np.nan), {}
    for run_id in runs.loc[runs["tick_hz"].notna(), "run_id"].astype(str):
        place = places.get(run_id, np.zeros(0, np.intp))
        of_runs[run_id], of_passes[place] = _of_run(ds, run_id, tokens.iloc[place], idle)
    found = runs["run_id"].astype(str).map(of_runs).astype(object)
    found = found.where(found.notna(), None)
    meters = pd.Series([e.meter or None if e else None for e in found], index=runs.index, dtype="str")
    return runs.assign(meter=meters, energy=found), tokens.assign(energy_uj=of_passes)


def _of_run(
    ds: Dataset, run_id: str, tokens: pd.DataFrame, idle: IdlePower
) -> tuple[RunEnergy, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Return what is known of a run, and the energy of each of its passes in microjoules."""
    from edgeprof.energy.of_dataset import run_energy
    from edgeprof.energy.of_run import measured_run, passes_of_run
    from edgeprof.energy.per_run import pass_energy

    try:
        found = measured_run(ds, run_id)
        row = run_energy(found, passes_of_run(ds, run_id), idle.of(found))
        each = pass_energy(found.samples, found.timed(tokens.reset_index(drop=True)), **found.errors())
    except (NotComparableError, UsageError) as error:
        return RunEnergy(reason=str(error), net_reason=str(error)), np.full(len(tokens), np.nan)
    known = {field.name: row[field.name] for field in fields(RunEnergy)}
    known |= {name: known[name] or "" for name in ("reason", "net_reason")}
    return RunEnergy(**known), each["energy_uj"].reindex(range(len(tokens))).to_numpy(np.float64)
