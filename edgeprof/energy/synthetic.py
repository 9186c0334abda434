"""Synthetic power whose integral is known in closed form, and a synthetic meter that samples it.

What measures energy is tried against these. They are of no board: data made of them must be called synthetic wherever
they stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeprof.energy.samples import Samples

__all__ = ["Ramp", "Sine", "Steps", "Waveform", "bursts", "sampled", "truth_uj"]

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Steps:
    """A current of ``levels_ua[i]`` from ``edges_ns[i]`` to ``edges_ns[i + 1]``; so it was before and will be after."""

    edges_ns: Float
    levels_ua: Float

    def at(self, t_ns: Float) -> Float:
        """Return the current in microamperes."""
        found: Float = self.levels_ua[self._piece(t_ns)]
        return found

    def integral(self, t_ns: Float) -> Float:
        """Return the integral from the first edge, in microamperes times nanoseconds."""
        piece = self._piece(t_ns)
        whole = np.append(0.0, np.cumsum(self.levels_ua[:-1] * np.diff(self.edges_ns)))
        found: Float = whole[piece] + (t_ns - self.edges_ns[piece]) * self.levels_ua[piece]
        return found

    def _piece(self, t_ns: Float) -> npt.NDArray[np.intp]:
        return np.clip(np.searchsorted(self.edges_ns, t_ns, side="right") - 1, 0, len(self.edges_ns) - 1)


def bursts(starts_ns: Float, width_ns: float, height_ua: float) -> Steps:
    """Return bursts of one width and height, later than time zero and further apart than they are wide."""
    edges = np.stack((starts_ns, starts_ns + width_ns), axis=1).ravel()
    levels = np.tile([height_ua, 0.0], len(starts_ns))
    return Steps(np.append(0.0, edges), np.append(0.0, levels))


@dataclass(frozen=True, slots=True)
class Ramp:
    """A current that rises from ``low_ua`` to ``high_ua`` within each ``period_ns``, and falls back at once."""

    low_ua: float
    high_ua: float
    period_ns: float

    def at(self, t_ns: Float) -> Float:
        """Return the current in microamperes."""
        found: Float = self.low_ua + (self.high_ua - self.low_ua) * np.mod(t_ns / self.period_ns, 1.0)
        return found

    def integral(self, t_ns: Float) -> Float:
        """Return the integral from time zero, in microamperes times nanoseconds."""
        whole, part = np.divmod(t_ns / self.period_ns, 1.0)
        risen = self.period_ns * (whole + part**2) / 2
        found: Float = self.low_ua * t_ns + (self.high_ua - self.low_ua) * risen
        return found


@dataclass(frozen=True, slots=True)
class Sine:
    """A current of ``mean_ua + swing_ua sin(2 pi t / period_ns + phase)``."""

    mean_ua: float
    swing_ua: float
    period_ns: float
    phase: float = 0.0

    def at(self, t_ns: Float) -> Float:
        """Return the current in microamperes."""
        found: Float = self.mean_ua + self.swing_ua * np.sin(2 * np.pi * t_ns / self.period_ns + self.phase)
        return found

    def integral(self, t_ns: Float) -> Float:
        """Return the integral from time zero, in microamperes times nanoseconds."""
        turn = 2 * np.pi / self.period_ns
        found: Float = self.mean_ua * t_ns + self.swing_ua / turn * (
            np.cos(self.phase) - np.cos(turn * t_ns + self.phase)
        )
        return found


Waveform = Steps | Ramp | Sine


def truth_uj(waves: Sequence[Waveform], voltage_mv: float, begins_ns: Float, ends_ns: Float) -> Float:
    """Return the exact energy in microjoules of intervals of a sum of currents, shape (m,)."""
    total = sum(wave.integral(ends_ns) - wave.integral(begins_ns) for wave in waves)
    return np.asarray(total, np.float64) * voltage_mv * 1e-12


def sampled(
    waves: Sequence[Waveform], *, begin_ns: float, end_ns: float, period_ns: float, seed: int,
    voltage_mv: float = 3300.0, drift_ppm: float = 0.0, jitter_ns: float = 0.0, missing: float = 0.0,
    noise_ua: float = 0.0, averages: bool = False, times: bool = False,
) -> tuple[Samples, Float]:  # fmt: skip
    """Sample a sum of currents as a meter with a clock of its own does.

    Parameters
    ----------
    waves
        Their sum is the current.
    begin_ns, end_ns
        From when to when, in true time.
    period_ns
        The nominal period. The meter's own is longer by ``drift_ppm`` parts per million.
    seed
        Of jitter, noise and what is missing.
    voltage_mv
        Of the supply.
    jitter_ns
        Standard deviation of each sample's time around the clock's.
    missing
        The share of samples that is lost, at random. Of an even stream they are NaN.
    noise_ua
        Standard deviation of the meter's noise.
    averages
        Each sample is the mean over the period around its time, rather than the current at it.
    times
        Say when each sample was by the meter's clock, as of an uneven stream; the jitter is then in the times.

    Returns
    -------
    tuple of Samples and ndarray
        The samples, on the meter's nominal clock, and the true time of each that is there.
    """
    rng = np.random.default_rng(seed)
    rate = 1 + drift_ppm * 1e-6
    count = int((end_ns - begin_ns) / (period_ns * rate))
    nominal = np.arange(count) * period_ns
    off = rng.normal(0.0, jitter_ns, count) if jitter_ns else np.zeros(count)
    true = begin_ns + nominal * rate + off
    if averages:
        half = period_ns * rate / 2
        sums = [(wave.integral(true + half) - wave.integral(true - half)) / (2 * half) for wave in waves]
    else:
        sums = [wave.at(true) for wave in waves]
    current = np.sum(sums, axis=0) + (rng.normal(0.0, noise_ua, count) if noise_ua else 0.0)
    lost = rng.random(count) < missing
    if times:
        said = (begin_ns + nominal + off)[~lost]
        return Samples("synthetic", current[~lost], voltage_mv, float(said[0]), None, said), true[~lost]
    current[lost] = np.nan
    return Samples("synthetic", current, voltage_mv, begin_ns, period_ns), true
