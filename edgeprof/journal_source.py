"""The journal as what a segment is made of; and read times block by block, however many there are."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgeprof import journal

__all__ = ["JournalSource", "reaching"]

_ENTRIES = 1 << 14
_ENTRY = np.dtype([("offset", "<u8"), ("ns", "<i8")])


class JournalSource:
    """A capture's journal (:class:`edgeprof.segment.Source`)."""

    def __init__(self, capture: Path) -> None:
        self.capture = capture

    def read(self, port: int, start: int, end: int) -> Iterator[bytes]:
        """Yield a port's bytes from one stream offset up to another."""
        return journal.read_from(self.capture, port, start, end)

    def index(self, port: int, start: int, end: int) -> Iterator[npt.NDArray[np.int64]]:
        """Yield rows of (stream offset, monotonic nanoseconds) of the reads that reach between two offsets."""
        return reaching(_blocks(self.capture, port, start), start, end)


def _blocks(capture: Path, port: int, start: int) -> Iterator[npt.NDArray[np.int64]]:
    found = journal.pieces(capture, port)
    if found and found[0][0] > start:
        raise FileNotFoundError(errno.ENOENT, "no longer in the journal", str(capture))
    for _, path in found:
        try:
            file = path.with_suffix(".idx").open("rb")
        except FileNotFoundError:
            if not path.exists():
                raise  # it was sealed meanwhile: there are newer manifests to go by
            continue  # a crash came between the two files of a new piece
        with file:
            while raw := file.read(_ENTRIES * _ENTRY.itemsize):
                whole = np.frombuffer(raw[: len(raw) // _ENTRY.itemsize * _ENTRY.itemsize], _ENTRY)
                yield np.column_stack([whole["offset"].astype(np.int64), whole["ns"].astype(np.int64)])


def reaching(blocks: Iterable[npt.NDArray[np.int64]], start: int, end: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield, of ordered rows of (stream offset, nanoseconds), those of reads that reach between two offsets.

    A read reaches as far as the next one begins; so the last one that began at ``start`` or before is the first.
    """
    held = np.empty((0, 2), np.int64)
    for block in blocks:
        rows = np.concatenate([held, block[block[:, 0] < end]])
        rows = rows[max(int(np.searchsorted(rows[:, 0], start, side="right")) - 1, 0) :]
        if len(rows) and rows[-1, 0] <= start:
            held = rows[-1:]
            continue
        held = held[:0]
        if len(rows):
            yield rows
        if len(block) and block[-1, 0] >= end:
            return
    if len(held):
        yield held
