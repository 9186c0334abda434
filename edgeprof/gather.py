"""Rows of one port on their way: TOKENS, POWER and LOGITS frames are gathered, and become columns many at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprof.block import Block
from edgeprof.clock_points import ClockPoints, rate_of, sent_at
from edgeprof.decode_state import Group, OpenRun, Rows
from edgeprof.read_times import ReadTimes
from edgeprof.records import logits_columns, power_columns, token_columns
from edgeprof.wire import Frame

__all__ = ["Gathered", "Part"]

Part = Block | tuple[Frame, int]
"""Frames, or one frame and the stream offset behind it."""


class Gathered:
    """The rows of one port, and the frames that are none yet.

    Parameters
    ----------
    port
        Index of the port.
    times
        When the host had its bytes.
    """

    def __init__(self, port: int, times: ReadTimes) -> None:
        self.port, self.times = port, times
        self.clock = ClockPoints(port, times)
        self.rows = Rows()
        self._tokens: list[Part] = []
        self._power: list[Part] = []
        self._logits: list[Part] = []
        self._power_of: tuple[str | None, Group, int | None] = (None, ("", "", ""), None)

    def take_rows(self) -> Rows:
        """Return the rows so far, and begin anew."""
        rows, self.rows = self.rows, Rows()
        return rows

    def tokens(self, part: Part) -> None:
        """Keep TOKENS of the open run."""
        self._tokens.append(part)

    def logits(self, part: Part) -> None:
        """Keep LOGITS of the open run."""
        self._logits.append(part)

    def other_power(self, run_id: str | None, group: Group, t_begin: int | None) -> bool:
        """Tell whether samples are of another run than those that are kept, which must be flushed first."""
        return bool(self._power) and self._power_of != (run_id, group, t_begin)

    def power(self, run_id: str | None, group: Group, t_begin: int | None, part: Part) -> None:
        """Keep samples with those of the same run: thousands may come between two tokens."""
        self._power_of = (run_id, group, t_begin)
        self._power.append(part)

    def flush_tokens(self, run: OpenRun, run_id: str, group: Group, said: Mapping[str, str]) -> None:
        """Turn the gathered records of the open run into rows; ``said`` is what HELLO said."""
        if not self._tokens:
            return
        block, self._tokens = Block.of(self._tokens), []
        columns: dict[str, Any] = {"run_id": run_id} | token_columns(block, run.t_begin)
        self.rows.add("tokens", group, columns | {"t_host_ns": self.times.of_records(block.ends, block.n)})
        run.passes += int(block.n.sum())
        if (hz := rate_of(run.pairs, said)) is not None:
            self.clock.add(run.boot, hz, sent_at(block, tokens=True), block.ends)

    def flush_logits(self, run_id: str, group: Group) -> None:
        """Turn the gathered logits of the open run into rows, one a frame."""
        if self._logits:
            block, self._logits = Block.of(self._logits), []
            self.rows.add("logits", group, {"run_id": run_id} | logits_columns(block))

    def flush_power(self, boot: int, said: Mapping[str, str]) -> None:
        """Turn the gathered samples into rows; ``said`` is what HELLO and RUN_BEGIN said."""
        if not self._power:
            return
        block, self._power = Block.of(self._power), []
        run_id, group, t_begin = self._power_of
        columns = {"run_id": run_id, "port": self.port} | power_columns(block, t_begin)
        self.rows.add("power", group, columns | {"t_host_ns": self.times.of_records(block.ends, block.n)})
        if (hz := rate_of(said)) is not None:
            self.clock.add(boot, hz, sent_at(block, tokens=False), block.ends)
