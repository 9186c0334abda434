"""Energy of a run's passes and stages as tidy frames that plots take, and the formatted tables beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from edgeprof import units
from edgeprof.energy.align_samples import cut
from edgeprof.energy.of_dataset import stage_energy, token_energy
from edgeprof.energy.of_run import measured_run
from edgeprof.energy.tidy import ENERGY, with_interval
from edgeprof.errors import NotComparableError

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["positions", "positions_table", "stage_table", "stretch", "stretch_table", "truth_table"]

_TRUTH = "truth.csv"


def stretch(
    ds: Dataset, run: str, *, count: int = 12, meter: str = "", voltage_mv: float | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the power over some passes of a run, half of them before its first decode pass, and these passes.

    Returns
    -------
    samples, passes : pandas.DataFrame
        ``t_ns``, ``power_uw``, ``meter``; and rows of :func:`edgeprof.energy.of_dataset.token_energy`.
    """
    found = measured_run(ds, run, meter=meter, voltage_mv=voltage_mv)
    passes = token_energy(ds, run, meter=meter, voltage_mv=voltage_mv)
    middle = int((passes["phase"] == "decode").to_numpy().argmax())
    passes = passes.iloc[max(middle - count // 2, 0) :].head(count)
    some = cut(found.samples, float(passes["begin_ns"].iloc[0]), float(passes["end_ns"].iloc[-1]))
    if some is None or some.voltage_mv is None:
        raise NotComparableError(f"{found.samples.meter} has no power over these passes of {run}.")
    even = some.start_ns + np.arange(len(some)) * (some.period_ns or 0.0)
    power_uw = some.current_ua * some.voltage_mv / 1e3
    times = even if some.t_ns is None else some.t_ns
    return pd.DataFrame({"t_ns": times, "power_uw": power_uw, "meter": some.meter}), passes


def stretch_table(passes: pd.DataFrame) -> pd.DataFrame:
    """Return passes with their energy as strings."""
    return pd.DataFrame(
        {
            "position": passes["position"].map(units.exact),
            "phase": passes["phase"],
            "took [ms]": ((passes["end_ns"] - passes["begin_ns"]) / 1e6).map(units.significant),
            "mean power [mW]": (passes["mean_power_uw"] / 1e3).map(units.significant),
            "peak power [mW]": (passes["peak_power_uw"] / 1e3).map(units.significant),
            "energy [uJ]": with_interval(passes),
            "samples missing": passes["n_missing"].map(units.exact),
        }
    ).reset_index(drop=True)


def positions(ds: Dataset, runs: pd.DataFrame, *, meter: str = "", voltage_mv: float | None = None) -> pd.DataFrame:
    """Return the decode passes of each group's first generation: ``group``, ``position``, energy and ``meter``."""
    firsts = runs[runs["kind"] == "generate"].groupby("group", sort=False).head(1)
    found = []
    for run_id, group in firsts["group"].items():
        passes = token_energy(ds, str(run_id), meter=meter, voltage_mv=voltage_mv)
        decode = passes.loc[passes["phase"] == "decode", ["position", *ENERGY, "meter"]]
        found.append(decode.assign(group=group))
    return pd.concat(found) if found else pd.DataFrame(columns=["group", "position", *ENERGY, "meter"])


def positions_table(data: pd.DataFrame) -> pd.DataFrame:
    """Return what a plot of :func:`positions` shows, as strings."""
    rows = []
    for name, part in data.groupby("group", sort=False):
        known = part.dropna(subset=["energy_uj"])
        at, energy = known["position"].to_numpy(float), known["energy_uj"].to_numpy(float)
        slope = float(np.polyfit(at, energy, 1)[0]) if len(known) > 1 else float("nan")
        half = (known["energy_high_uj"] - known["energy_uj"]).median()
        rows.append(
            {
                "group": name,
                "passes": units.exact(len(part)),
                "median [mJ]": units.significant(np.median(energy) / 1e3 if len(energy) else None, 4),
                "growth [uJ/position]": units.significant(slope),
                "known to [uJ]": "± " + units.significant(half),
            }
        )
    return pd.DataFrame(rows)


def stage_table(ds: Dataset, run: str, *, meter: str = "", voltage_mv: float | None = None) -> pd.DataFrame:
    """Return the energy of a run's stages as strings, or why it is not known."""
    try:
        stages = stage_energy(ds, run, meter=meter, voltage_mv=voltage_mv)
    except NotComparableError as error:
        return pd.DataFrame([{"stage": "all", "energy [uJ]": units.UNKNOWN, "why not": str(error)}])
    columns = {"energy [uJ]": with_interval(stages), "why not": stages["reason"].fillna("")}
    return pd.DataFrame(columns, index=stages.index).reset_index()


def truth_table(ds: Dataset, runs: pd.DataFrame, *, meter: str = "", voltage_mv: float | None = None) -> pd.DataFrame:
    """Return, as strings, how energy keeps to the truth, where the data set has one: ``truth.csv`` of synthetic power.

    It has ``run_id``, ``position`` (none for ``phase`` ``run``), ``phase`` and ``energy_uj``. A real board has none,
    and the table no row.
    """
    path = Path(ds.path) / _TRUTH
    truth = pd.read_csv(path) if path.exists() else pd.DataFrame({"run_id": [], "phase": [], "energy_uj": []})
    rows = []
    for run_id, exact in truth.groupby("run_id"):
        if run_id not in runs.index:
            continue
        run = runs.loc[str(run_id)]
        found = token_energy(ds, str(run_id), meter=meter, voltage_mv=voltage_mv)
        whole = exact.loc[exact["phase"] == "run", "energy_uj"].iloc[0]
        passes = exact.loc[exact["phase"] != "run", "energy_uj"].to_numpy()
        inside = (found["energy_low_uj"] <= passes) & (passes <= found["energy_high_uj"])
        off = np.abs(found["energy_uj"] / passes - 1).max()
        rows.append(
            {
                "group": run["group"],
                "run": f"{run['kind']} {run['prompt_id']}",
                "truth [uJ]": units.significant(whole, 6),
                "measured [uJ]": with_interval(pd.DataFrame([run[ENERGY]])).iloc[0],
                "off by [%]": f"{100 * (run['energy_uj'] / whole - 1):+.4f}",
                "passes inside of their interval": f"{inside.sum():,} of {len(passes):,}",
                "worst pass off by [%]": units.significant(100 * off),
            }
        )
    return pd.DataFrame(rows)
