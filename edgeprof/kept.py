"""The wire bytes that a closed capture keeps beside its tables, as one stream a port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from edgeprof.journal import CHUNK
from edgeprof.journal_source import reaching
from edgeprof.layout import segment_folder
from edgeprof.segment import index_name

__all__ = ["KeptWire", "spans"]


def spans(manifests: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Return (folder's name, range) of every range that has bytes, in order."""
    return [
        (segment_folder(m["segment"], m.get("generation", 0)), span)
        for m in manifests
        for span in m["ranges"]
        if span["end"] > span["start"]
    ]


class KeptWire:
    """What a segment is made of (:class:`edgeprof.segment.Source`), when it is made of sealed segments.

    Every range must have kept its bytes.
    """

    def __init__(self, capture: Path, manifests: list[dict[str, Any]]) -> None:
        self._ranges: dict[int, list[tuple[int, int, Path]]] = {}
        for folder, span in spans(manifests):
            found = (span["start"], span["end"], capture / folder / span["wire"])
            self._ranges.setdefault(span["port"], []).append(found)

    def read(self, port: int, start: int, end: int) -> Iterator[bytes]:
        """Yield a port's bytes from one stream offset up to another."""
        for first, last, path in self._reaching(port, start, end):
            at = first
            with pa.CompressedInputStream(str(path), "zstd") as stream:
                while at < min(last, end) and (chunk := stream.read(CHUNK)):
                    wanted = chunk[max(start - at, 0) : max(end - at, 0)]
                    at += len(chunk)
                    if wanted:
                        yield wanted

    def index(self, port: int, start: int, end: int) -> Iterator[npt.NDArray[np.int64]]:
        """Yield rows of (stream offset, monotonic nanoseconds) of the reads that reach between two offsets."""
        found = self._reaching(port, start, end)
        return reaching((np.load(path.with_name(index_name(path.name))) for _, _, path in found), start, end)

    def _reaching(self, port: int, start: int, end: int) -> list[tuple[int, int, Path]]:
        return [r for r in self._ranges.get(port, ()) if r[1] > start and r[0] < end]
