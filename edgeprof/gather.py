"""Rows of one port on their way: TOKENS and POWER frames are gathered, and become columns many at once."""

from __future__ import annotations

from typing import Any

from edgeprof.block import Block
from edgeprof.decode_state import Group, OpenRun, Rows
from edgeprof.read_times import ReadTimes
from edgeprof.records import power_columns, token_columns
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
        self.rows = Rows()
        self._tokens: list[Part] = []
        self._power: list[Part] = []
        self._power_of: tuple[str | None, Group, int | None] = (None, ("", "", ""), None)

    def take_rows(self) -> Rows:
        """Return the rows so far, and begin anew."""
        rows, self.rows = self.rows, Rows()
        return rows

    def tokens(self, part: Part) -> None:
        """Keep TOKENS of the open run."""
        self._tokens.append(part)

    def power(self, run_id: str | None, group: Group, t_begin: int | None, part: Part) -> None:
        """Keep samples with those of the same run: thousands may come between two tokens."""
        of = (run_id, group, t_begin)
        if of != self._power_of:
            self.flush_power()
            self._power_of = of
        self._power.append(part)

    def flush_tokens(self, run: OpenRun, run_id: str, group: Group) -> None:
        """Turn the gathered records of the open run into rows."""
        if not self._tokens:
            return
        block, self._tokens = Block.of(self._tokens), []
        columns: dict[str, Any] = {"run_id": run_id} | token_columns(block, run.t_begin)
        self.rows.add("tokens", group, columns | {"t_host_ns": self.times.of_records(block.ends, block.n)})
        run.passes += int(block.n.sum())

    def flush_power(self) -> None:
        """Turn the gathered samples into rows."""
        if not self._power:
            return
        block, self._power = Block.of(self._power), []
        run_id, group, t_begin = self._power_of
        columns = {"run_id": run_id, "port": self.port} | power_columns(block, t_begin)
        self.rows.add("power", group, columns | {"t_host_ns": self.times.of_records(block.ends, block.n)})
