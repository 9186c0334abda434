"""Sealing: from the journal to Parquet, segment by segment.

A segment exists once its manifest does, and the manifest is written last. Whatever dies before that leaves
files that nobody reads and that the next try overwrites, for their names depend on capture, segment and table alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from edgeprof import journal
from edgeprof._version import __version__
from edgeprof.decode import decode_port
from edgeprof.decode_state import PortState, Rows
from edgeprof.errors import StorageError
from edgeprof.layout import CAPTURE_JSON, MANIFEST, check_version, file_sha256, partition, sync, write_json
from edgeprof.schema import FORMAT_VERSION
from edgeprof.tables import build

__all__ = ["capture_rows", "decode_tail", "load_capture", "load_manifests", "seal", "states_after", "wire_digest"]

PARQUET: dict[str, Any] = {"compression": "zstd", "compression_level": 3, "write_page_checksum": True}


def load_capture(capture: Path) -> dict[str, Any]:
    """Return what the capture was told at its start."""
    return _load(capture / CAPTURE_JSON, "the folder is not a capture")


def _load(path: Path, consequence: str) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read ({error}): {consequence}.") from error
    if not isinstance(data, dict):
        raise StorageError(f"{path} holds no JSON object: {consequence}.")
    check_version(data.get("format_version"), str(path))
    return data


def load_manifests(capture: Path) -> list[dict[str, Any]]:
    """Return the manifests of a local capture in order."""
    found = [_load(path, "run `edgeprof verify`") for path in capture.glob(f"segment=*/{MANIFEST}")]
    return sorted(found, key=lambda m: int(m["segment"]))


def states_after(manifests: list[dict[str, Any]], n_ports: int) -> list[PortState]:
    """Return where decoding stands behind the last sealed segment."""
    if not manifests:
        return [PortState() for _ in range(n_ports)]
    return [PortState.from_json(s) for s in manifests[-1]["states"]]


def decode_tail(
    capture: Path, header: Mapping[str, Any], states: list[PortState], *, final: bool, finished: bool = True
) -> tuple[Rows, list[PortState]]:
    """Decode what lies in the journal behind ``states``.

    Parameters
    ----------
    capture
        The capture's folder.
    header
        From :func:`load_capture`.
    states
        One a port.
    final
        Close runs that are open, as nothing will follow.
    finished
        False if the capture may still be going on, so that an open run has no status yet.
    """
    events = journal.read_events(capture)
    start_ns = header["monotonic_start_ns"]
    rows, after = Rows(), []
    for port, (state, facts) in enumerate(zip(states, header["ports"], strict=True)):
        # A segment takes what surely has its time; the read that is being written now is the next one's.
        end = journal.stream_end(capture, port) if final else journal.indexed_end(capture, port)
        index = journal.read_index(capture, port, state.offset)
        reads = np.array(index, np.int64).reshape(-1, 2)
        timed_out = any(e["kind"] in ("timeout", "disconnected") and e.get("port") == port for e in events)
        part, new = decode_port(
            journal.read_from(capture, port, state.offset, end),
            state,
            capture_id=header["capture_id"],
            port=port,
            facts=facts.get("facts", {}),
            reads=(reads[:, 0], reads[:, 1] - start_ns),
            final=final,
            end_status=("timeout" if timed_out else "aborted") if finished else None,
        )
        rows.extend(part)
        after.append(new)
    if final:
        _add_events(rows, events, start_ns)
    return rows, after


def _add_events(rows: Rows, events: list[dict[str, Any]], start_ns: int) -> None:
    for e in events:
        columns = {"run_id": None, "port": e.get("port"), "kind": [e["kind"]], "start": [e["t_ns"] - start_ns]}
        rows.add("events", ("", "", ""), columns | {"detail": [e.get("detail")]})


def capture_rows(header: Mapping[str, Any], states: list[PortState], wire_sha256: str | None) -> Rows:
    """Return the rows that the capture's own header gives: captures, prompts, vocab, sections."""
    rows = Rows()
    none = ("", "", "")
    urls = [p["url"] for p in header["ports"]]
    row = {
        "started_at": header["started_at"],
        "transport": json.dumps(urls),
        "settings": json.dumps([p.get("settings", {}) for p in header["ports"]]),
        "host_label": header.get("host_label"),
        "edgeprof_version": header.get("edgeprof_version"),
        "bytes_read": sum(s.offset for s in states),
        "bytes_discarded": sum(s.discarded for s in states),
        "frames": sum(s.frames for s in states),
        "frames_duplicate": sum(s.duplicates for s in states),
        "wire_sha256": wire_sha256,
    }
    rows.add("captures", none, {k: [v] for k, v in row.items()})
    prompts = header.get("prompts", [])
    if prompts:
        rows.add("prompts", none, {k: [p[k] for p in prompts] for k in ("prompt_id", "text", "sha256")})
    for model_sha256, pieces in header.get("vocab", {}).items():
        columns = {"model_sha256": model_sha256, "token_id": list(range(len(pieces))), "piece": list(pieces)}
        rows.add("vocab", none, columns)
    for firmware_sha256, parts in header.get("sections", {}).items():
        rows.add("sections", none, {"firmware_sha256": firmware_sha256} | parts)
    return rows


def seal(capture: Path, *, final: bool = False, keep_wire: bool = True) -> bool:
    """Seal what the journal holds beyond the last segment.

    The caller holds the capture's sealer lock.

    Parameters
    ----------
    capture
        The capture's folder.
    final
        True once no byte will follow: the capture is closed and its journal removed.
    keep_wire
        Keep the wire bytes, compressed, beside the tables.

    Returns
    -------
    bool
        Whether a segment was written.
    """
    header = load_capture(capture)
    manifests = load_manifests(capture)
    if manifests and manifests[-1]["final"]:
        _drop_journal(capture)
        return False
    before = states_after(manifests, len(header["ports"]))
    rows, after = decode_tail(capture, header, before, final=final)
    if not final and all(a.offset == b.offset for a, b in zip(after, before, strict=True)):
        return False
    number = manifests[-1]["segment"] + 1 if manifests else 0
    folder = capture / f"segment={number:04d}"
    # A try that died may have left tables for groups that this one does not have.
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        ranges = []
        for port, (a, b) in enumerate(zip(before, after, strict=True)):
            entry: dict[str, Any] = {"port": port, "start": a.offset, "end": b.offset}
            if keep_wire and b.offset > a.offset:
                entry |= _keep_wire(capture, folder, number, port, a.offset, b.offset)
            ranges.append(entry)
        if final:
            wire_sha256 = wire_digest(capture, [*manifests, {"segment": number, "ranges": ranges}])
            rows.extend(capture_rows(header, after, wire_sha256))
        files = []
        for (name, group), table in sorted(build(rows, header["capture_id"]).items(), key=lambda kv: kv[0]):
            files.append(_write_table(folder, name, group, table))
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written ({error.strerror or error}). The journal is untouched: make room, then run "
            f"`edgeprof recover {capture}`."
        ) from error
    write_json(
        folder / MANIFEST,
        {
            "format_version": FORMAT_VERSION,
            "edgeprof_version": __version__,
            "capture_id": header["capture_id"],
            "segment": number,
            "final": final,
            "ranges": ranges,
            "files": files,
            "states": [s.to_json() for s in after],
        },
    )
    if final:
        _drop_journal(capture)
    else:
        _drop_pieces(capture, after)
    return True


def _write_table(folder: Path, name: str, group: tuple[str, str, str], table: pa.Table) -> dict[str, Any]:
    relative = f"{partition(*group)}/{name}.parquet"
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **PARQUET)
    sync(path)
    board, model, quant = group
    return {
        "table": name, "path": relative, "rows": len(table), "bytes": path.stat().st_size,
        "sha256": file_sha256(path), "board": board, "model": model, "quant": quant,
    }  # fmt: skip


def _keep_wire(capture: Path, folder: Path, number: int, port: int, start: int, end: int) -> dict[str, Any]:
    name = f"wire-{number:04d}-p{port:02d}.zst"
    digest = hashlib.sha256()
    with pa.CompressedOutputStream(str(folder / name), "zstd") as out:
        for chunk in journal.read_from(capture, port, start, end):
            digest.update(chunk)
            out.write(chunk)
    index = journal.read_index(capture, port, start)
    times = [(max(o, start), t) for o, t in index if o < end]
    np.save(folder / f"wire-{number:04d}-p{port:02d}.idx.npy", np.array(times, np.int64).reshape(-1, 2))
    for path in (folder / name, folder / f"wire-{number:04d}-p{port:02d}.idx.npy"):
        sync(path)
    return {"wire": name, "sha256": digest.hexdigest()}


def wire_digest(capture: Path, segments: list[dict[str, Any]]) -> str | None:
    """Return the digest of all wire bytes, port after port, however they were cut; None where they were not kept."""
    spans = sorted(
        ((span["port"], segment["segment"], span) for segment in segments for span in segment["ranges"]),
        key=lambda found: found[:2],
    )
    spans = [s for s in spans if s[2]["end"] > s[2]["start"]]
    if not spans or not all("wire" in span for _, _, span in spans):
        return None
    if len(spans) == 1:
        return str(spans[0][2]["sha256"])
    digest = hashlib.sha256()
    for _, number, span in spans:
        with pa.CompressedInputStream(str(capture / f"segment={number:04d}" / span["wire"]), "zstd") as stream:
            while chunk := stream.read(journal.CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _drop_pieces(capture: Path, states: list[PortState]) -> None:
    """Remove journal pieces that are sealed to their last byte; the one being written stays."""
    for port, state in enumerate(states):
        found = journal.pieces(capture, port)
        for (_, path), (following, _) in itertools.pairwise(found):
            if following <= state.offset:
                path.unlink(missing_ok=True)
                path.with_suffix(".idx").unlink(missing_ok=True)


def _drop_journal(capture: Path) -> None:
    # Renamed first, so that nobody reads half of it.
    gone = capture / "journal.sealed"
    with contextlib.suppress(OSError):
        os.replace(capture / "journal", gone)
    shutil.rmtree(gone, ignore_errors=True)
