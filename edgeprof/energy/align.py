"""A run's ticks on a meter's time, by the best that there is: one clock for both, shared edges, or the host.

``device``: the board sampled itself. ``edges``: a pin that the board toggled and the meter saw. ``host``: both were
timed by the host, which is off by as much as frames are late, and by a second where a file has only a wall clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeprof.clock import ClockFit
from edgeprof.energy.align_lines import EdgeFit

__all__ = ["WALL_CLOCK_US", "Alignment", "by_device", "by_edges", "by_host"]

WALL_CLOCK_US = 1e6
"""How far the wall clocks of two computers may be apart: kept by NTP some milliseconds, set by hand a second."""

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where a run's ticks lie on the time of a meter's samples.

    Attributes
    ----------
    method
        ``device``, ``edges`` or ``host``.
    ticks, meter_ns
        The knots: at these ticks from run begin it was so late by the meter. Two of them are a line.
    rate_ppm
        By how much the board's clock runs fast (positive) against the meter's.
    error_us
        In microseconds, at any tick of the run: the bound of 95 % of such fits by edges; a bound by the sampling period
        of one clock; wide on purpose by the host.
    n_points
        Edges or arrivals that it was made of; 0 where nothing had to be fitted.
    words
        How it was found, and why by nothing better.
    """

    method: str
    ticks: tuple[int, ...]
    meter_ns: tuple[float, ...]
    rate_ppm: float
    error_us: float
    n_points: int
    words: str

    def to_meter_ns(self, ticks: npt.ArrayLike) -> Float:
        """Return the meter's time of ticks from run begin, in nanoseconds; beyond the knots the last slope goes on."""
        line = ClockFit(self.method, self.ticks, self.meter_ns, self.rate_ppm, self.error_us, self.n_points, 0.0)
        return line.to_host_ns(ticks)


def by_device(tick_hz: float, period_ns: float) -> Alignment:
    """Align samples that the board itself took: its nominal clock is the meter's.

    Parameters
    ----------
    tick_hz
        Ticks of the board a second.
    period_ns
        From sample to sample, in nanoseconds: a sample may stand for the time before or behind its tick.
    """
    knots = (0, max(round(tick_hz), 1))
    words = "the board sampled itself, on the clock of its tokens"
    return Alignment("device", knots, (0.0, knots[1] * 1e9 / tick_hz), 0.0, period_ns / 1e3, 0, words)


def by_edges(fit: EdgeFit, tick_hz: float, last_tick: int, words: str) -> Alignment:
    """Align by edges that were matched on the board's nominal nanoseconds.

    Parameters
    ----------
    fit
        Of :func:`edgeprof.energy.align_edges.match_edges`.
    tick_hz
        Ticks of the board a second.
    last_tick
        Of the run: where the line's second knot is.
    words
        Which edges.
    """
    knots = (0, max(last_tick, 1))
    meter_ns = (fit.begin_ns, fit.begin_ns + fit.rate * knots[1] * 1e9 / tick_hz)
    said = f"{fit.matched} of {fit.seen} edges match, {words}; residuals of {fit.rms_ns / 1e3:.3g} us rms"
    # More of the meter's nanoseconds in one of the board's: the board is slow.
    return Alignment("edges", knots, meter_ns, (1 / fit.rate - 1) * 1e6, fit.error_ns / 1e3, fit.matched, said)


def by_host(run: ClockFit, offset_ns: float, more_error_us: float, words: str) -> Alignment:
    """Align by the host's time.

    Parameters
    ----------
    run
        The run's ticks on the host's time, of :func:`edgeprof.energy.align_host.fit_arrivals`.
    offset_ns
        The meter's time at the host's 0.
    more_error_us
        Of the meter's side, in microseconds; what the run's fit has comes on top of it.
    words
        What timed the meter, and why there is nothing better.
    """
    meter_ns = tuple(ns + offset_ns for ns in run.host_ns)
    return Alignment("host", run.ticks, meter_ns, run.rate_ppm, run.error_us + more_error_us, run.n_points, words)
