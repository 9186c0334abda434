"""What must be in the tables, said from what was sent and what of it stands whole in the stream.

Written from docs/protocol.md and docs/data-model.md with ``struct`` alone; nothing is taken from the decoder. Some
things nobody can know, and this is all of them:

* of the first boot, what was sent before the first frame that arrived (a capture may join at any time): it counts as
  lost only where its run's RUN_END arrives, and a copy that comes after all is taken for one of what was there before;
* of every boot, what was sent behind the last frame that arrived, and a boot or a run of which nothing arrived, with
  nothing behind it: no number says that there was more. What comes behind it in the same boot says so;
* how much of a run was lost where its RUN_END was not the last of it that could be told apart: lost, or behind the next
  run's first frame. Then ``frames_lost`` is unknown, never 0. The gaps in seq are still counted (`PortState.lost`);
* ticks from run begin, where no RUN_BEGIN and no RUN_END came before a frame of another run or boot did.

A frame that comes behind its run's end (delayed, its RUN_END was not) is not taken: the row of the run is written. It
counts in the run's ``frames_lost``.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterable
from typing import Any

from fakeboard import TOKEN
from injector import Arrival

from edgeprof import wire
from edgeprof.schema import TABLES

__all__ = ["TABLES_CHECKED", "Expected", "TooLateError", "rows_of"]

TABLES_CHECKED = ("runs", "tokens", "stages", "memory", "power", "events", "logits")
STAGES = ("embedding", "attention", "feed_forward", "head", "sampling", "other")
NUMBERS = {
    "board_clock_hz": float, "n_params": int, "model_bytes": int, "n_ctx": int, "ram_bytes": int, "flash_bytes": int,
    "ram_needed_bytes": int, "flash_needed_bytes": int, "seed": int,
}  # fmt: skip


class TooLateError(Exception):
    """A frame arrived behind the next run of its boot, or behind its boot; ``args`` has the arrival."""


def pairs(body: bytes) -> dict[str, str]:
    said, at = {}, 0
    while at < len(body):
        k, v = body[at], body[at + 1]
        said[body[at + 2 : at + 2 + k].decode()] = body[at + 2 + k : at + 2 + k + v].decode()
        at += 2 + k + v
    return said


def rows_of(frame: wire.Frame, t_begin: int | None, t_host_ns: int, port: int) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield the rows that a frame's records are."""
    t0, dt, body = frame.t0, frame.dt, frame.body

    def ticks(offset: int) -> int | None:
        return None if t_begin is None else t0 - t_begin + offset * dt

    if frame.type == 0x10:
        for start, took, token, following, top1, nll, position, window, n, flags in TOKEN.iter_unpack(body):
            yield "tokens", {
                "window": None if window == 0xFFFF else window, "position": position, "token_id": token,
                "phase": ("prefill", "decode", "score")[flags & 3], "next_id": following, "scored": bool(flags & 4),
                "nll": nll, "top1_id": top1, "n_batch": n, "ticks_start": ticks(start), "ticks": took * dt,
                "t_host_ns": t_host_ns, "source": "device",
            }  # fmt: skip
    elif frame.type == 0x11:
        for position, stage, took in struct.iter_unpack("<HBxI", body):
            yield "stages", {"position": position, "stage": STAGES[stage], "ticks": took * dt}
    elif frame.type == 0x12:
        names = ("heap_bytes", "heap_peak_bytes", "stack_peak_bytes", "kv_bytes")
        for offset, *values in struct.iter_unpack("<5I", body):
            known = [None if v == 0xFFFFFFFF else v for v in values]
            yield "memory", {"ticks": ticks(offset)} | dict(zip(names, known, strict=True))
    elif frame.type == 0x13:
        unit, voltage, meter = struct.unpack_from("<IHB", body)
        for i, (count,) in enumerate(struct.iter_unpack("<H", body[8:])):
            yield "power", {
                "port": port, "ticks": ticks(i) if frame.run else None, "t_host_ns": t_host_ns,
                "current_ua": count * float(unit) / 1000.0, "voltage_mv": None if voltage == 0xFFFF else voltage,
                "meter": f"meter {meter}" if meter else "board",
            }  # fmt: skip
    elif frame.type == 0x14:
        for offset, kind, number in struct.iter_unpack("<IBBxx", body):
            name = {1: "mark", 2: "gpio edge"}.get(kind, f"kind {kind}")
            at = {"port": port, "start": t_host_ns, "ticks": ticks(offset)}
            yield "events", at | {"kind": name, "detail": f"id {number}"}
    elif frame.type == 0x15:
        position, window, first = struct.unpack_from("<HHI", body)
        values = [value for (value,) in struct.iter_unpack("<f", body[8:])]
        yield "logits", {"window": window, "position": position, "first_id": first, "logits": values}


class _Run:
    def __init__(self, ordinal: int, boot: int, run: int) -> None:
        self.ordinal, self.boot, self.run = ordinal, boot, run
        self.t_begin: int | None = None
        self.said: dict[str, str] = {}
        self.frames = self.passes = 0


class Expected:
    """What a capture of these arrivals must hold.

    Parameters
    ----------
    arrivals
        What stands whole in the stream.
    read
        Each read is of so many bytes, and a microsecond after the last one.
    end_status
        Of a run that is open at the end.

    Raises
    ------
    TooLateError
        A first copy came so late that its run is not the one that is open, nor the last one that was.
    """

    def __init__(self, arrivals: Iterable[Arrival], *, read: int, end_status: str = "aborted", port: int = 0) -> None:
        self.rows: dict[str, Counter[str]] = {name: Counter() for name in TABLES_CHECKED}
        self.frames = self.duplicates = self.resets = self.late = 0
        self.lost_in_runs = self.unknown_losses = 0
        self._lost: dict[int, tuple[int, int]] = {}
        self._read, self._port = read, port
        self._run: _Run | None = None
        self._closed: tuple[int, int] | None = None
        self._pending: list[Arrival] = []
        self._ordinal = self._newest = 0
        self._boot: int | None = None
        self._base, self._seen, self._hello = 0, set[int](), dict[str, str]()
        for arrival in arrivals:
            self._take(arrival)
        self._settle(None)
        if self._run is not None:
            self._close(end_status, None)

    @property
    def lost(self) -> int:
        """Frames that the numbers of those that arrived say are missing."""
        return sum(span - seen for span, seen in self._lost.values())

    def _take(self, arrival: Arrival) -> None:
        f = arrival.frame
        if f.boot != self._boot:
            self._begin_boot(arrival)
        elif self._run is not None and f.run not in (0, self._run.run):
            self._settle(None)  # also by a copy
        if self._run is not None and f.run == self._run.run and f.type in (2, 3) and self._pending:
            self._learn(f)
        if f.seq < self._base or f.seq in self._seen:
            self.duplicates += 1
            return
        name = (f.boot, f.run)
        if f.run and f.run < self._newest and name != self._closed:
            raise TooLateError(arrival)
        self._seen.add(f.seq)
        self._lost[f.boot] = (max(self._seen) + 1 - self._base, len(self._seen))
        self.frames += 1
        if f.type == 1:
            self._hello |= pairs(f.body)
        if not f.run:
            self._add(arrival, None, None)
        elif name == self._closed:
            self.late += 1
        else:
            self._in_run(arrival)

    def _begin_boot(self, arrival: Arrival) -> None:
        f = arrival.frame
        if f.boot in self._lost:
            raise TooLateError(arrival)
        self._settle(None)
        if self._run is not None:
            self._close("reset", None)
        self.resets += self._boot is not None
        self._base = f.seq if self._boot is None else 0
        self._boot, self._newest, self._seen, self._hello = f.boot, 0, set(), {}

    def _in_run(self, arrival: Arrival) -> None:
        f = arrival.frame
        if self._run is not None and self._run.run != f.run:
            self._close(None, None)
        if self._run is None:
            self._ordinal += 1
            self._run = _Run(self._ordinal, f.boot, f.run)
        self._newest = f.run
        self._run.frames += 1
        if f.type in (2, 3):
            self._learn(f)
        if f.type == 0x10:
            self._run.passes += f.n
        if self._run.t_begin is None:
            self._pending.append(arrival)
        else:
            self._add(arrival, self._run, self._run.t_begin)
        if f.type == 3:
            self._close("ok", f)

    def _learn(self, f: wire.Frame) -> None:
        assert self._run is not None
        if f.type == 2:
            self._run.said = pairs(f.body)
        t_begin = f.t0 if f.type == 2 else struct.unpack_from("<Q", f.body, 32)[0]
        self._settle(t_begin)
        if self._run.t_begin is None:
            self._run.t_begin = t_begin

    def _settle(self, t_begin: int | None) -> None:
        """Say of the frames that waited when their run began, if that is known."""
        for arrival in self._pending:
            self._add(arrival, self._run, t_begin)
        self._pending = []

    def _run_id(self, run: _Run | None) -> str | None:
        return f"c/{self._port}-{run.ordinal:04d}" if run else None

    def _add(self, arrival: Arrival, run: _Run | None, t_begin: int | None) -> None:
        t_host_ns = ((arrival.end - 1) // self._read + 1) * 1000
        for table, row in rows_of(arrival.frame, t_begin, t_host_ns, self._port):
            self._row(table, row | {"run_id": self._run_id(run)})

    def _row(self, table: str, row: dict[str, Any]) -> None:
        whole = {c.name: None for c in TABLES[table]} | {"capture_id": "c"} | row
        self.rows[table][json.dumps(whole, sort_keys=True)] += 1

    def _close(self, status: str | None, end: wire.Frame | None) -> None:
        run = self._run
        assert run is not None
        said = {k: v for k, v in (self._hello | run.said).items() if k not in ("fits", "request")}
        row: dict[str, Any] = {k: NUMBERS.get(k, str)(v) for k, v in said.items()}
        row |= {"run_id": self._run_id(run), "port": self._port, "boot": run.boot, "status": status}
        row |= {"passes_received": run.passes}
        if end is not None:
            _, n_prompt, n_generated, frames, passes, _, _, _, t_begin = wire.RUN_END.unpack(end.body)
            lost = frames + 1 - run.frames
            row |= {"n_prompt": n_prompt, "n_generated": n_generated, "passes": passes, "frames_lost": lost}
            row["ticks_total"] = end.t0 - t_begin
            self.lost_in_runs += lost
        else:
            self.unknown_losses += 1
        self._row("runs", row)
        self._closed, self._run = (run.boot, run.run), None
