"""What decoding keeps: the state between two calls, and the rows that one call gathers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edgeprof.prints import Prints

__all__ = ["Group", "OpenRun", "PortState", "Rows"]


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
    old_boot: int | None = None
    old_missing: list[int] = field(default_factory=list)
    """What had not come of the boot before this one, should it come late."""
    frames: int = 0
    duplicates: int = 0
    discarded: int = 0
    lost: int = 0
    line: str | None = ""
    """The line of text that has no end yet; None where it cannot be known, behind damage or in too long a line."""
    adapters: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What each adapter remembers."""
    prints: Prints = field(default_factory=Prints)
    """What was printed of which it is not known yet whether it is a generation."""

    def is_over(self, boot: int, run: int) -> bool:
        """Tell whether a run is the last one that was closed, or older: run numbers grow, and begin anew at 2^16."""
        return (
            self.last_closed is not None and self.last_closed[0] == boot and (self.last_closed[1] - run) % 65536 < 32768
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PortState:
        """Return the state that :meth:`to_json` wrote."""
        values = dict(data)
        run = values.pop("run", None)
        closed = values.pop("last_closed", None)
        prints = Prints(**values.pop("prints", {}))
        return cls(
            **values, run=OpenRun(**run) if run else None, last_closed=tuple(closed) if closed else None, prints=prints
        )


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
