"""Following one port of a capture: what its journal says since the last look, as figures of the last minute and totals.

Only reads. What comes is decoded once, behind the state that the bytes before left, as the sealer does it; of what was
decoded only bins, sums and the end of the text are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from edgeprof.clock_points import rate_of
from edgeprof.decode import decode_port
from edgeprof.decode_state import PortState
from edgeprof.journal import IndexTail, Tail
from edgeprof.monitor.bins import Bins
from edgeprof.tables import build
from edgeprof.tokenizer import decode_piece

__all__ = ["COUNTED", "PortFollower", "Totals"]

TEXT_CHARACTERS = 4000
COUNTED = ("tokens", "runs", "logs")
"""Tables whose rows are counted."""


@dataclass(slots=True)
class Totals:
    """What came over a port so far."""

    bytes: int = 0
    frames: int = 0
    frames_lost: int = 0
    bytes_discarded: int = 0
    passes: int = 0
    runs: int = 0
    lines: int = 0


class PortFollower:
    """One port's journal, looked at now and then.

    Parameters
    ----------
    capture
        The capture's folder.
    header
        What the capture was told at its start (:func:`edgeprof.seal.load_capture`).
    port
        Index of the port.
    """

    def __init__(self, capture: Path, header: Mapping[str, Any], port: int) -> None:
        self.capture_id, self.port, self.facts = header["capture_id"], port, header["ports"][port].get("facts", {})
        self.name = str(header["ports"][port].get("name") or header["ports"][port]["url"])
        self.emulated = self.facts.get("emulator") is not None
        self._start_ns = header["monotonic_start_ns"]
        self._pieces: list[str] = header.get("vocab", {}).get(self.facts.get("model_sha256"), [])
        self._tail, self._index = Tail(capture, port), IndexTail(capture, port)
        self.totals = Totals()
        self.tokens, self.itl, self.memory, self.current = Bins(), Bins(), Bins(), Bins()
        self.memory_of = "heap"
        self.text = ""
        self.clock, self.hz = "", 0.0
        self._last_end = ("", np.nan, np.nan, np.nan)
        self._last_pass: tuple[str, str, int | None] = ("", "", None)
        self.resume(PortState(), {})

    def resume(self, state: PortState, rows: Mapping[str, int]) -> None:
        """Go on behind what is sealed already, of which tables have so many rows of this port."""
        self.state, self._pending = state, b""
        self._reads = np.empty((0, 2), np.int64)
        self.totals.passes, self.totals.runs, self.totals.lines = (rows.get(t, 0) for t in COUNTED)
        self._count()

    def _count(self) -> None:
        t, s = self.totals, self.state
        t.bytes, t.frames, t.frames_lost, t.bytes_discarded = (
            s.offset + len(self._pending),
            s.frames,
            s.lost,
            s.discarded,
        )

    def look(self, breaks: Sequence[int] = ()) -> int | None:
        """Take up to a megabyte of what came; return how much that was.

        ``breaks`` are stream offsets at which the port had vanished. None: bytes that were not seen here are sealed and
        no longer in the journal; :meth:`resume` behind them.
        """
        chunk = self._tail.read()
        if not chunk:
            return 0
        begin, wanted = self._tail.offset - len(chunk), self.state.offset + len(self._pending)
        if begin > wanted:
            return None
        data = self._pending + chunk[wanted - begin :]
        if new := self._index.read():
            self._reads = np.concatenate([self._reads, np.array(new, np.int64)])
        before = self.state.offset
        first = max(int(np.searchsorted(self._reads[:, 0], before, side="right")) - 1, 0)
        self._reads = self._reads[first:]
        rows, self.state = decode_port(
            [data], self.state, capture_id=self.capture_id, port=self.port, facts=self.facts,
            reads=(self._reads[:, 0], self._reads[:, 1] - self._start_ns), breaks=breaks,
        )  # fmt: skip
        self._pending = data[self.state.offset - before :]
        self._count()
        self._take(build(rows, self.capture_id))
        return len(chunk)

    # -- rows ----------------------------------------------------------------------------------------------
    def _take(self, tables: Mapping[tuple[str, Any], pa.Table]) -> None:
        self._learn_clock()
        ended = [t for (name, _), t in tables.items() if name == "runs"]
        self._prompts = {
            r["run_id"]: r["prompt_id"] for t in ended for r in t.select(["run_id", "prompt_id"]).to_pylist()
        }
        for (name, _), table in tables.items():
            if name == "tokens":
                self._tokens(table)
            elif name == "memory":
                heap, kv = _floats(table["heap_bytes"]), _floats(table["kv_bytes"])
                self.memory_of = "KV cache" if np.isnan(heap).all() else "heap"
                self.memory.add(self._seen_until(), kv if np.isnan(heap).all() else heap)
            elif name == "power":
                self.current.add(_floats(table["t_host_ns"]) / 1e9, _floats(table["current_ua"]))
            elif name == "runs":
                self.totals.runs += len(table)
            elif name == "logs":
                self.totals.lines += len(table)
                self._say("".join(f"{line}\n" for line in table["text"].to_pylist()[-200:]), line=True)

    def _learn_clock(self) -> None:
        said = [self.state.run.pairs if self.state.run else {}, self.state.hello]
        clock = next((pairs["clock"] for pairs in said if "clock" in pairs), self.clock)
        hz = rate_of(*said) or 0.0
        if (clock, hz) != (self.clock, self.hz) and (self.state.run or not self.clock):
            self.clock, self.hz, self.itl = clock, hz, Bins()  # ticks of one clock are not those of another

    def _seen_until(self) -> float:
        """Return the host's time of the last bytes, in seconds: rows of ``memory`` have none of their own."""
        return float(self._reads[-1, 1] - self._start_ns) / 1e9 if len(self._reads) else 0.0

    def _tokens(self, table: pa.Table) -> None:
        self.totals.passes += len(table)
        phase = np.array(table["phase"].to_pylist())
        decode, at = phase == "decode", _floats(table["t_host_ns"]) / 1e9
        self.tokens.add(at[decode], 1.0)
        runs = [str(run) for run in table["run_id"].to_pylist()]
        ends = _floats(table["ticks_start"]) + _floats(table["ticks"])
        same = np.array([a == b for a, b in zip(runs, [self._last_end[0], *runs[:-1]], strict=True)])
        _, end, position, batch = self._last_end
        # As edgeprof.passes has it: a pass that is missing gives no latency, rather than a long one.
        positions, batches = _floats(table["position"]), _floats(table["n_batch"])
        step = np.diff(positions, prepend=position)
        follows = same & ((step == 1) | (step == np.concatenate([[batch], batches[:-1]])))
        gaps = np.where(decode & follows, np.diff(ends, prepend=end), np.nan)
        self._last_end = (runs[-1], float(ends[-1]), float(positions[-1]), float(batches[-1]))
        with np.errstate(over="ignore"):  # a board may say that it ticks 1e-300 times a second
            self.itl.add(at, gaps / self.hz if self.hz else gaps)
        self._words(runs, phase, table["next_id"].to_pylist())

    def _words(self, runs: Sequence[str], phase: npt.NDArray[Any], ids: Sequence[int | None]) -> None:
        """Add what was generated to the text: the next token of each decode pass, and of the last one of the prompt."""
        said: list[str] = []
        run, before, first = self._last_pass
        for i in range(max(len(ids) - TEXT_CHARACTERS, 0), len(ids)):
            if runs[i] != run:
                said.append(f"\n[{self._label(runs[i])}]\n")
                before = ""
            if phase[i] == "decode":
                said += [self._piece(token) for token in ((first,) if before == "prefill" else ()) + (ids[i],)]
            run, before, first = runs[i], phase[i], ids[i]
        self._last_pass = (run, before, first)
        self._say("".join(said))

    def _label(self, run_id: str) -> str:
        run = self.state.run
        is_open = run is not None and run_id.endswith(f"-{run.ordinal:04d}")
        prompt = run.pairs.get("prompt_id") if run and is_open else self._prompts.get(run_id)
        return f"run {run_id.rpartition('/')[2]}" + (f", {prompt}" if prompt else "")

    def _piece(self, token: int | None) -> str:
        if token is None:
            return "[?]"
        return decode_piece(self._pieces[token]) if token < len(self._pieces) else f"[{token}]"

    def _say(self, text: str, *, line: bool = False) -> None:
        if line and self.text and not self.text.endswith("\n"):
            text = f"\n{text}"
        self.text = (self.text + text)[-TEXT_CHARACTERS:]

    def close(self) -> None:
        """Let go of the journal's files."""
        self._tail.close()
        self._index.close()


def _floats(column: pa.ChunkedArray[Any]) -> npt.NDArray[np.float64]:
    """Return a column as numbers, NaN where it is unknown."""
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
