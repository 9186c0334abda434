"""Blocks of samples that are in a file twice: a buffer that was written again.

A window of noisy samples does not come again by chance. Windows begin where a hash of the samples says so, hence at
the same samples wherever a block was copied to.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeprof.energy.samples import Samples
from edgeprof.meters.file import Finding

__all__ = ["repeats"]

_WINDOW = 64
_CHANGES, _VALUES = 32, 8
"""A window with fewer changes or different values says nothing: a still line repeats, and so does a step."""
_FEW = 8
_MIX = np.uint64(0x9E3779B97F4A7C15)
_Hash = npt.NDArray[np.uint64]
_Int = npt.NDArray[np.int64]


def repeats(samples: Samples) -> list[Finding]:
    """Return what is there twice.

    Where most of a file repeats, it is a periodic signal without noise, or a buffer that was stuck: that is told, and
    is no reason to refuse it.
    """
    values = samples.current_ua
    starts = _anchors(values)
    if not len(starts):
        return []
    hashes = _hash(values, starts)
    order = np.lexsort((starts, hashes))
    again = np.concatenate(([False], hashes[order][1:] == hashes[order][:-1]))
    pairs = [(int(starts[order[i - 1]]), int(starts[order[i]])) for i in np.flatnonzero(again)]
    if not pairs:
        return []
    if 2 * len(pairs) >= len(starts) > _FEW:
        lag = min(second - first for first, second in pairs)
        return [Finding("repeated", f"nearly all of it repeats exactly every {lag:,} samples: no meter is so quiet")]
    first, second = max(pairs, key=lambda pair: _length(values, *pair))
    before, length = _extent(values, first, second)
    text = (
        f"{length:,} samples from sample {first - before + 1:,} on come again from sample {second - before + 1:,} on: "
        "a block was written twice"
    )
    return [Finding("repeated", text, fatal=True)]


def _anchors(values: npt.NDArray[np.float64]) -> _Int:
    """Return where windows begin that hold enough to be known again."""
    n = len(values) - _WINDOW
    if n < 1:
        return np.zeros(0, np.int64)
    bits = np.ascontiguousarray(values).view(np.uint64)
    mixed = (bits[:n] * _MIX) ^ (bits[1 : n + 1] * (_MIX << np.uint64(1) | np.uint64(1)))
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX
    at = np.flatnonzero(mixed >> np.uint64(64 - 5) == 0)  # one in 32
    at = at[(values[at] != values[at + 1])]
    changes = np.concatenate(([0], np.cumsum(values[1:] != values[:-1])))
    at = at[changes[at + _WINDOW - 1] - changes[at] >= _CHANGES]
    kept = []
    for part in np.array_split(at, max(len(at) // 65536, 1)):
        windows = np.sort(values[part[:, None] + np.arange(_WINDOW)], axis=1)
        kept.append(part[(np.diff(windows, axis=1) > 0).sum(axis=1) + 1 >= _VALUES])
    return np.concatenate(kept)


def _hash(values: npt.NDArray[np.float64], starts: _Int) -> _Hash:
    """Return a hash of each window, of the order of its samples, too."""
    bits = np.ascontiguousarray(values).view(np.uint64)
    out = np.zeros(len(starts), np.uint64)
    for i in range(_WINDOW):
        out = (out ^ bits[starts + i]) * _MIX
        out ^= out >> np.uint64(31)
    return out


def _length(values: npt.NDArray[np.float64], first: int, second: int) -> int:
    return _extent(values, first, second)[1]


def _extent(values: npt.NDArray[np.float64], first: int, second: int) -> tuple[int, int]:
    """Return how many equal samples come before two places, and how many there are in all; at most up to each other."""
    most = second - first
    ahead = _equal(values[first : first + most], values[second : second + most])
    back = min(first, most - ahead)
    before = _equal(values[first - back : first][::-1], values[second - back : second][::-1]) if back > 0 else 0
    return before, before + ahead


def _equal(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> int:
    n = min(len(a), len(b))
    unlike = np.flatnonzero(a[:n] != b[:n])
    return int(unlike[0]) if len(unlike) else n
