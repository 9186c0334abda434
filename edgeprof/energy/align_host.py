"""What only the host timed: a run by the arrival of its tokens, and a meter board's stream by that of its frames.

Arrivals are only ever late, so both are fitted from below (:mod:`edgeprof.clock`). How late the luckiest of them was,
nobody saw; it counts as error here, as large as the median arrival is later than the line, and a millisecond at least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edgeprof.clock import ClockFit, fit_clock
from edgeprof.energy.align_edges import MOST_PPM
from edgeprof.errors import NotComparableError

__all__ = ["fit_arrivals", "stream_index"]

LEAST_DELAY_US = 1000.0
"""A millisecond: the time of a USB frame, and of a record's 90 bits at 115,200 bits per second."""
SHORTEST_S = 1.0
"""What :func:`edgeprof.clock.fit_clock` needs to find a rate."""

Int = npt.NDArray[np.int64]


def fit_arrivals(ticks: Int, host_ns: Int, tick_hz: float) -> ClockFit:
    """Fit a clock to the host's, however short the time was.

    Parameters
    ----------
    ticks
        When something was sent at the earliest, by its sender's clock, shape (n,).
    host_ns
        When the host had it, in nanoseconds from the capture's begin, shape (n,).
    tick_hz
        The nominal rate.

    Returns
    -------
    edgeprof.clock.ClockFit
        Its ``error_us`` holds the delay that one-way arrivals do not show; of less than a second, where no rate can be
        found, the method is ``nominal``.

    Raises
    ------
    NotComparableError
        There are no arrivals, or they contradict the rate.
    """
    if not len(ticks):
        raise NotComparableError(
            "The host saw none of the run's tokens arrive, so its time by the host's clock is not known. A shared edge "
            "needs no host: ep_edge() in edgeprof.h."
        )
    fit = fit_clock(ticks, host_ns, tick_hz)
    if fit is None:
        span_s = float(np.ptp(ticks)) / tick_hz
        if span_s >= SHORTEST_S:
            took_s = float(np.ptp(host_ns)) / 1e9
            raise NotComparableError(
                f"By the sender's clock ({tick_hz:g} Hz) it took {span_s:.4g} s, and by the host's {took_s:.4g} s: the "
                "clock does not tick as it says."
            )
        begin = float(np.min(host_ns - ticks * (1e9 / tick_hz)))
        second = max(round(tick_hz), 1)
        line = ((0, second), (begin, begin + second * 1e9 / tick_hz))
        fit = ClockFit("nominal", *line, 0.0, MOST_PPM * span_s, len(ticks), round(span_s, 3))
    late_us = float(np.median(host_ns - fit.to_host_ns(ticks))) / 1e3
    return replace(fit, error_us=round(fit.error_us + max(late_us, LEAST_DELAY_US), 3))


def stream_index(host_ns: Int, lost: Sequence[tuple[int, int]]) -> Int:
    """Return the number of each sample in an even stream of which frames were lost.

    Parameters
    ----------
    host_ns
        When the host had the frame of each sample, shape (n,), in order.
    lost
        Gaps: when the host had the frame behind it, and how many frames are missing.

    Returns
    -------
    numpy.ndarray of int
        From 0, shape (n,); what is left out was lost.
    """
    starts = np.flatnonzero(np.diff(host_ns, prepend=host_ns[0] - 1))
    sizes, counts = np.unique(np.diff(np.append(starts, len(host_ns))), return_counts=True)
    # Several frames may come in one read, and the last may be short: the size that the others are multiples of.
    share = [float(counts[sizes % size == 0].sum() / counts.sum()) for size in sizes]
    often = counts >= 0.05 * counts.sum()
    whole = [int(s) for s, of, many in zip(sizes, share, often, strict=True) if of >= 0.9 and many]
    frame = whole[0] if whole else int(sizes[np.argmax(counts)])
    index = np.arange(len(host_ns), dtype=np.int64)
    for at_ns, frames in lost:
        index[np.searchsorted(host_ns, at_ns) :] += frames * frame
    index -= index[0]
    return index
