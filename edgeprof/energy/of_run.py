"""One run's passes on its meter's time, and what the alignment leaves unknown of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from edgeprof.energy.align import Alignment
from edgeprof.energy.align_streams import period_of
from edgeprof.energy.measured import meter_of
from edgeprof.energy.per_run import unigram_nll
from edgeprof.energy.samples import Samples

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["PASS_COLUMNS", "MeasuredRun", "measured_run", "passes_of_run"]

PASS_COLUMNS = [
    "run_id", "window", "position", "phase", "next_id", "top1_id", "scored", "nll", "ticks_start", "ticks",
]  # fmt: skip
"""Columns of ``tokens`` that the energy of a run's passes takes."""


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A run that a meter measured.

    Attributes
    ----------
    run_id
        Which run.
    samples, alignment
        As :func:`edgeprof.energy.measured.meter_of` returns them.
    tick_hz
        Ticks of the board a second.
    """

    run_id: str
    samples: Samples
    alignment: Alignment
    tick_hz: float

    def errors(self) -> dict[str, float]:
        """Return what :func:`edgeprof.energy.certainty.stated_energy` takes of the alignment.

        The alignment is off by the same at both edges of a pass; each edge on its own by the tick that it is counted
        in. Where two clocks disagree in their rate either may be right, so all of that counts.
        """
        alignment = self.alignment
        return {
            "error_ns": alignment.error_us * 1e3, "edge_error_ns": 1e9 / self.tick_hz,
            "rate_ppm": abs(alignment.rate_ppm),
        }  # fmt: skip

    def timed(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of ``tokens`` whose time is known, with ``begin_ns`` and ``end_ns`` on the samples' clock."""
        known = rows[rows["ticks_start"].notna() & rows["ticks"].notna()]
        begin, took = (known[name].to_numpy(np.float64) for name in ("ticks_start", "ticks"))
        to_ns = self.alignment.to_meter_ns
        return known.assign(begin_ns=to_ns(begin), end_ns=to_ns(begin + took))

    def passes(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return rows of ``tokens`` as :func:`edgeprof.energy.per_run.energy_per_run` takes them."""
        passes = self.timed(rows)
        scored = passes["scored"].astype("boolean").fillna(False) & passes["next_id"].notna()
        unigram = np.full(len(passes), np.nan)
        unigram[scored] = unigram_nll(passes.loc[scored, "next_id"].to_numpy(np.int64))
        correct = (passes["top1_id"] == passes["next_id"]).astype("boolean")
        return passes.assign(run_id=self.run_id, scored=scored, correct=correct, unigram_nll=unigram)

    def why_unknown(self, energy_uj: float) -> str | None:
        """Return why the energy of the whole run is not known, where it is not."""
        if np.isfinite(energy_uj):
            return None
        if self.samples.voltage_mv is None:
            return (
                f"{self.samples.meter} says no voltage, so there is charge and no energy: import its file with "
                "--voltage-mv, let the board send the voltage, or give voltage_mv="
            )
        return (
            f"{self.samples.meter} did not measure all of {self.run_id}, or more than 5 % of its samples are missing "
            f"({self.alignment.words})"
        )


def measured_run(ds: Dataset, run: str | int, *, meter: str = "", voltage_mv: float | None = None) -> MeasuredRun:
    """Return a run with its meter; parameters and errors as of :func:`edgeprof.energy.measured.meter_of`."""
    run_id = str(ds.run(run).run_id)
    samples, alignment = meter_of(ds, run_id, meter=meter, voltage_mv=voltage_mv)
    if alignment.method == "device":
        samples = _to_either_side(samples)
    tick_hz = ds.arrow("runs", ["tick_hz"], {"run_id": run_id})["tick_hz"][0].as_py()
    return MeasuredRun(run_id, samples, alignment, float(tick_hz))


def _to_either_side(samples: Samples) -> Samples:
    """Return samples that a board took of itself, the first and the last standing for a whole period to either side.

    A run begins up to a period before its first sample, and ends so long behind its last; and a sample is of the time
    before or behind its tick, which the alignment's error has in it.
    """
    period_ns = period_of(samples)
    current, voltage = (
        np.concatenate((v[:1], v, v[-1:])) if isinstance(v, np.ndarray) else v
        for v in (samples.current_ua, samples.voltage_mv)
    )
    times, t_ns = None, samples.t_ns
    if t_ns is not None:
        times = np.concatenate((t_ns[:1] - period_ns, t_ns, t_ns[-1:] + period_ns))
    assert isinstance(current, np.ndarray)
    return Samples(samples.meter, current, voltage, samples.start_ns - period_ns, samples.period_ns, times)


def passes_of_run(ds: Dataset, run_id: str) -> pd.DataFrame:
    """Return the passes of a run in order, with :data:`PASS_COLUMNS`."""
    rows = ds.table("tokens", PASS_COLUMNS, {"run_id": run_id})
    return rows.sort_values(["window", "position"], kind="stable", ignore_index=True)
