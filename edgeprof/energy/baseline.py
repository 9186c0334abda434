"""What the board takes when it does nothing, measured in the same capture; and energy net of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from edgeprof.energy.certainty import LEVEL
from edgeprof.energy.integrals import Float, intervals
from edgeprof.energy.kernels import energy_integrals, interval_energy
from edgeprof.energy.stretches import Source
from edgeprof.errors import NotComparableError

__all__ = ["Baseline", "idle_baseline", "idle_stretches", "net_energy"]

LEAST_IDLE_NS = 100e6
"""A tenth of a second: several times of the ticks that wake a board that has nothing to do."""
MARGIN_NS = 10e6
"""So long after a run, and before the next, the board is not taken to be idle: it still talks."""
PARTS = 20
LEAST_PARTS = 6
LEAST_PERIODS = 10


@dataclass(frozen=True, slots=True)
class Baseline:
    """Mean idle power in microwatts, half of its interval of :data:`LEVEL`, and how much idle time it is from."""

    power_uw: float
    error_uw: float
    idle_ns: float
    n_stretches: int


def idle_stretches(
    begin_ns: float, end_ns: float, begins_ns: npt.ArrayLike, ends_ns: npt.ArrayLike, margin_ns: float = MARGIN_NS
) -> tuple[Float, Float]:
    """Return begins and ends of what is between runs, margins left out, within [begin, end).

    Parameters
    ----------
    begin_ns, end_ns
        From when to when there are samples.
    begins_ns, ends_ns
        Of the runs, shape (m,), in any order; they may overlap.
    margin_ns
        What is left out after a run and before the next. At the ends of the samples nothing is.
    """
    begins, ends = intervals(begins_ns, ends_ns)
    order = np.argsort(begins)
    idle_from = np.append(begin_ns, np.maximum.accumulate(ends[order]) + margin_ns)
    idle_to = np.append(begins[order] - margin_ns, end_ns)
    idle_from, idle_to = np.maximum(idle_from, begin_ns), np.minimum(idle_to, end_ns)
    some = idle_to > idle_from
    return idle_from[some], idle_to[some]


def idle_baseline(
    samples: Source, begins_ns: npt.ArrayLike, ends_ns: npt.ArrayLike, *, margin_ns: float = MARGIN_NS
) -> Baseline:
    """Measure the idle power between runs.

    Parameters
    ----------
    samples
        All samples of the capture, or what reads them.
    begins_ns, ends_ns
        Of the runs, shape (m,), on the samples' clock.
    margin_ns
        What is left out next to a run; it should be longer than the alignment's error.

    Raises
    ------
    NotComparableError
        No idle stretch is long enough, too much of it is missing, or there is no voltage.

    Notes
    -----
    Idle time is cut into some :data:`PARTS` parts of one length. Their means make a Student interval; in parts much
    longer than a sample the noise of neighbours has averaged out (batch means: B. Schmeiser, "Batch size effects
    in the analysis of simulation output", Operations Research 30, 1982).
    """
    nothing = np.zeros(0)
    whole = energy_integrals(samples, nothing, nothing)
    if whole.values and "energy" not in whole.values:
        raise NotComparableError("Idle power needs a voltage, which these samples do not have; say which it was.")
    begin, end = idle_stretches(whole.begin_ns, whole.end_ns, begins_ns, ends_ns, margin_ns)
    long = end - begin >= max(LEAST_IDLE_NS, LEAST_PARTS * LEAST_PERIODS * whole.period_ns)
    if not long.any():
        longest = float(np.max(end - begin, initial=0.0)) / 1e6
        raise NotComparableError(
            f"Net energy needs {LEAST_IDLE_NS / 1e6:.0f} ms or more between runs in which the board is idle; the "
            f"longest here has {longest:.0f} ms. Let the meter run before the first run and after the last."
        )
    begin, end = begin[long], end[long]
    part_ns = max(float(np.sum(end - begin)) / PARTS, LEAST_PERIODS * whole.period_ns)
    part_ns = min(part_ns, float(np.max(end - begin)) / LEAST_PARTS)
    counts = ((end - begin) // part_ns).astype(int)
    starts = np.concatenate([b + part_ns * np.arange(n) for b, n in zip(begin, counts, strict=True)])
    power = interval_energy(samples, starts, starts + part_ns).mean_power_uw
    power = power[np.isfinite(power)]
    if len(power) < LEAST_PARTS:
        raise NotComparableError(
            f"Net energy needs idle power in {LEAST_PARTS} parts of the idle time; of {len(starts)} only {len(power)} "
            "were measured, and in the others too many samples are missing."
        )
    error = float(scipy.special.stdtrit(len(power) - 1, (1 + LEVEL) / 2) * np.std(power, ddof=1) / np.sqrt(len(power)))
    return Baseline(float(np.mean(power)), error, part_ns * len(power), len(begin))


def net_energy(energy_uj: Float, error_uj: Float, duration_ns: Float, baseline: Baseline) -> tuple[Float, Float]:
    """Return the energy less what idling would have taken, and half of its interval; in microjoules, shape (m,).

    The baseline's error is the same for all intervals, and is added to each one's own as squares.
    """
    seconds = duration_ns * 1e-9
    return energy_uj - baseline.power_uw * seconds, np.hypot(error_uj, baseline.error_uw * seconds)
