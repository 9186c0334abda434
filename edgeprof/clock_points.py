"""When frames were sent by the device's clock and had by the host: what a fit of the two clocks is made of.

Only where a tick is time, and only the arrivals that matter to a fit are kept (:func:`edgeprof.clock.hull_points`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprof.block import Block
from edgeprof.clock import fit_clock, hull_points
from edgeprof.read_times import ReadTimes
from edgeprof.records import TICKS_MAX, TOKEN

__all__ = ["ClockPoints", "fits", "rate_of", "sent_at"]

MAX_KNOTS = 64
"""A fit with more knots is kept without them: the table `clock` has what they were made of."""


def rate_of(*said: Mapping[str, str]) -> float | None:
    """Return the ticks a second that a device says of its clock; None where a tick is no time."""
    for pairs in said:
        try:
            hz = float(pairs.get("tick_hz", ""))
        except ValueError:
            continue
        if 0 < hz < math.inf:
            return hz
    return None


def sent_at(block: Block, *, tokens: bool) -> npt.NDArray[np.int64]:
    """Return the tick behind each frame's last record, before which it cannot have been sent; -1 where it is absurd."""
    t0 = np.where(block.t0 < TICKS_MAX, block.t0, 0).astype(np.float64)
    if tokens:
        records = np.frombuffer(b"".join(block.bodies), TOKEN)
        units = np.zeros(len(block.n))  # a frame of no records was sent at t0 at the earliest
        last = records[np.cumsum(block.n)[block.n > 0] - 1]
        units[block.n > 0] = last["start"].astype(np.float64) + last["ticks"]
    else:
        units = block.n.astype(np.float64)
    scale = np.maximum(block.dt, 1)
    sane = (block.t0 < TICKS_MAX) & (t0 + units * scale < TICKS_MAX)
    exact = np.where(sane, block.t0, 0).astype(np.int64) + np.where(sane, units, 0).astype(np.int64) * scale
    return np.where(sane, exact, -1)


class ClockPoints:
    """The arrivals of one port, boot by boot.

    Parameters
    ----------
    port
        Index of the port.
    times
        When the host had its bytes.
    """

    def __init__(self, port: int, times: ReadTimes) -> None:
        self.port, self.times = port, times
        self._found: dict[tuple[int, float], list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]] = {}

    def add(self, boot: int, tick_hz: float, ticks: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> None:
        """Take frames: when they were sent at the earliest, and the stream offsets behind them."""
        ns = self.times.ns(ends)
        known = (ns >= 0) & (ticks >= 0)
        if known.any():
            self._found.setdefault((boot, tick_hz), []).append((ticks[known], ns[known]))

    def columns(self) -> list[dict[str, Any]]:
        """Return batches of rows of the table ``clock``."""
        batches = []
        for (boot, hz), parts in self._found.items():
            ticks, ns = (np.concatenate(column) for column in zip(*parts, strict=True))
            order = np.argsort(ns, kind="stable")
            kept = order[hull_points(ticks[order], ns[order])]
            head = {"port": self.port, "boot": boot, "tick_hz": hz}
            batches.append(head | {"ticks": ticks[kept], "t_host_ns": ns[kept]})
        return batches


def fits(batches: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the columns ``clock_fit`` and ``clock_error_us`` of ``captures``.

    Parameters
    ----------
    batches
        Of the table ``clock``: scalars ``port``, ``boot``, ``tick_hz``; arrays ``ticks``, ``t_host_ns``.
    """
    found: dict[tuple[int, int, float], list[tuple[Any, Any]]] = {}
    for batch in batches:
        key = (int(batch["port"]), int(batch["boot"]), float(batch["tick_hz"]))
        found.setdefault(key, []).append((batch["ticks"], batch["t_host_ns"]))
    said, worst = [], None
    for (port, boot, hz), parts in sorted(found.items()):
        ticks, ns = (np.concatenate([np.asarray(part, np.int64) for part in c]) for c in zip(*parts, strict=True))
        try:
            fit = fit_clock(ticks, ns, hz)
        except (ArithmeticError, ValueError):  # whatever a device says of its clock, its capture can be closed
            fit = None
        if fit is None:
            continue
        entry = {"port": port, "boot": boot, "tick_hz": hz} | asdict(fit)
        if len(fit.ticks) > MAX_KNOTS:
            entry |= {"ticks": None, "host_ns": None}
        said.append(entry)
        worst = fit.error_us if worst is None else max(worst, fit.error_us)
    return {"clock_fit": json.dumps(said) if said else None, "clock_error_us": worst}
