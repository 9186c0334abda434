"""How well an interval's energy is known: between which two values it lies, 19 times of 20.

Four things are unknown, and each has a standard uncertainty, in the sense of the "Guide to the expression of
uncertainty in measurement" (JCGM 100:2008). A limit a to either side counts as a / sqrt(3) (4.3.7), they add up as
squares (5.1.2), and the interval is 1.96 of the sum to either side (6.2).

*Between the samples*, a step of height d in the power, at any place between two samples that are h apart, leaves an
integral that is off by up to h d / 2: variance h^2 d^2 / 12. For one that wanders by D nW^2/ns between samples it is
D h^3 / 12, the variance of a Brownian bridge's integral, which is what the trapezoidal rule leaves (J. Traub, G.
Wasilkowski, H. Wozniakowski, "Information-Based Complexity", 1988, on the Wiener measure). Both are the same where
samples are even; where some are missing h is the gap, and the larger one counts.

*What is over before the next sample* (bursts that are shorter than a period, noise of the meter) shows as a step that
the next one takes back. The mean of -d_k d_(k+1) is its variance, and zero for what is smooth (R. Roll, "A simple
implicit measure of the effective bid-ask spread", Journal of Finance 39, 1984). Each sample is off by that much.

An interval in which no burst was sampled may have had one. So for both, the mean over all intervals is taken where an
interval's own is smaller.

*Edges*: where both are off by the same (a clock's alignment), what the interval gains at one end it loses at the
other, but for the difference of the power there; where each is off on its own (edges seen on a grid of samples), all
of the power counts. The power is the mean over as long as the edges may be off.

*The clock's rate*: energy is in proportion to it.

What cannot be seen: bursts in step with the samples, always hit or always missed; the meter's own gain and offset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeprof.energy.integrals import Cells, Float, Lines, Piece, integrate, intervals
from edgeprof.energy.kernels import IntervalEnergy, energy_integrals, interval_energy
from edgeprof.energy.stretches import LONGEST_STEP, Source, Stretch, stretches
from edgeprof.errors import UsageError

__all__ = ["LEVEL", "StatedEnergy", "stated_energy"]

LEVEL = 0.95
"""How often the truth is between the two values."""
COVERAGE_FACTOR = 1.959964
"""So many standard uncertainties to either side hold that much of a normal distribution."""
_WAYS = 8
"""At so many places on the way from an edge to where it may be is looked."""


@dataclass(frozen=True)
class StatedEnergy:
    """Energy of intervals, and between which two values it lies with probability :data:`LEVEL`; shapes (m,).

    Attributes
    ----------
    intervals : IntervalEnergy
        Energy, charge and what else is known of each.
    error_uj : numpy.ndarray of float
        Half of the interval, in microjoules; NaN where the energy is unknown.
    sampling_uj, edges_uj, rate_uj : numpy.ndarray of float
        The standard uncertainties that it is made of: between the samples, at the edges, of the clock's rate.
    """

    intervals: IntervalEnergy
    error_uj: Float
    sampling_uj: Float
    edges_uj: Float
    rate_uj: Float

    @property
    def energy_uj(self) -> Float:
        """Microjoules."""
        return self.intervals.energy_uj

    @property
    def energy_low_uj(self) -> Float:
        """The lower end."""
        return self.energy_uj - self.error_uj

    @property
    def energy_high_uj(self) -> Float:
        """The upper end."""
        return self.energy_uj + self.error_uj


def stated_energy(
    samples: Source, begins_ns: npt.ArrayLike, ends_ns: npt.ArrayLike, *, error_ns: float = 0.0,
    edge_error_ns: float = 0.0, rate_ppm: float = 0.0,
) -> StatedEnergy:  # fmt: skip
    """Return the energy of the intervals [begin, end) and how well it is known.

    Parameters
    ----------
    samples
        A meter's samples, or what reads them partition by partition: it is asked for them anew, six times, and up to
        thirty-four times where an edge may be off by many samples.
    begins_ns, ends_ns
        Of the intervals, shape (m,), on the samples' clock. They should be of one kind (tokens, or runs): what happens
        between the samples is learned from all of them together.
    error_ns
        By how much all edges may be early or late together: the error of the alignment.
    edge_error_ns
        By how much each edge may be early or late on its own.
    rate_ppm
        By how much the rate of the samples' clock may be off, in parts per million.

    Raises
    ------
    UsageError
        An interval ends before it begins, an error is negative, or partitions are not in order.
    """
    for name, value in (("error_ns", error_ns), ("edge_error_ns", edge_error_ns), ("rate_ppm", rate_ppm)):
        if not 0 <= value < np.inf:
            raise UsageError(f"{name} is a limit to either side: zero or more, and not {value}.")
    begins, ends = intervals(begins_ns, ends_ns)
    found = interval_energy(samples, begins, ends)
    sampling = _sampling_uj(samples, begins, ends, found.period_ns)
    edges = _edges_uj(samples, begins, ends, error_ns, edge_error_ns, found.period_ns)
    rate = np.abs(found.energy_uj) * (rate_ppm * 1e-6 / np.sqrt(3))
    error = COVERAGE_FACTOR * np.sqrt(sampling**2 + edges**2 + rate**2)
    error[np.isnan(found.energy_uj)] = np.nan
    return StatedEnergy(found, error, sampling, edges, rate)


def _sampling_uj(samples: Source, begins: Float, ends: Float, period_ns: float) -> Float:
    """Return the standard uncertainty of what happened between the samples."""
    # A step that lies across an edge counts in full, so each edge moves outwards by a period.
    found = integrate(_variations(samples), begins - period_ns, ends + period_ns, clip=True)
    if not found.values:
        return np.zeros(len(begins))  # a single sample, and no interval within it
    step, rough, squares, cube = (found.values[name] for name in ("step", "rough", "squares", "cube"))
    time = np.minimum(ends + period_ns, found.end_ns) - np.maximum(begins - period_ns, found.begin_ns)
    known = time > 0
    whole = float(np.sum(time, where=known)) or np.inf
    wander, noise = (float(np.sum(of, where=known)) / whole for of in (squares, rough))
    variance = np.maximum(step, wander * cube) + np.maximum(np.maximum(rough, noise * time), 0.0)
    out: Float = np.sqrt(variance) * 1e-12
    return out


def _edges_uj(
    samples: Source, begins: Float, ends: Float, error_ns: float, edge_error_ns: float, period_ns: float
) -> Float:
    """Return the standard uncertainty of where the interval begins and ends.

    Moved by all of ``error_ns`` an interval may be within the next run, and cost the same again: moved by half of it,
    it is idle. So the largest difference of several ways there counts, where the way is longer than a period.
    """
    reach = max(error_ns, edge_error_ns)
    if reach == 0:
        return np.zeros(len(begins))
    parts = int(np.clip(reach / period_ns, 1, _WAYS)) if period_ns > 0 else 1
    together, alone = np.zeros(len(begins)), [np.zeros(len(begins)), np.zeros(len(begins))]
    for side in (-1, 1):
        moved = [np.zeros(len(begins)), np.zeros(len(begins))]  # of begin and end: the energy on the way
        for part in range(parts):
            near, far = (side * reach * k / parts for k in (part, part + 1))
            for edge, times in zip(moved, (begins, ends), strict=True):
                edge += _around_uj(samples, times + min(near, far), times + max(near, far))
            np.maximum(together, np.abs(moved[1] - moved[0]), out=together)
        alone = [np.maximum(most, np.abs(edge)) for most, edge in zip(alone, moved, strict=True)]
    together *= error_ns / reach
    out: Float = np.hypot(together, np.hypot(*alone) * (edge_error_ns / reach)) / np.sqrt(3)
    return out


def _around_uj(samples: Source, begins: Float, ends: Float) -> Float:
    """Return the energy of what lies within the samples."""
    found = energy_integrals(samples, begins, ends, clip=True).values.get("energy")
    return np.zeros(len(begins)) if found is None else found * 1e-12


def _variations(samples: Source) -> Iterator[Piece]:
    """Return what the variance is summed up from, a step from one sample to the next in place of each sample.

    Outputs: ``step`` in nW^2 ns^2, h^2 d^2 / 12; ``rough`` in nW^2 ns^2, -d d' h^2; ``squares`` in nW^2, d^2; ``cube``
    in ns^3, h^3 / 12.
    """
    last_power: Float | None = None
    last_step = 0.0
    for stretch in stretches(samples):
        power = stretch.power_nw()
        if stretch.t_ns is not None:
            steps, width = np.diff(power), np.diff(stretch.t_ns)
            gap = width > LONGEST_STEP * stretch.period_ns
            rough = _taken_back(steps, last_step, gap) * stretch.period_ns
            columns = (width * steps**2 / 12, rough, steps**2 / width, width**2 / 12)
            outputs = {"step": (0, 1.0), "rough": (1, 1.0), "squares": (2, 1.0), "cube": (3, 1.0)}
            yield Lines(stretch.t_ns, stretch.period_ns, columns, outputs)
        else:
            steps = np.diff(power) if last_power is None else np.diff(power, prepend=last_power)
            ahead, period = (0.5 if last_power is None else -0.5), stretch.period_ns
            last_power = power[-1:]
            if not len(steps):
                continue
            h = _gaps(stretch, len(steps))
            gap = h > 1
            cells = (h**3 * steps**2, _taken_back(steps, last_step, gap), h * steps**2, h**2)
            outputs = {
                "step": (0, period / 12),
                "rough": (1, period),
                "squares": (2, 1 / period),
                "cube": (3, period**2 / 12),
            }
            yield Cells(stretch.begin_ns + ahead * period, period, cells, outputs)
        last_step = 0.0 if gap[-1] else float(steps[-1])


def _taken_back(steps: Float, before: float, gap: npt.NDArray[np.bool_]) -> Float:
    """Return minus the product of each step and the one before it; zero next to a gap."""
    out: Float = -steps * np.append(before, steps[:-1])
    out[gap | np.append(False, gap[:-1])] = 0.0
    return out


def _gaps(stretch: Stretch, count: int) -> Float:
    """Return, for each step, how many periods the two measured samples around it are apart."""
    if stretch.filled is None:
        return np.ones(count)
    # Steps between the same two measured samples have as many of these before them.
    group = np.cumsum(np.append(1, ~stretch.filled[:-1]))[-count:]
    out: Float = np.bincount(group)[group].astype(np.float64)
    return out
