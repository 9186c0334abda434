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
    def piece(self, piece: wire.Piece) -> None:
        state = self.state
        if piece.kind is wire.Kind.TEXT:
            self.text(piece)
        elif piece.kind is wire.Kind.DAMAGE:
            state.discarded += len(piece.data)
        else:
            assert piece.frame is not None
            if self.first_time(piece.frame):
                state.frames += 1
                self.frame(piece.frame, piece.end)
            else:
                state.duplicates += 1

    def text(self, piece: wire.Piece) -> None:
        lines = [line.rstrip("\r") for line in piece.data.decode().split("\n")]
        lines = [line for line in lines if line]
        if lines:
            n = len(lines)
            self.rows.add(
                "logs",
                self.group(self.state.run),
                {
                    "run_id": self.run_id(self.state.run),
                    "port": self.port,
                    "t_host_ns": [self.host_ns(piece.end)] * n,
                    "text": lines,
                },
            )

    def first_time(self, frame: wire.Frame) -> bool:
        """Tell whether this is the first copy of the frame, and keep count of the gaps."""
        state = self.state
        if frame.boot != state.boot:
            # What was sent before the capture began is no loss; what a reset board sent since its reset is.
            first = state.boot is None
            if not first:
                self.reset(frame)
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
        state.next_seq = frame.seq + 1
        return True

    # -- frames ------------------------------------------------------------------------------------------
    def frame(self, frame: wire.Frame, end: int) -> None:
        if frame.type == wire.Type.HELLO:
            self.state.hello |= wire.decode_pairs(frame.body, frame.n)
            return
        if not frame.run:
            return
        run = self.run_of(frame)
        if run is None:
            return
        run.frames += 1
        if frame.type == wire.Type.RUN_BEGIN:
            run.t_begin = frame.t0
            run.pairs = wire.decode_pairs(frame.body, frame.n)
        elif frame.type == wire.Type.TOKENS:
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

    def ticks_from_begin(self, run: OpenRun, frame: wire.Frame, offsets: npt.NDArray[Any]) -> Any:
        if run.t_begin is None:
            return [None] * len(offsets)
        return offsets.astype(np.int64) * max(frame.dt, 1) + (frame.t0 - run.t_begin)

    def stages(self, run: OpenRun, frame: wire.Frame) -> None:
        r = np.frombuffer(frame.body, STAGE)
        names = [STAGES[s] if s < len(STAGES) else "other" for s in r["stage"]]
        columns = {"position": r["position"], "stage": names, "ticks": r["ticks"].astype(np.int64) * max(frame.dt, 1)}
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
        run.t_begin = totals["t_begin"]
        status = wire.STATUS[totals["status"]] if totals["status"] < len(wire.STATUS) else "error"
        self.close(run, status, {**totals, "t_end": frame.t0})

    def reset(self, frame: wire.Frame) -> None:
        """The board restarted: what was under way ended there."""
        run = self.state.run
        if run is not None:
            self.close(run, "reset", None)
        at = int(self.read_ns[-1]) if len(self.read_ns) else None
        detail = f"boot {self.state.boot} ended, boot {frame.boot} began"
        columns = {"run_id": None, "port": self.port, "kind": ["reset"], "start": [at], "detail": [detail]}
        self.rows.add("events", self.group(run), columns)

    # -- runs --------------------------------------------------------------------------------------------
    def run_id(self, run: OpenRun | None) -> str | None:
        return f"{self.capture_id}/{self.port}-{run.ordinal:04d}" if run else None

    def group(self, run: OpenRun | None) -> Group:
        said = self.state.hello | (run.pairs if run else {})
        return (said.get("board", ""), said.get("model", ""), said.get("quant", ""))

    def flush_tokens(self, run: OpenRun) -> None:
        """Turn the gathered records of the open run into rows, all at once."""
        if not self.tokens:
            return
        records = np.frombuffer(b"".join(frame.body for frame, _ in self.tokens), TOKEN)
        counts = [frame.n for frame, _ in self.tokens]
        scale = np.repeat(np.array([max(frame.dt, 1) for frame, _ in self.tokens], np.int64), counts)
        ends = np.array([end for _, end in self.tokens], np.int64)
        t_host = np.repeat(self.hosts_ns(ends), counts)
        starts: Any = [None] * len(records)
        if run.t_begin is not None:
            base = np.repeat(np.array([frame.t0 - run.t_begin for frame, _ in self.tokens], np.int64), counts)
            starts = base + records["start"] * scale
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
            "ticks": records["ticks"] * scale,
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
            row |= {
                "n_generated": totals["n_generated"],
                "n_prompt": totals["n_prompt"],
                "passes": totals["passes"],
                "ticks_total": totals["t_end"] - totals["t_begin"],
                "frames_lost": totals["frames"] + 1 - run.frames,
            }
        return row


def _unknown(values: npt.NDArray[Any], mask: npt.NDArray[Any]) -> Any:
    return np.ma.masked_array(values, mask=mask) if mask.any() else values


def _typed(text: str, kind: str) -> Any:
    """Return a device's text as the column's type, or None if it is not one."""
    if kind == "string":
        return text
    try:
        number = float(text)
        return number if kind == "double" else int(text)
    except ValueError:
        return None


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
            decoder.piece(piece)
    if final:
        for piece in splitter.finish():
            decoder.piece(piece)
    decoder.state.offset, decoder.state.in_text = splitter.consumed, splitter.in_text
    run = decoder.state.run
    if run is not None:
        if final:
            decoder.close(run, end_status, None)
        else:
            decoder.flush_tokens(run)
    return decoder.rows, decoder.state
