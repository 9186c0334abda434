"""The wire bytes that a closed capture keeps beside its tables, as one stream a port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from edgeprof.journal import CHUNK
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

    def index(self, port: int, start: int, end: int) -> list[tuple[int, int]]:
        """Return (stream offset, monotonic nanoseconds) of the reads that reach between two offsets."""
        found: list[tuple[int, int]] = []
        for _, _, path in self._reaching(port, start, end):
            found += map(tuple, np.load(path.with_name(index_name(path.name))).tolist())
        before = [i for i, (offset, _) in enumerate(found) if offset <= start]
        return [entry for entry in found[before[-1] if before else 0 :] if entry[0] < end]

    def _reaching(self, port: int, start: int, end: int) -> list[tuple[int, int, Path]]:
        return [r for r in self._ranges.get(port, ()) if r[1] > start and r[0] < end]
