"""Digital inputs of a meter to edges.

A meter says of each sample whether a line was low, high, or both, where a sample is the mean of many.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from edgeprof.meters.file import Edges, no_edges

__all__ = ["BOTH", "HIGH", "LOW", "UNKNOWN", "edges_of", "pairs"]

UNKNOWN, LOW, HIGH, BOTH = 0, 1, 2, 3
"""States of a line during a sample; the numbers are those of the PPK2's archive."""

Int = npt.NDArray[np.int64]
States = npt.NDArray[np.uint8]


def pairs(words: npt.NDArray[np.uint16], lines: int = 8) -> dict[str, States]:
    """Return each line's states from words of two bits a line, D0 in the lowest.

    Parameters
    ----------
    words
        Shape (n,).
    lines
        How many there are.
    """
    return {f"D{line}": ((words >> np.uint16(2 * line)) & np.uint16(3)).astype(np.uint8) for line in range(lines)}


def edges_of(states: Mapping[str, States], at_ns: Int) -> tuple[Edges, int]:
    """Return the edges of all lines in order of time, and how many samples hold more than one of a line.

    Parameters
    ----------
    states
        By the line's name, its state at each sample, shape (n,).
    at_ns
        When each sample was, in nanoseconds, shape (n,).

    Notes
    -----
    An edge is at the first sample that shows it. A sample in which a line was both, with the same level before and
    after it, is a pulse, and gives two edges at one time; there may have been more.
    """
    found, pulses = [], 0
    for name, line in states.items():
        at, rising, short = _line_edges(line)
        pulses += short
        words = np.where(rising, f"{name} rising", f"{name} falling")
        found.append((at_ns[at], words))
    if not found:
        return no_edges(), 0
    times = np.concatenate([at for at, _ in found])
    order = np.argsort(times, kind="stable")
    return Edges(times[order], np.concatenate([words for _, words in found])[order]), pulses


def _line_edges(line: States) -> tuple[Int, npt.NDArray[np.bool_], int]:
    """Return at which sample each edge of a line is, whether it rises, and the number of pulses within a sample."""
    # Only where the state changes can there be an edge: a line is still nearly all the time.
    change = np.flatnonzero(np.concatenate(([True], line[1:] != line[:-1]))) if len(line) else np.zeros(0, np.int64)
    state = line[change]
    certain = np.flatnonzero((state == LOW) | (state == HIGH))
    if len(certain) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.bool_), 0
    high, before, after = state[certain] == HIGH, certain[:-1], certain[1:]
    both = np.flatnonzero(state == BOTH)
    # The first sample between two certain ones in which the line was both, if there is one.
    place = np.searchsorted(both, before)
    first = np.append(both, len(state))[place]
    between = first < after
    turned = high[1:] != high[:-1]
    at = change[np.where(between, np.minimum(first, len(state) - 1), after)]
    pulse = between & ~turned
    starts = np.concatenate((at[turned], at[pulse], at[pulse]))
    rises = np.concatenate((high[1:][turned], ~high[:-1][pulse], high[:-1][pulse]))
    order = np.argsort(starts, kind="stable")
    return starts[order], rises[order], int(pulse.sum())
