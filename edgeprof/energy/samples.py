"""What a meter said: its samples on one clock, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Samples"]

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples of one meter in order of time, none of them made up.

    Attributes
    ----------
    meter : str
        What the meter is called in the table ``power``.
    current_ua : numpy.ndarray of float
        Microamperes, shape (n,); NaN where a sample of an even stream is missing.
    voltage_mv : numpy.ndarray of float or float or None
        Millivolts of the supply: one a sample, one for all, or unknown (then there is charge, and no energy).
    start_ns : float
        When the first sample was, in nanoseconds of the clock that the caller says.
    period_ns : float or None
        From each sample to the next, where they are even; else ``t_ns`` has when each was.
    t_ns : numpy.ndarray of float or None
        When each sample was, shape (n,), increasing; None where they are even.
    """

    meter: str
    current_ua: Float
    voltage_mv: Float | float | None
    start_ns: float
    period_ns: float | None
    t_ns: Float | None = None

    def __len__(self) -> int:
        """Return how many samples there are, missing ones included."""
        return len(self.current_ua)
