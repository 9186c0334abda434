"""A board's facts as people read them, in the listing of all and of one alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprof import units

if TYPE_CHECKING:
    from edgeprof.boards import Board

__all__ = ["facts"]


def facts(board: Board) -> dict[str, str]:
    """Return name, core, what a tick is, the core's clock, RAM and flash."""
    return {
        "board": board.name,
        "core": board.core,
        "a tick is": board.clock,
        "core clock": units.si(board.board_clock_hz, "Hz"),
        "RAM": units.iec(board.ram_bytes),
        "flash": units.iec(board.flash_bytes),
    }
