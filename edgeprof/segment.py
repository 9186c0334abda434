"""The files of one segment: kept wire bytes, tables, and the manifest that makes it one."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from edgeprof._version import __version__
from edgeprof.decode_state import Group
from edgeprof.journal import CHUNK
from edgeprof.layout import MANIFEST, file_sha256, partition, segment_folder, sync, write_json
from edgeprof.schema import FORMAT_VERSION

__all__ = [
    "Source",
    "file_entry",
    "index_name",
    "keep_ranges",
    "options",
    "table_path",
    "wire_digest",
    "write_manifest",
    "write_table",
]

_PARQUET: dict[str, Any] = {"compression": "zstd", "compression_level": 3, "write_page_checksum": True}
# Samples come a hundred times as often as anything else. Ticks and times advance evenly. A meter of 12 bits says 4,096
# different currents: coded they take a third of what the doubles take in any other way, unless its unit is round. All
# samples of a read have one time, which needs no coding to be compressed.
_SAMPLES: dict[str, Any] = {
    "compression_level": 1,
    "use_dictionary": ["capture_id", "run_id", "current_ua", "meter"],
    "column_encoding": {"ticks": "DELTA_BINARY_PACKED"},
    "write_statistics": ["ticks", "t_host_ns"],
    "write_batch_size": 1 << 16,
}
# Floats of which no two are alike: their signs and exponents are, once they lie together.
_LOGITS: dict[str, Any] = {
    "use_dictionary": ["capture_id", "run_id"],
    "column_encoding": {"logits.list.element": "BYTE_STREAM_SPLIT"},
    "write_statistics": ["run_id", "window", "position", "first_id"],
}
# Pages of pyarrow 22 and later end after 20,000 rows, too, if it is not told otherwise.
if "max_rows_per_page" in inspect.signature(pq.write_table).parameters:
    _SAMPLES["max_rows_per_page"] = 1 << 20


def options(name: str) -> dict[str, Any]:
    """Return how a table is written, as options of ``pyarrow.parquet.ParquetWriter``."""
    return _PARQUET | {"power": _SAMPLES, "logits": _LOGITS}.get(name, {})


class Source(Protocol):
    """Where wire bytes come from: a journal, or what sealed segments keep."""

    def read(self, port: int, start: int, end: int) -> Iterable[bytes]:
        """Yield a port's bytes from one stream offset up to another."""

    def index(self, port: int, start: int, end: int) -> Iterable[npt.NDArray[np.int64]]:
        """Yield, in order, rows of (stream offset, monotonic nanoseconds): the reads that reach between two offsets."""


def index_name(wire: str) -> str:
    """Return the name of the file that holds the read times of kept wire bytes."""
    return wire.removesuffix(".zst") + ".idx.npy"


def keep_ranges(
    source: Source, folder: Path, number: int, spans: Iterable[tuple[int, int]], *, keep_wire: bool
) -> list[dict[str, Any]]:
    """Write every port's wire bytes into a segment's folder; return the ranges for its manifest."""
    ranges = []
    for port, (start, end) in enumerate(spans):
        entry: dict[str, Any] = {"port": port, "start": start, "end": end}
        if keep_wire and end > start:
            entry |= _keep_wire(source, folder, number, port, start, end)
        ranges.append(entry)
    return ranges


def _keep_wire(source: Source, folder: Path, number: int, port: int, start: int, end: int) -> dict[str, Any]:
    name = f"wire-{number:04d}-p{port:02d}.zst"
    digest = hashlib.sha256()
    with pa.CompressedOutputStream(str(folder / name), "zstd") as out:
        for chunk in source.read(port, start, end):
            digest.update(chunk)
            out.write(chunk)
    times = np.concatenate([np.empty((0, 2), np.int64), *source.index(port, start, end)])
    times[:, 0] = np.maximum(times[:, 0], start)
    index = folder / index_name(name)
    np.save(index, times)
    for path in (folder / name, index):
        sync(path)
    return {"wire": name, "sha256": digest.hexdigest(), "index_sha256": file_sha256(index)}


def table_path(folder: Path, name: str, group: Group, part: int = 0) -> Path:
    """Return the file of a table of one group in a segment's folder; most have but the first part."""
    return folder / partition(*group) / (f"{name}-{part}.parquet" if part else f"{name}.parquet")


def write_table(folder: Path, name: str, group: Group, table: pa.Table) -> dict[str, Any]:
    """Write a table of one group into a segment's folder; return its entry for the manifest."""
    path = table_path(folder, name, group)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options(name))
    return file_entry(folder, name, group, len(table))


def file_entry(folder: Path, name: str, group: Group, rows: int, part: int = 0) -> dict[str, Any]:
    """Sync a table's file and return its entry for the manifest."""
    path = table_path(folder, name, group, part)
    sync(path)
    board, model, quant = group
    return {
        "table": name, "path": path.relative_to(folder).as_posix(), "rows": rows, "bytes": path.stat().st_size,
        "sha256": file_sha256(path), "board": board, "model": model, "quant": quant,
    }  # fmt: skip


def write_manifest(
    folder: Path, capture_id: str, number: int, ranges: list[dict[str, Any]], files: list[dict[str, Any]],
    states: list[dict[str, Any]], *, final: bool, generation: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Write a segment's manifest, with which it exists; return it."""
    manifest = {
        "format_version": FORMAT_VERSION,
        "edgeprof_version": __version__,
        "capture_id": capture_id,
        "segment": number,
        "final": final,
        "ranges": ranges,
        "files": files,
        "states": states,
    } | ({"generation": generation} if generation else {})
    write_json(folder / MANIFEST, manifest)
    return manifest


def wire_digest(capture: Path, segments: list[dict[str, Any]]) -> str | None:
    """Return the digest of all wire bytes, port after port, however they were cut; None where they were not kept."""
    spans = sorted(
        ((span["port"], segment["segment"], segment, span) for segment in segments for span in segment["ranges"]),
        key=lambda found: found[:2],
    )
    spans = [s for s in spans if s[3]["end"] > s[3]["start"]]
    if not spans or not all("wire" in span for *_, span in spans):
        return None
    if len(spans) == 1:
        return str(spans[0][3]["sha256"])
    digest = hashlib.sha256()
    for _, number, segment, span in spans:
        path = capture / segment_folder(number, segment.get("generation", 0)) / span["wire"]
        with pa.CompressedInputStream(str(path), "zstd") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
