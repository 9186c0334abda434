"""Energy out of a data set: of its runs, of a run's passes and stages, wherever a meter measured them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from edgeprof.energy.baseline import MARGIN_NS, Baseline, idle_baseline
from edgeprof.energy.measured import recording_of
from edgeprof.energy.of_run import MeasuredRun, measured_run, passes_of_run
from edgeprof.energy.of_stages import stage_intervals, why_no_place
from edgeprof.energy.per_run import energy_per_run, energy_per_stage, pass_energy
from edgeprof.errors import NotComparableError, UsageError

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["IdlePower", "energy_of", "energy_reasons", "has_power", "run_energy", "stage_energy", "token_energy"]

_INNER = ["sampling_uj", "edges_uj", "rate_uj"]
"""Standard uncertainties, of which the intervals are made."""


def has_power(ds: Dataset) -> bool:
    """Tell whether a data set has any sample of any meter; costs next to nothing where it has none."""
    return any(len(batch) for batch in ds.batches("power", ["meter"]))


def energy_of(
    ds: Dataset, runs: Iterable[str] | None = None, *, meter: str = "", voltage_mv: float | None = None
) -> pd.DataFrame:
    """Return the energy of each run that a meter measured.

    Parameters
    ----------
    ds
        From :func:`edgeprof.open`.
    runs
        Which, by ``run_id``; all by default. One after the other is read, so memory for the samples of one will do.
    meter
        Which meter, where several measured a run.
    voltage_mv
        Millivolts of the supply, where the meter does not say it. Without any there is charge, and no energy.

    Returns
    -------
    pandas.DataFrame
        A row a run, by ``run_id``: what :func:`edgeprof.energy.per_run.energy_per_run` says of it (energies in
        microjoules, each with ``_low_uj`` and ``_high_uj``, the ends of its 95 % interval), ``charge_uc``,
        ``mean_power_uw``, ``peak_power_uw``, ``idle_power_uw``; ``meter``; ``alignment`` (``device``, ``edges`` or
        ``host``), ``alignment_error_us`` and ``rate_ppm``; ``missing_percent`` of the samples; ``reason`` and
        ``net_reason``: why ``energy_uj`` or ``net_uj`` is unknown, where it is. What no meter measured has no row:
        :func:`energy_reasons`.

    Raises
    ------
    UsageError
        No run has such a meter, or the meters say another voltage than the one that was given.
    StorageError
        A table cannot be read.
    """
    if runs is None:  # emulated boards draw no current, and there may be hundreds
        runs = ds.runs.loc[ds.runs["tick_hz"].notna(), "run_id"].astype(str)
    rows, _ = _measured(ds, runs, meter, voltage_mv)
    return pd.DataFrame(rows).set_index("run_id") if rows else _empty()


def energy_reasons(
    ds: Dataset, runs: Iterable[str] | None = None, *, meter: str = "", voltage_mv: float | None = None
) -> pd.Series:
    """Return why runs have no energy, in words, by ``run_id``; parameters and errors as of :func:`energy_of`."""
    rows, reasons = _measured(ds, runs, meter, voltage_mv)
    found = reasons | {row["run_id"]: row["reason"] for row in rows if row["reason"]}
    index = pd.Index(found, name="run_id", dtype="str")
    return pd.Series(list(found.values()), index=index, name="reason", dtype="str").sort_index()


def token_energy(ds: Dataset, run: str | int, *, meter: str = "", voltage_mv: float | None = None) -> pd.DataFrame:
    """Return the energy of each pass of a run.

    Parameters
    ----------
    ds, run, meter, voltage_mv
        As :func:`edgeprof.energy.measured.meter_of` takes them.

    Returns
    -------
    pandas.DataFrame
        A row a pass whose time is known, in order: ``window``, ``position``, ``phase``; ``begin_ns`` and ``end_ns`` on
        the meter's clock; ``energy_uj`` with its 95 % interval ``energy_low_uj`` and ``energy_high_uj``;
        ``charge_uc``, ``mean_power_uw``, ``peak_power_uw``, ``n_samples``, ``n_missing``; ``meter``, ``alignment``.

    Raises
    ------
    UsageError, NotComparableError
        As of :func:`edgeprof.energy.measured.meter_of`.
    """
    found = measured_run(ds, run, meter=meter, voltage_mv=voltage_mv)
    passes = found.timed(passes_of_run(ds, found.run_id))[["window", "position", "phase", "begin_ns", "end_ns"]]
    energy = pass_energy(found.samples, passes, **found.errors()).drop(columns=_INNER)
    return energy.assign(meter=found.samples.meter, alignment=found.alignment.method)


def stage_energy(ds: Dataset, run: str | int, *, meter: str = "", voltage_mv: float | None = None) -> pd.DataFrame:
    """Return the energy of each stage of a generation, where the meter can tell it from its neighbours.

    Parameters, errors: as of :func:`token_energy`; and NotComparableError where no stage was timed.

    Returns
    -------
    pandas.DataFrame
        A row a stage, by ``stage``: ``energy_uj`` of all passes with its interval, ``duration_ns`` in all, ``n``
        passes, ``meter``, ``alignment`` and ``reason``: why its energy is null, where it is.
    """
    found = measured_run(ds, run, meter=meter, voltage_mv=voltage_mv)
    stages = ds.table("stages", ["position", "stage", "ticks"], {"run_id": found.run_id})
    if stages.empty:
        raise NotComparableError(f"{found.run_id} has no stages: its firmware did not time them (`ep_stage`).")
    placed, others = stage_intervals(passes_of_run(ds, found.run_id), stages)
    tick_ns, errors = 1e9 / found.tick_hz, found.errors()
    parts = []
    for _, rows in placed.groupby("stage", sort=False):
        off = float(rows["off_ticks"].mean() + 1) * tick_ns
        parts.append(energy_per_stage(found.samples, found.timed(rows), **errors | {"edge_error_ns": off}))
    without = [
        {"stage": stage, "energy_uj": np.nan, "energy_low_uj": np.nan, "energy_high_uj": np.nan,
         "duration_ns": row["ticks"] * tick_ns, "n": int(row["n"]), "reason": why_no_place(str(stage))}
        for stage, row in others.iterrows() if not any(stage in part.index for part in parts)
    ]  # fmt: skip
    if without:
        parts.append(pd.DataFrame(without).set_index("stage"))
    table = pd.concat(parts).sort_index()
    return table.assign(meter=found.samples.meter, alignment=found.alignment.method)


class IdlePower:
    """The idle power of each capture's boards, worked out once: what it draws between runs is of no single run."""

    def __init__(self, ds: Dataset, meter: str = "", voltage_mv: float | None = None) -> None:
        self._ds, self._meter, self._voltage_mv = ds, meter, voltage_mv
        self._known: dict[tuple[str, int, str], Baseline | str] = {}

    def of(self, found: MeasuredRun) -> Baseline | str:
        """Return what the board of a run draws when idle, or why that is not known."""
        row = self._ds.arrow("runs", ["capture_id", "port"], {"run_id": found.run_id}).to_pylist()[0]
        key = (str(row["capture_id"]), int(row["port"]), found.samples.meter)
        if key not in self._known:
            self._known[key] = self._measure(found.run_id)
        return self._known[key]

    def _measure(self, run_id: str) -> Baseline | str:
        try:
            whole = recording_of(self._ds, run_id, meter=self._meter, voltage_mv=self._voltage_mv)
            margin_ns = max(MARGIN_NS, whole.margin_ns)
            return idle_baseline(whole.samples, whole.begins_ns, whole.ends_ns, margin_ns=margin_ns)
        except NotComparableError as error:
            return str(error)


def run_energy(found: MeasuredRun, passes: pd.DataFrame, idle: Baseline | str) -> dict[str, Any]:
    """Return the row that :func:`energy_of` has of one run.

    Parameters
    ----------
    found
        The run with its meter.
    passes
        Its rows of ``tokens``, with :data:`edgeprof.energy.of_run.PASS_COLUMNS`.
    idle
        Its board's idle power, or why that is not known.
    """
    baseline = None if isinstance(idle, str) else idle
    table = energy_per_run(found.samples, found.passes(passes), baseline=baseline, **found.errors())
    row = {str(name): value for name, value in table.drop(columns=_INNER).iloc[0].items()}
    samples = row["n_samples"] + row["n_missing"]
    reason = found.why_unknown(row["energy_uj"])
    return {"run_id": found.run_id} | row | {
        "idle_power_uw": baseline.power_uw if baseline else np.nan,
        "meter": found.samples.meter, "alignment": found.alignment.method,
        "alignment_error_us": found.alignment.error_us, "rate_ppm": found.alignment.rate_ppm,
        "missing_percent": 100 * row["n_missing"] / samples if samples else np.nan,
        "reason": reason, "net_reason": reason or (idle if isinstance(idle, str) else None),
    }  # fmt: skip


def _measured(
    ds: Dataset, runs: Iterable[str] | None, meter: str, voltage_mv: float | None
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return a row for each run that has one, and for the others why not."""
    wanted = ds.runs["run_id"].astype(str).tolist() if runs is None else list(runs)
    idle = IdlePower(ds, meter, voltage_mv)
    rows: list[dict[str, Any]] = []
    reasons: dict[str, str] = {}
    wrong: UsageError | None = None
    for run_id in wanted:
        try:
            found = measured_run(ds, run_id, meter=meter, voltage_mv=voltage_mv)
            rows.append(run_energy(found, passes_of_run(ds, run_id), idle.of(found)))
        except (NotComparableError, UsageError) as error:
            reasons[run_id] = str(error)
            wrong = wrong or (error if isinstance(error, UsageError) else None)
    if wrong and not rows and (meter or voltage_mv is not None):
        raise wrong
    return rows, reasons


def _empty() -> pd.DataFrame:
    """Return a table without rows that has the columns which every run would have."""
    numbers = ["energy_uj", "energy_low_uj", "energy_high_uj", "net_uj", "generated_token_uj", "charge_uc"]
    words = ["meter", "alignment", "reason", "net_reason"]
    index = pd.Index([], name="run_id", dtype="str")
    return pd.DataFrame({c: pd.Series(dtype="float64") for c in numbers}, index=index).assign(
        **dict.fromkeys(words, "")
    )
