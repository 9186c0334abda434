"""Energy and charge of intervals, from a meter's samples: a running total, and arithmetic at the edges.

An even sample stands for one period around its time; between uneven ones there are lines. What power did between two
samples nobody saw: :mod:`edgeprof.energy.certainty` says how much that can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import numpy.typing as npt

from edgeprof.energy.integrals import Cells, Float, Integrals, Lines, Piece, Walk, integrate, intervals
from edgeprof.energy.stretches import LONGEST_STEP, Source, Stretch, stretches

__all__ = ["MOST_MISSING", "IntervalEnergy", "energy_integrals", "interval_energy", "peak_power"]

MOST_MISSING = 0.05
"""The share of an interval that may be missing; where it is more its energy is unknown."""


@dataclass(frozen=True)
class IntervalEnergy:
    """What each interval took; arrays of shape (m,), NaN where it is unknown.

    Attributes
    ----------
    energy_uj : numpy.ndarray of float
        Microjoules: the integral of current times voltage. NaN for an interval that is not within the samples, or of
        which more than :data:`MOST_MISSING` is missing, or where there is no voltage.
    charge_uc : numpy.ndarray of float
        Microcoulombs: the integral of the current.
    duration_ns : numpy.ndarray of float
        How long it is.
    missing : numpy.ndarray of float or None
        How many samples' time of it was not measured, and stood in for by the line between its neighbours; None
        where nothing is missing.
    period_ns : float
        From one sample to the next.
    """

    energy_uj: Float
    charge_uc: Float
    duration_ns: Float
    missing: Float | None
    period_ns: float

    @property
    def n_missing(self) -> Float:
        """How many samples' time was not measured."""
        return np.zeros(len(self.duration_ns)) if self.missing is None else self.missing

    @cached_property
    def n_samples(self) -> Float:
        """How many samples' time was measured; a sample that an edge cuts counts by its part."""
        return self.duration_ns / self.period_ns - self.n_missing

    @cached_property
    def mean_power_uw(self) -> Float:
        """Microwatts, over the interval; NaN for one without duration."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.duration_ns > 0, self.energy_uj / self.duration_ns * 1e9, np.nan)


def interval_energy(samples: Source, begins_ns: npt.ArrayLike, ends_ns: npt.ArrayLike) -> IntervalEnergy:
    """Return energy and charge of the intervals [begin, end).

    Parameters
    ----------
    samples
        A meter's samples, or what reads them partition by partition: memory for one of them is enough.
    begins_ns, ends_ns
        Of the intervals, shape (m,), on the samples' clock. Any order will do and they may overlap; ordered is fastest.

    Raises
    ------
    UsageError
        An interval ends before it begins; partitions are not in order of time.

    Notes
    -----
    For even samples x_k at t_0 + k p the total at time t is C(t) = p (x_0 + … + x_(k-1) + f x_k) with k + f =
    (t - t_0) / p + 1/2, and an interval has C(end) - C(begin). Uneven samples: the trapezoidal rule. Totals begin anew
    every 65,536 samples, so that no digit is lost to the length of a recording.
    """
    begins, ends = intervals(begins_ns, ends_ns)
    found = energy_integrals(samples, begins, ends)
    duration = ends - begins
    missing = found.values.get("missing")
    energy, charge = (
        found.values[n] if n in found.values else np.full(len(begins), np.nan) for n in ("energy", "charge")
    )
    out = IntervalEnergy(energy, charge, duration, missing, found.period_ns)
    for values, unit in ((out.energy_uj, 1e-12), (out.charge_uc, 1e-9)):
        values *= unit
        if missing is not None:
            values[missing * found.period_ns > MOST_MISSING * duration] = np.nan
    return out


def energy_integrals(samples: Source, begins: Float, ends: Float, *, clip: bool = False) -> Integrals:
    """Integrate ``charge`` in uA ns, ``energy`` in nW ns and ``missing`` in samples, where there are any.

    Notes
    -----
    A voltage that is one for all costs no second running total: summed up is only what other voltages add to it.
    """
    stream = stretches(samples)
    first = next(stream, None)
    if first is None:
        return integrate([], begins, ends)
    base_mv = float(first.voltage_mv) if isinstance(first.voltage_mv, (int, float)) else 0.0
    found = integrate((_piece(stretch, base_mv) for stretch in chain([first], stream)), begins, ends, clip=clip)
    if first.voltage_mv is not None:
        more = found.values.get("more", 0.0)
        found.values["energy"] = found.values["charge"] * base_mv
        found.values["energy"] += more
    return found


def _piece(stretch: Stretch, base_mv: float) -> Piece:
    columns, outputs = [stretch.current_ua], {"charge": (0, 1.0)}
    if isinstance(stretch.voltage_mv, np.ndarray):
        outputs["more"] = (len(columns), 1.0)
        columns.append(stretch.current_ua * (stretch.voltage_mv - base_mv))
    elif stretch.voltage_mv is not None and stretch.voltage_mv != base_mv:
        outputs["more"] = (0, stretch.voltage_mv - base_mv)
    lost = _missing(stretch)
    if lost is not None:
        outputs["missing"] = (len(columns), 1 / stretch.period_ns)
        columns.append(lost)
    if stretch.t_ns is None:
        return Cells(stretch.begin_ns, stretch.period_ns, tuple(columns), outputs)
    return Lines(stretch.t_ns, stretch.period_ns, tuple(columns), outputs)


def _missing(stretch: Stretch) -> Float | None:
    """Return the share of each cell or step that was not measured; None where all was."""
    if stretch.t_ns is None:
        return None if stretch.filled is None else stretch.filled.astype(np.float64)
    steps = np.diff(stretch.t_ns) / stretch.period_ns
    return np.where(steps > LONGEST_STEP, 1 - 1 / steps, 0.0) if np.any(steps > LONGEST_STEP) else None


def peak_power(samples: Source, begins_ns: npt.ArrayLike, ends_ns: npt.ArrayLike) -> Float:
    """Return the highest power of a sample in each interval, in microwatts, shape (m,); NaN where none is known.

    A sample counts where its cell, or of uneven samples its moment, is in the interval.
    """
    begins, ends = intervals(begins_ns, ends_ns)
    out = np.full(len(begins), -np.inf)
    walk, begin_ns, end_ns = Walk(begins, ends), np.inf, -np.inf
    for stretch in stretches(samples):
        if stretch.voltage_mv is None:
            break
        begin_ns, end_ns = min(begin_ns, stretch.begin_ns), stretch.end_ns
        walk.step(end_ns)
        first, last = (_place(stretch, times[walk.touching], up) for times, up in ((begins, False), (ends, True)))
        values, some = np.append(stretch.power_nw(), -np.inf), last > first
        # Pairs of begin and end: every second maximum is of an interval, the others of what lies between two.
        pairs = np.stack((first[some], last[some]), axis=1).ravel()
        if len(pairs):
            which = _indices(walk.touching)[some]
            out[which] = np.maximum(out[which], np.maximum.reduceat(values, pairs)[::2])
    out[(begins < begin_ns) | (ends > end_ns) | np.isinf(out)] = np.nan
    return out / 1e3


def _indices(which: slice | npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    return np.arange(which.start, which.stop) if isinstance(which, slice) else which


def _place(stretch: Stretch, times: Float, up: bool) -> npt.NDArray[np.intp]:
    """Return the first sample that is in an interval from these times on, or (``up``) the first that is after it."""
    if stretch.t_ns is not None:
        return np.searchsorted(stretch.t_ns, times)
    place = (times - stretch.begin_ns) / stretch.period_ns
    return np.clip(np.ceil(place) if up else np.floor(place), 0, len(stretch.current_ua)).astype(np.intp)
