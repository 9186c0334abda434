"""A meter's rows as samples on one clock: a file's on its own, a meter board's on the host's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgeprof.clock import ClockFit
from edgeprof.energy.align_host import fit_arrivals, stream_index
from edgeprof.energy.align_runs import BoardRun
from edgeprof.energy.align_samples import supply, whole_stream
from edgeprof.energy.align_sources import MeterSource, PowerRows, lost_frames, power_rows
from edgeprof.energy.samples import Samples
from edgeprof.errors import NotComparableError

if TYPE_CHECKING:
    from edgeprof.store import Dataset

__all__ = ["as_samples", "board_samples", "file_samples", "host_samples", "period_of"]

Float = npt.NDArray[np.float64]


def host_samples(ds: Dataset, source: MeterSource, voltage_mv: float | None) -> tuple[Samples, ClockFit]:
    """Place a stream that the board sent on the host's time: even, and from below all arrivals."""
    rows = power_rows(ds, source)
    order = np.argsort(rows.t_host_ns, kind="stable")
    at = rows.t_host_ns[order]
    index = stream_index(at, lost_frames(ds, source))
    last = np.append(np.diff(at) > 0, True)  # a frame was sent behind its last sample
    if last.sum() < 2:
        raise NotComparableError(f"{source.name} sent one frame: when its samples were is not known.")
    rate_hz = float(np.ptp(index[last])) / float(np.ptp(at)) * 1e9
    fit = fit_arrivals(index[last], at[last], rate_hz)
    rows = PowerRows(rows.ticks[order], at, rows.current_ua[order], rows.voltage_mv[order])
    return as_samples(source, fit.to_host_ns(index), rows, np.ones(len(at), bool), voltage_mv), fit


def board_samples(
    ds: Dataset, source: MeterSource, runs: Sequence[BoardRun], fits: Sequence[ClockFit], voltage_mv: float | None
) -> Samples:
    """Place what a board sampled of itself on the host's time: in runs by their ticks, between them by arrival.

    Raises
    ------
    NotComparableError
        It sampled itself in none of these runs.
    """
    rows = power_rows(ds, source)
    order = np.argsort(rows.t_host_ns, kind="stable")
    ticks, at = rows.ticks[order], rows.t_host_ns[order]
    known = ~np.isnan(ticks)
    if known.sum() < 2:
        raise NotComparableError(f"{source.name} has no samples in runs, so how far they are apart is not known.")
    period_ns = float(np.nanmedian(np.diff(ticks))) * 1e9 / runs[0].tick_hz
    begins = np.array([float(fit.to_host_ns(0)) for fit in fits])
    last = np.append(np.diff(at) > 0, True)
    t_ns = at.astype(np.float64)
    for part in np.split(np.arange(len(at)), np.flatnonzero((np.diff(ticks) < 0) | (np.diff(known) != 0)) + 1):
        if known[part[0]]:
            run = max(int(np.searchsorted(begins, np.median(at[part]))) - 1, 0)
            t_ns[part] = fits[run].to_host_ns(ticks[part])
        else:
            since = np.arange(len(part)) * period_ns
            t_ns[part] = np.min((at[part] - since)[last[part]]) + since
    rows = PowerRows(ticks, at, rows.current_ua[order], rows.voltage_mv[order])
    return as_samples(source, t_ns, rows, np.ones(len(at), bool), voltage_mv)


def file_samples(source: MeterSource, rows: PowerRows, voltage_mv: float | None) -> Samples:
    """Return a file's rows on its own time."""
    every = np.ones(len(rows.t_host_ns), bool)
    return as_samples(source, rows.t_host_ns.astype(np.float64), rows, every, voltage_mv)


def as_samples(
    source: MeterSource, t_ns: Float, rows: PowerRows, kept: npt.NDArray[np.bool_], voltage_mv: float | None
) -> Samples:
    """Return rows as samples; a row without a current is a sample that is missing."""
    there = ~np.isnan(rows.current_ua[kept])
    voltage = supply(source.name, rows.voltage_mv[kept][there], voltage_mv)
    rate = source.settings.get("rate_hz")
    period = 1e9 / float(rate) if rate else None
    return whole_stream(source.meter, t_ns[there], rows.current_ua[kept][there], voltage, period)


def period_of(samples: Samples) -> float:
    """Return the nanoseconds from sample to sample; of an uneven stream their median."""
    if samples.t_ns is not None:
        return float(np.median(np.diff(samples.t_ns)))
    assert samples.period_ns is not None
    return samples.period_ns
