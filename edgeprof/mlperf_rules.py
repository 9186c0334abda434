"""MLPerf Tiny's rules for performance: which windows count, and what comes of them. No port, no file.

A device prints two time stamps, one before the inferences of a window and one behind them, in microseconds of a counter
that may be 32 bits wide and then begins anew every 71.6 minutes.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from edgeprof.errors import NotComparableError

__all__ = ["LEAST_WINDOW_US", "WINDOWS", "WRAP_US", "Window", "elapsed_us", "inferences_s", "median_inferences_s"]

WINDOWS = 5
LEAST_WINDOW_US = 10_000_000
WRAP_US = 1 << 32


@dataclass(frozen=True, slots=True)
class Window:
    """So many inferences, and how long they took by the device's own clock."""

    inferences: int
    window_us: int


def elapsed_us(begin_us: int, end_us: int) -> int | None:
    """Return the microseconds between two time stamps; None where they contradict each other.

    A counter of 32 bits that began anew in between is known by its second stamp being the smaller one. A window of 71.6
    minutes or more cannot be told from a shorter one.

    >>> elapsed_us(2**32 - 5, 10)
    15
    """
    if end_us >= begin_us:
        return end_us - begin_us
    return end_us - begin_us + WRAP_US if begin_us < WRAP_US else None


def inferences_s(window: Window) -> float:
    """Return a window's inferences per second; its time is not zero."""
    return 1e6 * window.inferences / window.window_us


def median_inferences_s(windows: Sequence[Window]) -> float:
    """Return the median of five windows' inferences per second.

    Raises
    ------
    NotComparableError
        They are not five, or one is shorter than 10 s: by the rules there is no result.
    """
    if len(windows) != WINDOWS:
        raise NotComparableError(
            f"MLPerf Tiny's result is the median of {WINDOWS} windows, and there are {len(windows)}: measure again."
        )
    for number, window in enumerate(windows, 1):
        if window.window_us < LEAST_WINDOW_US:
            least = -(-window.inferences * LEAST_WINDOW_US // max(window.window_us, 1))
            raise NotComparableError(
                f"Window {number} of {WINDOWS} took {window.window_us / 1e6:.3f} s, and MLPerf Tiny's rules ask for "
                f"{LEAST_WINDOW_US / 1e6:.0f} s in each: have it do at least {least:,} inferences instead of "
                f"{window.inferences:,}."
            )
    return statistics.median(inferences_s(window) for window in windows)
