"""Many small segments of a closed capture into one: the same rows in the same order, in fewer files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from edgeprof.care import verify_capture
from edgeprof.decode_state import Group
from edgeprof.errors import StorageError
from edgeprof.kept import KeptWire, spans
from edgeprof.layout import segment_folder
from edgeprof.rewrite import Outcome, capture_id, choose, closed, each, next_generation, rewriting
from edgeprof.segment import keep_ranges, write_manifest, write_table

__all__ = ["compact"]

_Files = dict[tuple[str, Group], list[tuple[int, Path]]]


def compact(path: str | Path, captures: Iterable[str] = ()) -> list[Outcome]:
    """Merge the segments of closed captures into one each.

    Wire bytes and read times are merged, too, so that a compacted capture can be redecoded; it is then decoded as one
    segment. Whatever ends this leaves a capture's old segments or its new one.

    Parameters
    ----------
    path
        The data set, or one capture in it.
    captures
        Names of captures; all by default.

    Returns
    -------
    list of Outcome
        One a capture. Code 2: it is not closed, or kept the wire bytes of some segments only; 5: it is still going on,
        is damaged, or cannot be written. In all of these it is as it was.
    """
    return each(choose(Path(path), captures), _compact)


def _compact(capture: Path) -> Outcome:
    name = capture_id(capture)
    with rewriting(capture) as manifests:
        if not closed(manifests):
            return Outcome(name, "left alone: it is not closed; `edgeprof recover` closes it", 2)
        if len(manifests) == 1:
            return Outcome(name, "is one segment already")
        kept = ["wire" in span for _, span in spans(manifests)]
        if any(kept) and not all(kept):
            return Outcome(name, "left alone: the wire bytes of some segments were kept, of others not", 2)
        for finding in verify_capture(capture):
            if finding.damage:
                raise StorageError(f"{finding.where}: {finding.what}; it was left as it was.")
        _write(capture, manifests, keep_wire=any(kept))
    return Outcome(name, f"compacted: {len(manifests)} segments are one")


def _write(capture: Path, manifests: list[dict[str, Any]], *, keep_wire: bool) -> None:
    last, generation = manifests[-1], next_generation(manifests)
    folder = capture / segment_folder(0, generation)
    folder.mkdir()
    source = KeptWire(capture, manifests) if keep_wire else KeptWire(capture, [])
    spans_of = [(0, state["offset"]) for state in last["states"]]
    ranges = keep_ranges(source, folder, 0, spans_of, keep_wire=keep_wire)
    files = []
    for (table, group), found in sorted(_files(capture, manifests).items(), key=lambda kv: kv[0]):
        parts = [pq.ParquetFile(path, page_checksum_verification=True).read() for _, path in found]
        # A later version may have added a column: it is null where it was not known.
        entry = write_table(folder, table, group, pa.concat_tables(parts, promote_options="default"))
        # Where each segment's rows are, so that the order of a table across files stays what it was.
        entry["parts"] = [[number, len(part)] for (number, _), part in zip(found, parts, strict=True)]
        files.append(entry)
    write_manifest(folder, last["capture_id"], 0, ranges, files, last["states"], final=True, generation=generation)


def _files(capture: Path, manifests: list[dict[str, Any]]) -> _Files:
    found: _Files = {}
    for m in manifests:
        for entry in m["files"]:
            key = (entry["table"], (entry["board"], entry["model"], entry["quant"]))
            path = capture / segment_folder(m["segment"], m.get("generation", 0)) / entry["path"]
            found.setdefault(key, []).append((m["segment"], path))
    return found
