"""One frame after the other to rows and state: runs that begin and end, gaps, second copies, resets, lines of text.

This is what a stream means. :mod:`edgeprof.decode` chooses what comes here one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeprof import wire
from edgeprof.clock_points import rate_of
from edgeprof.decode_state import Group, OpenRun, PortState
from edgeprof.gather import Gathered, Part
from edgeprof.read_times import ReadTimes
from edgeprof.records import TICKS_MAX, event_columns, memory_columns, stage_columns
from edgeprof.run_row import run_row
from edgeprof.text_rows import HOST_RUN, text_rows

__all__ = ["PortFrames"]

_MISSING_KEPT = 4096
_SENT_NOW = (wire.Type.HEARTBEAT, wire.Type.REPLY, wire.Type.STAGES, wire.Type.RUN_END)
_HELLO_KEPT = 256


class PortFrames:
    """What one port's pieces say, taken in order.

    Parameters
    ----------
    state
        What earlier bytes said; it is changed.
    capture_id, port
        Name the rows.
    facts
        What the host knows of every run of this port (columns of ``runs``, and ``tags``).
    times
        When the host had its bytes.
    """

    def __init__(
        self, state: PortState, *, capture_id: str, port: int, facts: Mapping[str, Any], times: ReadTimes
    ) -> None:
        self.state, self.capture_id, self.port, self.facts, self.times = state, capture_id, port, facts, times
        self.gathered = Gathered(port, times)
        self.begun: wire.Frame | None = None

    def piece(self, piece: wire.Piece) -> None:
        """Decode a piece, whatever it is."""
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
                if piece.frame.boot == state.boot:  # else it came late, of the boot before
                    self.frame(piece.frame, piece.end)
            else:
                state.duplicates += 1

    def text(self, piece: wire.Piece) -> None:
        """Make rows of a stretch of text."""
        run = self.state.run
        whose, group = {"run_id": self.run_id_or_none(run), "port": self.port}, self.group(run)
        for table, columns in text_rows(piece, self.state, self.times, group, self.host_run):
            self.gathered.rows.add(table, group, whose | columns)

    def host_run(self) -> dict[str, Any]:
        """Return the row of a run that only the host saw, and number it."""
        self.state.ordinal += 1
        row = run_row(self.facts, self.state.hello, None, 0) | HOST_RUN
        return row | {"run_id": self.run_id(OpenRun(self.state.ordinal, 0, 0)), "port": self.port}

    def first_time(self, frame: wire.Frame, end: int) -> bool:
        """Tell whether this is the first copy of the frame, and keep count of the gaps."""
        state = self.state
        if frame.boot == state.old_boot and frame.boot != state.boot and frame.seq in state.old_missing:
            state.old_missing.remove(frame.seq)
            state.lost -= 1
            return True
        if frame.boot != state.boot:
            # What was sent before the capture began is no loss; what a reset board sent since its reset is.
            first = state.boot is None
            if not first:
                self.reset(frame, end)
            state.old_boot, state.old_missing = state.boot, state.missing
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

    def power(self, run: OpenRun | None, part: Part) -> None:
        """Keep samples of a run, or of none."""
        of = (self.run_id_or_none(run), self.group(run), run.t_begin if run else None)
        if self.gathered.other_power(*of):
            self.flush_power()
        self.gathered.power(*of, part)

    # -- frames ------------------------------------------------------------------------------------------
    def frame(self, frame: wire.Frame, end: int) -> None:
        """Make rows of a frame that is no second copy; ``end`` is the stream offset behind it."""
        if frame.type in _SENT_NOW:
            self.arrived(frame, end)
        if frame.type == wire.Type.HELLO:
            said = self.state.hello | wire.decode_pairs(frame.body, frame.n)
            self.state.hello = dict(list(said.items())[-_HELLO_KEPT:])
        if not frame.run:
            if frame.type == wire.Type.POWER and frame.n:
                self.power(None, (frame, end))
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
            self.gathered.tokens((frame, end))
        elif frame.type == wire.Type.LOGITS and frame.n:
            self.gathered.logits((frame, end))
        elif frame.type == wire.Type.STAGES:
            self.add("stages", run, stage_columns(frame))
        elif frame.type == wire.Type.MEMORY:
            self.add("memory", run, memory_columns(frame, run.t_begin))
        elif frame.type == wire.Type.POWER and frame.n:
            self.power(run, (frame, end))
        elif frame.type == wire.Type.EVENT:
            at = {"port": self.port, "start": [self.times.one(end)] * frame.n}
            self.add("events", run, at | event_columns(frame, run.t_begin))
        elif frame.type == wire.Type.RUN_END:
            self.end(run, frame)

    def arrived(self, frame: wire.Frame, end: int) -> None:
        """Take a frame that says when it was sent."""
        run = self.state.run
        hz = rate_of(run.pairs if run else {}, self.state.hello)
        if hz is not None and frame.t0 < TICKS_MAX:
            at, ends = np.array([frame.t0], np.int64), np.array([end], np.int64)
            self.gathered.clock.add(frame.boot, hz, at, ends)

    def run_of(self, frame: wire.Frame) -> OpenRun | None:
        """Return the run that a frame belongs to, opening it if it is new."""
        state = self.state
        if state.is_over(frame.boot, frame.run):
            return None  # it came late, and its run's row is written
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
            self.flush()
            run.t_begin = t_begin

    def add(self, table: str, run: OpenRun, columns: dict[str, Any]) -> None:
        """Add rows of a run."""
        self.gathered.rows.add(table, self.group(run), {"run_id": self.run_id(run)} | columns)

    def end(self, run: OpenRun, frame: wire.Frame) -> None:
        """Close a run with the totals that its RUN_END carries."""
        totals = wire.decode_run_end(frame.body)
        status = wire.STATUS[totals["status"]] if totals["status"] < len(wire.STATUS) else "error"
        self.close(run, status, {**totals, "t_end": frame.t0})

    def reset(self, frame: wire.Frame, end: int) -> None:
        """The board restarted: what was under way ended there."""
        self.flush()
        if self.state.run is not None:
            self.close(self.state.run, "reset", None)
        self.state.line, self.state.adapters = None, {}  # a line that the reset cut has no second half
        self.happened("reset", end, f"boot {self.state.boot} ended, boot {frame.boot} began", None)

    def happened(self, kind: str, end: int, detail: str, run: OpenRun | None) -> None:
        """Add a row of ``events``, of the time at which the host had the bytes before a stream offset."""
        columns = {"port": self.port, "kind": [kind], "start": [self.times.one(end)], "detail": [detail]}
        self.gathered.rows.add("events", self.group(run), {"run_id": self.run_id_or_none(run)} | columns)

    # -- runs --------------------------------------------------------------------------------------------
    def run_id(self, run: OpenRun) -> str:
        """Return the name of a run."""
        return f"{self.capture_id}/{self.port}-{run.ordinal:04d}"

    def run_id_or_none(self, run: OpenRun | None) -> str | None:
        """Return the name of a run, None of none."""
        return self.run_id(run) if run else None

    def group(self, run: OpenRun | None) -> Group:
        """Return where rows go. A run's stays what it was when the run was opened, so that its rows stay together."""
        board, model, quant = run.group if run and run.group else self.names(run)
        return (board, model, quant)

    def names(self, run: OpenRun | None) -> list[str]:
        """Return what board, model and quant are called now."""
        said = {**self.facts, **self.state.hello, **(run.pairs if run else {})}
        return [str(said.get(name) or "") for name in ("board", "model", "quant")]

    def flush(self) -> None:
        """Turn all that was gathered into rows."""
        run = self.state.run
        if run is not None:
            self.gathered.flush_tokens(run, self.run_id(run), self.group(run), self.state.hello)
            self.gathered.flush_logits(self.run_id(run), self.group(run))
        self.flush_power()

    def flush_power(self) -> None:
        """Turn the samples that were gathered into rows."""
        run = self.state.run
        self.gathered.flush_power(self.state.boot or 0, self.state.hello | (run.pairs if run else {}))

    def finish(self) -> None:
        """Add what is known at the end of a stretch only."""
        for columns in self.gathered.clock.columns():
            self.gathered.rows.add("clock", ("", "", ""), columns)

    def close(self, run: OpenRun, status: str | None, totals: Mapping[str, int] | None) -> None:
        """Write the row of a run that is over, and forget it."""
        self.flush()
        row = run_row(self.facts, self.state.hello | run.pairs, totals, run.frames)
        row |= {"port": self.port, "boot": run.boot, "status": status, "passes_received": run.passes}
        self.add("runs", run, {k: [v] for k, v in row.items()})
        self.state.run = None
        self.state.prints.clear()
        self.state.last_closed = (run.boot, run.run)
