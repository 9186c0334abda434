"""Wire bytes to tables: a pure function of bytes, read times and what earlier bytes said.

The state that one call leaves (:class:`PortState`) is plain data and goes into a segment's manifest, so that
decoding can go on behind it, in another process and after any crash, as if it had never stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprof import schema, wire

__all__ = ["PortState", "Rows", "decode_port"]

TOKEN = np.dtype(
    [("start", "<u4"), ("ticks", "<u4"), ("token", "<u4"), ("next", "<u4"), ("top1", "<u4"), ("nll", "<f4"),
     ("position", "<u2"), ("window", "<u2"), ("n_batch", "u1"), ("flags", "u1")]
)  # fmt: skip
STAGE = np.dtype([("position", "<u2"), ("stage", "u1"), ("pad", "u1"), ("ticks", "<u4")])
MEMORY = np.dtype([("offset", "<u4"), ("heap", "<u4"), ("heap_peak", "<u4"), ("stack", "<u4"), ("kv", "<u4")])
EVENT = np.dtype([("offset", "<u4"), ("kind", "u1"), ("id", "u1"), ("pad", "<u2")])
PHASES = np.array(["prefill", "decode", "score", "unknown"])
STAGES = ("embedding", "attention", "feed_forward", "head", "sampling", "other")
EVENTS = {1: "mark", 2: "gpio edge"}
_NONE = 0xFFFFFFFF
_MISSING_KEPT = 4096
_HELLO_KEPT = 256
# RUN_BEGIN is repeated at least every second; a run of which this much came without one has none.
_WAIT_BYTES = 1 << 20
# Ticks beyond this do not fit: no clock gets there, but a device may claim anything.
_TICKS_MAX = 2.0**62

_RUN_TYPES = {c.name: c.type for c in schema.TABLES["runs"]}
# What a device may say of itself; the host's and the derived columns are not its to set.
_DEVICE_KEYS = set(schema.device_columns("runs")) - {"boot", "status", "ticks_total", "passes", "n_generated"}


@dataclass(slots=True)
class OpenRun:
    """A run whose end has not been seen."""

    ordinal: int
    boot: int
    run: int
    t_begin: int | None = None
    pairs: dict[str, str] = field(default_factory=dict)
    group: list[str] | None = None
    frames: int = 0
    passes: int = 0


@dataclass(slots=True)
class PortState:
    """What the bytes so far have said: enough to go on decoding behind them."""

    offset: int = 0
    in_text: bool = False
    ordinal: int = 0
    boot: int | None = None
    next_seq: int = 0
    missing: list[int] = field(default_factory=list)
    hello: dict[str, str] = field(default_factory=dict)
    run: OpenRun | None = None
    last_closed: tuple[int, int] | None = None
    frames: int = 0
    duplicates: int = 0
    discarded: int = 0
    lost: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PortState:
        """Return the state that :meth:`to_json` wrote."""
        values = dict(data)
        run = values.pop("run", None)
        closed = values.pop("last_closed", None)
        return cls(**values, run=OpenRun(**run) if run else None, last_closed=tuple(closed) if closed else None)


Group = tuple[str, str, str]
"""The real (board, model, quant) that a row belongs to; empty strings where unknown."""


class Rows:
    """Columns being gathered, by table and group."""

    def __init__(self) -> None:
        self.parts: dict[tuple[str, Group], list[dict[str, Any]]] = {}

    def add(self, table: str, group: Group, columns: dict[str, Any]) -> None:
        """Append a batch: each value an array or list of one length, or a scalar for the whole batch."""
        self.parts.setdefault((table, group), []).append(columns)

    def extend(self, other: Rows) -> None:
        """Append all of another port's rows."""
        for key, batches in other.parts.items():
            self.parts.setdefault(key, []).extend(batches)


class _Port:
    """One pass over one port's bytes. Kept private: the module's functions are the interface."""

    def __init__(
        self,
        state: PortState,
        *,
        capture_id: str,
        port: int,
        facts: Mapping[str, Any],
        reads: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    ) -> None:
        self.state, self.capture_id, self.port, self.facts = state, capture_id, port, facts
        self.read_offsets, self.read_ns = reads
        self.rows = Rows()
        self.tokens: list[tuple[wire.Frame, int]] = []
        self.waiting: list[wire.Piece] = []
        self.begun: wire.Frame | None = None

    # -- host time ---------------------------------------------------------------------------------------
    def hosts_ns(self, ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return when the host had the bytes before these stream offsets, -1 where it is not known."""
        if not len(self.read_ns):
            return np.full(len(ends), -1, np.int64)
        at = np.searchsorted(self.read_offsets, ends, side="left") - 1
        return np.where(at >= 0, self.read_ns[at], -1)

    def host_ns(self, end: int) -> int | None:
        """Return when the host had the byte before one stream offset."""
        ns = int(self.hosts_ns(np.array([end], np.int64))[0])
        return ns if ns >= 0 else None

    # -- pieces ------------------------------------------------------------------------------------------
    def take(self, piece: wire.Piece) -> None:
        """Decode a piece. Where the first RUN_BEGIN was lost, what comes of the run waits for the next one.

        So a row does not depend on where a segment ends: what waits there is left to the next segment.
        """
        frame = piece.frame
        if not self.waiting:
            if frame is None or not self.must_wait(frame):
                self.piece(piece)
                return
            self.waiting.append(piece)
            return
        first = self.waiting[0].frame
        assert first is not None
        if frame is not None and not wire.from_host(frame):
            if frame.boot != first.boot or frame.run not in (0, first.run):
                self.release(None)
                self.take(piece)
                return
            if frame.run and frame.type in (wire.Type.RUN_BEGIN, wire.Type.RUN_END):
                self.release(frame)
                self.piece(piece)
                return
        self.waiting.append(piece)
        if piece.end - self.waiting[0].start > _WAIT_BYTES:
            self.release(None)

    def must_wait(self, frame: wire.Frame) -> bool:
        """Tell whether a frame belongs to a run whose begin has not come."""
        state, name = self.state, (frame.boot, frame.run)
        if not frame.run or wire.from_host(frame) or frame.type in (wire.Type.RUN_BEGIN, wire.Type.RUN_END):
            return False
        if frame.boot == state.boot and frame.seq < state.next_seq and frame.seq not in state.missing:
            return False
        run = state.run
        known = run is not None and (run.boot, run.run) == name and run.t_begin is not None
        return not known and state.last_closed != name

    def release(self, begun: wire.Frame | None) -> None:
        """Decode what waited; ``begun`` is the frame that says when the run began."""
        waiting, self.waiting, self.begun = self.waiting, [], begun
        for piece in waiting:
            self.piece(piece)
        self.begun = None

    def piece(self, piece: wire.Piece) -> None:
        state = self.state
        if piece.kind is wire.Kind.TEXT:
            self.text(piece)
        elif piece.kind is wire.Kind.DAMAGE:
            state.discarded += len(piece.data)
        else:
            assert piece.frame is not None
            if wire.from_host(piece.frame):
                return
            if self.first_time(piece.frame, piece.end):
                state.frames += 1
                self.frame(piece.frame, piece.end)
            else:
                state.duplicates += 1

    def text(self, piece: wire.Piece) -> None:
        lines, ends, at = [], [], piece.start
        for line in piece.data.split(b"\n"):
            at += len(line) + 1
            text = line.decode().rstrip("\r")
            if text:
                lines.append(text)
                ends.append(min(at, piece.start + len(piece.data)))
        if lines:
            t_host = self.hosts_ns(np.array(ends, np.int64))
            self.rows.add(
                "logs",
                self.group(self.state.run),
                {
                    "run_id": self.run_id(self.state.run),
                    "port": self.port,
                    "t_host_ns": _unknown(t_host, t_host < 0),
                    "text": lines,
                },
            )

    def first_time(self, frame: wire.Frame, end: int) -> bool:
        """Tell whether this is the first copy of the frame, and keep count of the gaps."""
        state = self.state
        if frame.boot != state.boot:
            # What was sent before the capture began is no loss; what a reset board sent since its reset is.
            first = state.boot is None
            if not first:
                self.reset(frame, end)
            state.boot, state.missing, state.hello = frame.boot, [], {}
            state.next_seq = frame.seq if first else 0
        if frame.seq < state.next_seq:
            if frame.seq not in state.missing:
                return False
            state.missing.remove(frame.seq)
            state.lost -= 1
            return True
        gap = frame.seq - state.next_seq
        if gap:
            state.lost += gap
            state.missing += range(frame.seq - min(gap, _MISSING_KEPT), frame.seq)
            state.missing = state.missing[-_MISSING_KEPT:]
            run = state.run
            same = run is not None and (run.boot, run.run) == (frame.boot, frame.run)
            self.happened("gap", end, f"{gap} frames missing before frame {frame.seq}", run if same else None)
        state.next_seq = frame.seq + 1
        return True

    # -- frames ------------------------------------------------------------------------------------------
    def frame(self, frame: wire.Frame, end: int) -> None:
        if frame.type == wire.Type.HELLO:
            said = self.state.hello | wire.decode_pairs(frame.body, frame.n)
            self.state.hello = dict(list(said.items())[-_HELLO_KEPT:])
        if not frame.run:
            return
        run = self.run_of(frame)
        if run is None:
            return
        run.frames += 1
        for source in (self.begun, frame):
            if source is not None:
                self.begin(run, source)
        if run.group is None:
            run.group = self.names(run)
        if frame.type == wire.Type.TOKENS:
            self.tokens.append((frame, end))
        elif frame.type == wire.Type.STAGES:
            self.stages(run, frame)
        elif frame.type == wire.Type.MEMORY:
            self.memory(run, frame)
        elif frame.type == wire.Type.EVENT:
            self.event(run, frame, end)
        elif frame.type == wire.Type.RUN_END:
            self.end(run, frame)

    def run_of(self, frame: wire.Frame) -> OpenRun | None:
        """Return the run that a frame belongs to, opening it if it is new."""
        state = self.state
        if state.last_closed == (frame.boot, frame.run):
            return None
        run = state.run
        if run is None or (run.boot, run.run) != (frame.boot, frame.run):
            if run is not None:
                self.close(run, None, None)
            state.ordinal += 1
            run = state.run = OpenRun(state.ordinal, frame.boot, frame.run)
        return run

    def begin(self, run: OpenRun, frame: wire.Frame) -> None:
        """Learn from a RUN_BEGIN or RUN_END when the run began; what is known stays."""
        if frame.type == wire.Type.RUN_BEGIN:
            run.pairs = wire.decode_pairs(frame.body, frame.n)
            t_begin = frame.t0
        elif frame.type == wire.Type.RUN_END:
            t_begin = wire.decode_run_end(frame.body)["t_begin"]
        else:
            return
        if run.t_begin is None:
            self.flush_tokens(run)
            run.t_begin = t_begin

    def ticks_from_begin(self, run: OpenRun, frame: wire.Frame, offsets: npt.NDArray[Any]) -> Any:
        if run.t_begin is None:
            return [None] * len(offsets)
        return _ticks(offsets, [frame.dt], [len(offsets)], [frame.t0 - run.t_begin])

    def stages(self, run: OpenRun, frame: wire.Frame) -> None:
        r = np.frombuffer(frame.body, STAGE)
        names = [STAGES[s] if s < len(STAGES) else "other" for s in r["stage"]]
        columns = {"position": r["position"], "stage": names, "ticks": _ticks(r["ticks"], [frame.dt], [len(r)], [0])}
        self.rows.add("stages", self.group(run), {"run_id": self.run_id(run)} | columns)

    def memory(self, run: OpenRun, frame: wire.Frame) -> None:
        r = np.frombuffer(frame.body, MEMORY)
        columns: dict[str, Any] = {"ticks": self.ticks_from_begin(run, frame, r["offset"])}
        for name, source in (("heap", "heap"), ("heap_peak", "heap_peak"), ("stack_peak", "stack"), ("kv", "kv")):
            columns[f"{name}_bytes"] = _unknown(r[source].astype(np.int64), r[source] == _NONE)
        self.rows.add("memory", self.group(run), {"run_id": self.run_id(run)} | columns)

    def event(self, run: OpenRun, frame: wire.Frame, end: int) -> None:
        r = np.frombuffer(frame.body, EVENT)
        columns = {
            "kind": [EVENTS.get(k, f"kind {k}") for k in r["kind"]],
            "start": [self.host_ns(end)] * len(r),
            "ticks": self.ticks_from_begin(run, frame, r["offset"]),
            "detail": [f"id {i}" for i in r["id"]],
        }
        self.rows.add("events", self.group(run), {"run_id": self.run_id(run), "port": self.port} | columns)

    def end(self, run: OpenRun, frame: wire.Frame) -> None:
        totals = wire.decode_run_end(frame.body)
        status = wire.STATUS[totals["status"]] if totals["status"] < len(wire.STATUS) else "error"
        self.close(run, status, {**totals, "t_end": frame.t0})

    def reset(self, frame: wire.Frame, end: int) -> None:
        """The board restarted: what was under way ended there."""
        if self.state.run is not None:
            self.close(self.state.run, "reset", None)
        self.happened("reset", end, f"boot {self.state.boot} ended, boot {frame.boot} began", None)

    def happened(self, kind: str, end: int, detail: str, run: OpenRun | None) -> None:
        columns = {"port": self.port, "kind": [kind], "start": [self.host_ns(end)], "detail": [detail]}
        self.rows.add("events", self.group(run), {"run_id": self.run_id(run)} | columns)

    # -- runs --------------------------------------------------------------------------------------------
    def run_id(self, run: OpenRun | None) -> str | None:
        return f"{self.capture_id}/{self.port}-{run.ordinal:04d}" if run else None

    def group(self, run: OpenRun | None) -> Group:
        """Return where rows go. A run's stays what it was when the run was opened, so that its rows stay together."""
        board, model, quant = run.group if run and run.group else self.names(run)
        return (board, model, quant)

    def names(self, run: OpenRun | None) -> list[str]:
        said = {**self.facts, **self.state.hello, **(run.pairs if run else {})}
        return [str(said.get(name) or "") for name in ("board", "model", "quant")]

    def flush_tokens(self, run: OpenRun) -> None:
        """Turn the gathered records of the open run into rows, all at once."""
        if not self.tokens:
            return
        records = np.frombuffer(b"".join(frame.body for frame, _ in self.tokens), TOKEN)
        counts = [frame.n for frame, _ in self.tokens]
        scales = [frame.dt for frame, _ in self.tokens]
        ends = np.array([end for _, end in self.tokens], np.int64)
        t_host = np.repeat(self.hosts_ns(ends), counts)
        starts: Any = [None] * len(records)
        if run.t_begin is not None:
            bases = [frame.t0 - run.t_begin for frame, _ in self.tokens]
            starts = _ticks(records["start"], scales, counts, bases)
        flags = records["flags"]
        columns = {
            "run_id": self.run_id(run),
            "window": _unknown(records["window"].astype(np.int32), records["window"] == 0xFFFF),
            "position": records["position"].astype(np.int64),
            "phase": PHASES[flags & 3],
            "token_id": records["token"].astype(np.int64),
            "next_id": _unknown(records["next"].astype(np.int64), flags & 16 == 0),
            "scored": flags & 4 > 0,
            "nll": _unknown(records["nll"], flags & 8 == 0),
            "top1_id": _unknown(records["top1"].astype(np.int64), flags & 32 == 0),
            "n_batch": records["n_batch"].astype(np.int64),
            "ticks_start": starts,
            "ticks": _ticks(records["ticks"], scales, counts, [0] * len(counts)),
            "t_host_ns": _unknown(t_host, t_host < 0),
            "source": "device",
        }
        run.passes += len(records)
        self.rows.add("tokens", self.group(run), columns)
        self.tokens = []

    def close(self, run: OpenRun, status: str | None, totals: Mapping[str, int] | None) -> None:
        """Write the row of a run that is over, and forget it."""
        self.flush_tokens(run)
        self.rows.add("runs", self.group(run), {k: [v] for k, v in self.run_row(run, status, totals).items()})
        self.state.run = None
        self.state.last_closed = (run.boot, run.run)

    def run_row(self, run: OpenRun, status: str | None, totals: Mapping[str, int] | None) -> dict[str, Any]:
        said = self.state.hello | run.pairs
        row: dict[str, Any] = dict(self.facts)
        tags: dict[str, str] = dict(row.pop("tags", {}))
        for key, text in said.items():
            if key not in _DEVICE_KEYS:
                if key not in ("request", "fits"):
                    tags[key] = text
                continue
            value = _typed(text, _RUN_TYPES[key])
            if value is None and text:
                tags[key] = text
            row[key] = value
        row |= {
            "run_id": self.run_id(run),
            "port": self.port,
            "boot": run.boot,
            "status": status,
            "passes_received": run.passes,
            "tags": json.dumps(tags, sort_keys=True) if tags else None,
        }
        if totals:
            ticks, lost = totals["t_end"] - totals["t_begin"], totals["frames"] + 1 - run.frames
            row |= {
                "n_generated": totals["n_generated"],
                "n_prompt": totals["n_prompt"],
                "passes": totals["passes"],
                "ticks_total": ticks if abs(ticks) < _TICKS_MAX else None,
                "frames_lost": lost if lost >= 0 else None,
            }
        return row


def _unknown(values: npt.NDArray[Any], mask: npt.NDArray[Any]) -> Any:
    return np.ma.masked_array(values, mask=mask) if mask.any() else values


def _ticks(values: npt.NDArray[Any], scales: list[int], counts: list[int], bases: list[int]) -> Any:
    """Return values times their frame's scale plus its base, unknown where that does not fit 64 bits."""
    scale = np.repeat(np.array([max(s, 1) for s in scales], np.int64), counts)
    base = np.repeat(np.array([b if abs(b) < _TICKS_MAX else 0 for b in bases], np.int64), counts)
    absurd = np.repeat(np.array([abs(b) >= _TICKS_MAX for b in bases]), counts)
    absurd |= np.abs(values.astype(np.float64) * scale + base) >= _TICKS_MAX
    return _unknown(values.astype(np.int64) * scale + base, absurd)


def _typed(text: str, kind: str) -> Any:
    """Return a device's text as the column's type, or None if it is not one."""
    if kind == "string":
        return text
    try:
        number = float(text)
        if kind == "double":
            return number
        whole = int(text)
    except ValueError:
        return None
    return whole if -(2**63) <= whole < 2**63 else None


def decode_port(
    data: Iterable[bytes],
    state: PortState,
    *,
    capture_id: str,
    port: int,
    facts: Mapping[str, Any],
    reads: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    final: bool = False,
    end_status: str | None = None,
) -> tuple[Rows, PortState]:
    """Decode what came over one port, going on from ``state``.

    Parameters
    ----------
    data
        The bytes from stream offset ``state.offset`` on, in chunks.
    state
        What earlier bytes left; it is not changed.
    capture_id, port
        Name the rows.
    facts
        What the host knows of every run of this port (columns of ``runs``, and ``tags``).
    reads
        Offsets (at which each read began) and host times in nanoseconds from the capture's begin.
    final
        True if no byte will follow: a torn frame is counted, and a run that is still open ends.
    end_status
        Status of a run that ``final`` ends: ``aborted`` or ``timeout``; None says that it is still going on.

    Returns
    -------
    Rows, PortState
        The rows, and the state behind the last whole piece.
    """
    decoder = _Port(
        PortState.from_json(state.to_json()), capture_id=capture_id, port=port, facts=facts, reads=reads
    )
    splitter = wire.Splitter(state.offset, in_text=state.in_text)
    for chunk in data:
        for piece in splitter.feed(chunk):
            decoder.take(piece)
    if final:
        for piece in splitter.finish():
            decoder.take(piece)
        decoder.release(None)
    decoder.state.offset, decoder.state.in_text = splitter.consumed, splitter.in_text
    if decoder.waiting:
        decoder.state.offset, decoder.state.in_text = decoder.waiting[0].start, False
    run = decoder.state.run
    if run is not None:
        if final:
            decoder.close(run, end_status, None)
        else:
            decoder.flush_tokens(run)
    return decoder.rows, decoder.state
