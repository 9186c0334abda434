"""The records of a frame as numpy sees them, and device values as columns take them.

What does not fit a column (a tick beyond 64 bits, a number that is none) is unknown, never wrapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprof.wire import POWER, Frame, decode_power

__all__ = [
    "TICKS_MAX", "event_columns", "memory_columns", "power_columns", "stage_columns", "token_columns", "unknown_where",
]  # fmt: skip

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
NONE = 0xFFFFFFFF
"""What an unknown number of bytes is on the wire."""
TICKS_MAX = 2.0**62
"""Ticks beyond this do not fit: no clock gets there, but a device may claim anything."""


def unknown_where(values: npt.NDArray[Any], mask: npt.NDArray[Any]) -> Any:
    """Return values, masked where they are not known."""
    return np.ma.masked_array(values, mask=mask) if mask.any() else values


def scaled_ticks(values: npt.NDArray[Any], scales: list[int], counts: list[int], bases: list[int]) -> Any:
    """Return values times their frame's scale plus its base, unknown where that does not fit 64 bits."""
    scale = np.repeat(np.array([max(s, 1) for s in scales], np.int64), counts)
    base = np.repeat(np.array([b if abs(b) < TICKS_MAX else 0 for b in bases], np.int64), counts)
    absurd = np.repeat(np.array([abs(b) >= TICKS_MAX for b in bases]), counts)
    absurd |= np.abs(values.astype(np.float64) * scale + base) >= TICKS_MAX
    return unknown_where(values.astype(np.int64) * scale + base, absurd)


def _from_begin(frame: Frame, offsets: npt.NDArray[Any], t_begin: int | None) -> Any:
    if t_begin is None:
        return [None] * len(offsets)
    return scaled_ticks(offsets, [frame.dt], [len(offsets)], [frame.t0 - t_begin])


def token_columns(frames: Sequence[Frame], t_begin: int | None) -> dict[str, Any]:
    """Return the columns of a run's TOKENS frames, all at once; ``ticks_start`` is unknown without ``t_begin``."""
    records = np.frombuffer(b"".join(frame.body for frame in frames), TOKEN)
    counts, scales = [frame.n for frame in frames], [frame.dt for frame in frames]
    starts: Any = [None] * len(records)
    if t_begin is not None:
        starts = scaled_ticks(records["start"], scales, counts, [frame.t0 - t_begin for frame in frames])
    flags = records["flags"]
    return {
        "window": unknown_where(records["window"].astype(np.int32), records["window"] == 0xFFFF),
        "position": records["position"].astype(np.int64),
        "phase": PHASES[flags & 3],
        "token_id": records["token"].astype(np.int64),
        "next_id": unknown_where(records["next"].astype(np.int64), flags & 16 == 0),
        "scored": flags & 4 > 0,
        "nll": unknown_where(records["nll"], flags & 8 == 0),
        "top1_id": unknown_where(records["top1"].astype(np.int64), flags & 32 == 0),
        "n_batch": records["n_batch"].astype(np.int64),
        "ticks_start": starts,
        "ticks": scaled_ticks(records["ticks"], scales, counts, [0] * len(counts)),
        "source": "device",
    }


def stage_columns(frame: Frame) -> dict[str, Any]:
    """Return the columns of a STAGES frame."""
    r = np.frombuffer(frame.body, STAGE)
    return {
        "position": r["position"],
        "stage": [STAGES[s] if s < len(STAGES) else "other" for s in r["stage"]],
        "ticks": scaled_ticks(r["ticks"], [frame.dt], [len(r)], [0]),
    }


def memory_columns(frame: Frame, t_begin: int | None) -> dict[str, Any]:
    """Return the columns of a MEMORY frame."""
    r = np.frombuffer(frame.body, MEMORY)
    columns: dict[str, Any] = {"ticks": _from_begin(frame, r["offset"], t_begin)}
    for name, source in (("heap", "heap"), ("heap_peak", "heap_peak"), ("stack_peak", "stack"), ("kv", "kv")):
        columns[f"{name}_bytes"] = unknown_where(r[source].astype(np.int64), r[source] == NONE)
    return columns


def power_columns(frames: Sequence[Frame], t_begin: int | None) -> dict[str, Any]:
    """Return the columns of POWER frames, all at once; ``ticks`` is unknown without ``t_begin``."""
    counts = [frame.n for frame in frames]
    samples = np.frombuffer(b"".join(frame.body[POWER.size :] for frame in frames), "<u2")
    said = [decode_power(frame.body) for frame in frames]
    units = np.repeat(np.array([unit for unit, _, _ in said], np.float64), counts)
    ticks: Any = [None] * len(samples)
    if t_begin is not None:
        number = np.arange(len(samples)) - np.repeat(np.cumsum([0, *counts[:-1]]), counts)
        scales, bases = [frame.dt for frame in frames], [frame.t0 - t_begin for frame in frames]
        ticks = scaled_ticks(number, scales, counts, bases)
    return {
        "ticks": ticks,
        "current_ua": samples * units / 1000.0,
        "voltage_mv": _repeat_each([mv for _, mv, _ in said], counts),
        "meter": _repeat_each([f"meter {m}" if m else "board" for _, _, m in said], counts),
    }


def _repeat_each(values: list[Any], counts: list[int]) -> Any:
    """Return each frame's value for each of its records: a scalar if they agree, as they do from one meter."""
    if len(set(values)) == 1:
        return values[0]
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]


def event_columns(frame: Frame, t_begin: int | None) -> dict[str, Any]:
    """Return the columns of an EVENT frame."""
    r = np.frombuffer(frame.body, EVENT)
    return {
        "kind": [EVENTS.get(k, f"kind {k}") for k in r["kind"]],
        "ticks": _from_begin(frame, r["offset"], t_begin),
        "detail": [f"id {i}" for i in r["id"]],
    }
