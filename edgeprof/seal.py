"""Sealing: from the journal to Parquet, segment by segment.

A segment exists once its manifest does, and the manifest is written last. Whatever dies before that leaves
files that nobody reads and that the next try overwrites, for their names depend on capture, segment and table alone.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from edgeprof import journal
from edgeprof.bench_runs import decode_bench
from edgeprof.clock_points import fits
from edgeprof.decode import decode_port
from edgeprof.decode_state import PortState, Rows
from edgeprof.errors import StorageError
from edgeprof.journal_source import JournalSource
from edgeprof.layout import CAPTURE_JSON, MANIFEST, check_version, current, segment_folder
from edgeprof.segment import Source, keep_ranges, wire_digest, write_manifest
from edgeprof.table_files import TableFiles

__all__ = [
    "capture_rows",
    "decode_from",
    "decode_tail",
    "load_capture",
    "load_manifests",
    "seal",
    "states_after",
    "write_segment",
]


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
    """Return the manifests of a local capture that count, in order."""
    return current(_load(path, "run `edgeprof verify`") for path in capture.glob(f"segment=*/{MANIFEST}"))


def states_after(manifests: list[dict[str, Any]], n_ports: int) -> list[PortState]:
    """Return where decoding stands behind the last sealed segment."""
    if not manifests:
        return [PortState() for _ in range(n_ports)]
    return [PortState.from_json(s) for s in manifests[-1]["states"]]


def decode_tail(
    capture: Path, header: Mapping[str, Any], states: list[PortState], *, final: bool, finished: bool = True,
    take: Callable[[Rows], None] | None = None,
) -> tuple[Rows, list[PortState]]:  # fmt: skip
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
    take
        Is given the rows as they come, port after port; else they are returned.
    """
    # A segment takes what surely has its time; the read that is being written now is the next one's. Ends first: what
    # happened before them is in the events then.
    end_of = journal.stream_end if final else journal.indexed_end
    ends = [end_of(capture, port) for port in range(len(states))]
    return decode_from(
        JournalSource(capture), header, states, ends.__getitem__, journal.read_events(capture),
        final=final, finished=finished, take=take,
    )  # fmt: skip


def decode_from(
    source: Source, header: Mapping[str, Any], states: list[PortState], end_of: Callable[[int], int],
    events: list[dict[str, Any]], *, final: bool, finished: bool = True, take: Callable[[Rows], None] | None = None,
) -> tuple[Rows, list[PortState]]:  # fmt: skip
    """Decode what a source holds of every port behind ``states``, up to ``end_of(port)``; else as :func:`decode_tail`.

    ``events`` are what the host noticed, in the form of :func:`edgeprof.journal.append_event`.
    """
    start_ns = header["monotonic_start_ns"]
    rows, after = Rows(), []
    for port, (state, facts) in enumerate(zip(states, header["ports"], strict=True)):
        end = end_of(port)
        reads = ((block[:, 0], block[:, 1] - start_ns) for block in source.index(port, state.offset, end))
        timed_out = _ended_badly(e["kind"] for e in events if e.get("port") == port)
        if "format" in facts:  # an imported file; what was captured has none
            part, new = _decode_file(source.read(port, state.offset, end), state, header, port, take)
            rows.extend(part)
            after.append(new)
            continue
        part, new = decode_port(
            source.read(port, state.offset, end),
            state,
            capture_id=header["capture_id"],
            port=port,
            facts=facts.get("facts", {}),
            reads=reads,
            final=final,
            end_status=("timeout" if timed_out else "aborted") if finished else None,
            take=take,
            breaks=[e["offset"] for e in events if _broke(e, port)],
        )
        rows.extend(part)
        after.append(new)
    if final:
        _add_events(rows, events, start_ns)
    if take is not None:
        take(rows)
        rows = Rows()
    return rows, after


def _decode_file(
    data: Iterable[bytes], state: PortState, header: Mapping[str, Any], port: int, take: Callable[[Rows], None] | None
) -> tuple[Rows, PortState]:
    """Decode what another program wrote, by its format."""
    facts = header["ports"][port]
    if "options" in facts.get("settings", {}):  # a meter's file: what the user said of it is there
        from edgeprof.meters.decode import decode_meter

        return decode_meter(data, state, form=facts["format"], port=port, settings=facts["settings"], take=take)
    return decode_bench(
        data, state, form=facts["format"], capture_id=header["capture_id"], port=port, facts=facts.get("facts", {})
    )


def _broke(event: Mapping[str, Any], port: int) -> bool:
    """Tell whether an event says where in a port's stream something is missing."""
    return event["kind"] == "disconnected" and event.get("port") == port and event.get("offset") is not None


def _ended_badly(kinds: Iterable[str]) -> bool:
    """Tell whether a port's board had gone, or fallen silent, when the capture ended."""
    told = [kind for kind in kinds if kind in ("timeout", "disconnected", "reconnect")]
    return bool(told) and told[-1] != "reconnect"


def _add_events(rows: Rows, events: list[dict[str, Any]], start_ns: int) -> None:
    if events:
        columns: dict[str, Any] = {name: [e.get(name) for e in events] for name in ("port", "kind", "offset", "detail")}
        columns["start"] = [e["t_ns"] - start_ns for e in events]
        columns["end"] = [e["end_ns"] - start_ns if e.get("end_ns") is not None else None for e in events]
        rows.add("events", ("", "", ""), {"run_id": None} | columns)


def capture_rows(
    header: Mapping[str, Any], states: list[PortState], wire_sha256: str | None, clock: Mapping[str, Any] | None = None
) -> Rows:
    """Return the rows that the capture's own header gives: captures, prompts, vocab, sections.

    ``clock`` has what is known of the clocks of all segments (:func:`edgeprof.clock_points.fits`).
    """
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
    } | dict(clock or {})
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


def seal(
    capture: Path, *, final: bool = False, keep_wire: bool = True, known: list[dict[str, Any]] | None = None
) -> bool:
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
    known
        The manifests so far, if the caller keeps them: the new one is appended, and the states of those before it are
        let go of, for a week has a thousand. By default they are read.

    Returns
    -------
    bool
        Whether a segment was written.
    """
    header = load_capture(capture)
    manifests = load_manifests(capture) if known is None else known
    if manifests and manifests[-1]["final"]:
        _drop_journal(capture)
        return False
    before = states_after(manifests, len(header["ports"]))
    number = manifests[-1]["segment"] + 1 if manifests else 0

    def decode(take: Callable[[Rows], None]) -> list[PortState]:
        return decode_tail(capture, header, before, final=final, take=take)[1]

    try:
        written = write_segment(
            capture, header, number, JournalSource(capture), before, decode,
            earlier=manifests, final=final, keep_wire=keep_wire, skip_empty=not final,
        )  # fmt: skip
    except OSError as error:
        raise StorageError(
            f"{capture / segment_folder(number)} cannot be written ({error.strerror or error}). The journal is "
            f"untouched: make room, then run `edgeprof recover {capture}`."
        ) from error
    if written is None:
        return False
    if known is not None:
        if known:
            known[-1]["states"] = []
        known.append(written)
    if final:
        _drop_journal(capture)
    else:
        _drop_pieces(capture, states_after([written], len(before)))
    return True


def write_segment(
    capture: Path, header: Mapping[str, Any], number: int, source: Source, before: list[PortState],
    decode: Callable[[Callable[[Rows], None]], list[PortState]], *, earlier: list[dict[str, Any]], final: bool,
    keep_wire: bool = True, generation: int = 0, skip_empty: bool = False,
) -> dict[str, Any] | None:  # fmt: skip
    """Write one segment, its manifest last, and return the manifest.

    Parameters
    ----------
    capture, header, number
        The capture, what it was told at its start, and which segment it is.
    source
        Where the wire bytes come from that are kept.
    before
        The decoder's states behind the segment before this one.
    decode
        Gives the rows to what it is given, as they come, and returns the states behind them.
    earlier
        The manifests of the segments before this one.
    final
        It is the last: the capture's own tables go into it.
    keep_wire
        Keep the wire bytes beside the tables.
    generation
        How often the capture was written anew.
    skip_empty
        Write nothing, and return None, if the states behind are those before.

    Raises
    ------
    OSError
        It cannot be written; what is there of it counts for nothing.
    """
    folder = capture / segment_folder(number, generation)
    # A try that died may have left tables for groups that this one does not have.
    shutil.rmtree(folder, ignore_errors=True)
    clock: list[Mapping[str, Any]] = []

    def take(rows: Rows) -> None:
        clock.extend(rows.parts.get(("clock", ("", "", "")), ()))
        tables.take(rows)

    with TableFiles(folder, header["capture_id"]) as tables:
        after = decode(take)
        if skip_empty and all(a.offset == b.offset for a, b in zip(after, before, strict=True)):
            return None
        folder.mkdir(parents=True, exist_ok=True)
        spans = [(a.offset, b.offset) for a, b in zip(before, after, strict=True)]
        ranges = keep_ranges(source, folder, number, spans, keep_wire=keep_wire)
        if final:
            this = {"segment": number, "generation": generation, "ranges": ranges}
            digest = wire_digest(capture, [*earlier, this])
            tables.take(capture_rows(header, after, digest, fits([*_earlier_clock(capture, earlier), *clock])))
        files = tables.finish()
    states = [s.to_json() for s in after]
    return write_manifest(
        folder, header["capture_id"], number, ranges, files, states, final=final, generation=generation
    )


def _earlier_clock(capture: Path, segments: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what sealed segments know of the clocks, a row a batch."""
    for segment in segments:
        folder = capture / segment_folder(segment["segment"], segment.get("generation", 0))
        for entry in segment["files"]:
            if entry["table"] == "clock":
                with contextlib.suppress(OSError, pa.ArrowException):  # a damaged one leaves a poorer fit, no more
                    for row in pq.ParquetFile(folder / entry["path"]).read().to_pylist():
                        yield row | {"ticks": [row["ticks"]], "t_host_ns": [row["t_host_ns"]]}


def _drop_pieces(capture: Path, states: list[PortState]) -> None:
    """Remove journal pieces that are sealed to their last byte; the one being written stays."""
    for port, state in enumerate(states):
        found = journal.pieces(capture, port)
        for (_, path), (following, _) in itertools.pairwise(found):
            if following <= state.offset:
                with contextlib.suppress(OSError):  # Windows keeps what somebody reads; the next segment tries again
                    path.unlink(missing_ok=True)
                    path.with_suffix(".idx").unlink(missing_ok=True)


def _drop_journal(capture: Path) -> None:
    # Renamed first, so that nobody reads half of it.
    gone = capture / "journal.sealed"
    with contextlib.suppress(OSError):
        os.replace(capture / "journal", gone)
    shutil.rmtree(gone, ignore_errors=True)
