"""Wire bytes to tables: a pure function of bytes, read times and what earlier bytes said.

The state that one call leaves (:class:`PortState`) is plain data and goes into a segment's manifest, so that
decoding can go on behind it, in another process and after any crash, as if it had never stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprof import wire
from edgeprof.decode_state import Group, OpenRun, PortState, Rows
from edgeprof.read_times import ReadTimes
from edgeprof.records import (
    event_columns,
    memory_columns,
    power_columns,
    stage_columns,
    token_columns,
)
from edgeprof.run_row import run_row
from edgeprof.text_rows import HOST_RUN, text_rows

__all__ = ["decode_port"]

_MISSING_KEPT = 4096
_HELLO_KEPT = 256
# RUN_BEGIN is repeated at least every second; a run of which this much came without one has none.
_WAIT_BYTES = 1 << 20


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
        self.times = ReadTimes(*reads)
        self.rows = Rows()
        self.tokens: list[tuple[wire.Frame, int]] = []
        self.power: list[tuple[wire.Frame, int]] = []
        self.power_of: tuple[str | None, Group] = (None, ("", "", ""))
        self.waiting: list[wire.Piece] = []
        self.begun: wire.Frame | None = None

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
            state.line = None
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
        run = self.state.run
        whose, group = {"run_id": self.run_id(run), "port": self.port}, self.group(run)
        for table, columns in text_rows(piece, self.state, self.times, group, self.host_run):
            self.rows.add(table, group, whose | columns)

    def host_run(self) -> dict[str, Any]:
        """Return the row of a run that only the host saw, and number it."""
        self.state.ordinal += 1
        row = run_row(self.facts, self.state.hello, None, 0) | HOST_RUN
        return row | {"run_id": self.run_id(OpenRun(self.state.ordinal, 0, 0)), "port": self.port}

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
            if frame.type == wire.Type.POWER:
                self.take_power(None, frame, end)
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
            self.add("stages", run, stage_columns(frame))
        elif frame.type == wire.Type.MEMORY:
            self.add("memory", run, memory_columns(frame, run.t_begin))
        elif frame.type == wire.Type.POWER:
            self.take_power(run, frame, end)
        elif frame.type == wire.Type.EVENT:
            at = {"port": self.port, "start": [self.times.one(end)] * frame.n}
            self.add("events", run, at | event_columns(frame, run.t_begin))
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
            self.flush_power()
            run.t_begin = t_begin

    def add(self, table: str, run: OpenRun, columns: dict[str, Any]) -> None:
        self.rows.add(table, self.group(run), {"run_id": self.run_id(run)} | columns)

    def end(self, run: OpenRun, frame: wire.Frame) -> None:
        totals = wire.decode_run_end(frame.body)
        status = wire.STATUS[totals["status"]] if totals["status"] < len(wire.STATUS) else "error"
        self.close(run, status, {**totals, "t_end": frame.t0})

    def reset(self, frame: wire.Frame, end: int) -> None:
        """The board restarted: what was under way ended there."""
        if self.state.run is not None:
            self.close(self.state.run, "reset", None)
        self.state.line, self.state.adapters = None, {}  # a line that the reset cut has no second half
        self.happened("reset", end, f"boot {self.state.boot} ended, boot {frame.boot} began", None)

    def happened(self, kind: str, end: int, detail: str, run: OpenRun | None) -> None:
        columns = {"port": self.port, "kind": [kind], "start": [self.times.one(end)], "detail": [detail]}
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
        frames = [frame for frame, _ in self.tokens]
        columns = token_columns(frames, run.t_begin) | {"t_host_ns": self.times.of_frames(self.tokens)}
        self.add("tokens", run, columns)
        run.passes += sum(frame.n for frame in frames)
        self.tokens = []

    def take_power(self, run: OpenRun | None, frame: wire.Frame, end: int) -> None:
        """Gather a block of samples with those of the same run: thousands may come between two tokens."""
        if not frame.n:
            return
        of = (self.run_id(run), self.group(run))
        if of != self.power_of:
            self.flush_power()
            self.power_of = of
        self.power.append((frame, end))

    def flush_power(self) -> None:
        """Turn the gathered samples into rows, all at once."""
        if not self.power:
            return
        run_id, group = self.power_of
        t_begin = self.state.run.t_begin if self.state.run and run_id else None
        columns = power_columns([frame for frame, _ in self.power], t_begin)
        columns |= {"run_id": run_id, "port": self.port, "t_host_ns": self.times.of_frames(self.power)}
        self.rows.add("power", group, columns)
        self.power = []

    def close(self, run: OpenRun, status: str | None, totals: Mapping[str, int] | None) -> None:
        """Write the row of a run that is over, and forget it."""
        self.flush_tokens(run)
        self.flush_power()
        row = run_row(self.facts, self.state.hello | run.pairs, totals, run.frames)
        row |= {"port": self.port, "boot": run.boot, "status": status, "passes_received": run.passes}
        self.add("runs", run, {k: [v] for k, v in row.items()})
        self.state.run = None
        self.state.prints.clear()
        self.state.last_closed = (run.boot, run.run)


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
    decoder = _Port(PortState.from_json(state.to_json()), capture_id=capture_id, port=port, facts=facts, reads=reads)
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
    decoder.flush_power()
    run = decoder.state.run
    if run is not None:
        if final:
            decoder.close(run, end_status, None)
        else:
            decoder.flush_tokens(run)
    return decoder.rows, decoder.state
