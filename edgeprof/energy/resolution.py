"""What a meter can tell apart: an interval must be longer than its samples and than the error of its edges."""

from __future__ import annotations

__all__ = ["LEAST_PERIODS", "resolves"]

LEAST_PERIODS = 2.0
"""With fewer samples than this in an interval, its energy is mostly that of its neighbours."""


def resolves(duration_ns: float, period_ns: float, error_ns: float) -> str | None:
    """Return why the energy of intervals this long cannot be told from their neighbours', or None where it can.

    Parameters
    ----------
    duration_ns
        How long such an interval is; of several the median.
    period_ns
        From one sample to the next.
    error_ns
        How far off the edges may be: the alignment's error.
    """
    if not duration_ns > 0:
        return "needs intervals with a duration; these have none"
    if duration_ns < LEAST_PERIODS * period_ns:
        needed = LEAST_PERIODS / duration_ns * 1e9
        return (
            f"needs {LEAST_PERIODS:.0f} samples in an interval: these last {duration_ns / 1e3:.4g} us and a sample "
            f"comes every {period_ns / 1e3:.4g} us; a meter of {needed:,.0f} samples a second would do"
        )
    if duration_ns < error_ns:
        return (
            f"needs edges that are known better than an interval is long: these last {duration_ns / 1e3:.4g} us, and "
            f"the alignment may be {error_ns / 1e3:.4g} us off; share a GPIO edge with the meter"
        )
    return None
