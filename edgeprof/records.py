"""The records of a frame as numpy sees them, and device values as columns take them.

What does not fit a column (a tick beyond 64 bits, a number that is none) is unknown, never wrapped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from edgeprof.block import Block, spread
from edgeprof.wire import LOGITS, POWER, Frame

__all__ = [
    "TICKS_MAX", "event_columns", "logits_columns", "memory_columns", "power_columns", "stage_columns",
    "token_columns", "unknown_where",
]  # fmt: skip

TOKEN = np.dtype(
    [("start", "<u4"), ("ticks", "<u4"), ("token", "<u4"), ("next", "<u4"), ("top1", "<u4"), ("nll", "<f4"),
     ("position", "<u2"), ("window", "<u2"), ("n_batch", "u1"), ("flags", "u1")]
)  # fmt: skip
STAGE = np.dtype([("position", "<u2"), ("stage", "u1"), ("pad", "u1"), ("ticks", "<u4")])
MEMORY = np.dtype([("offset", "<u4"), ("heap", "<u4"), ("heap_peak", "<u4"), ("stack", "<u4"), ("kv", "<u4")])
EVENT = np.dtype([("offset", "<u4"), ("kind", "u1"), ("id", "u1"), ("pad", "<u2")])
SAID = np.dtype([("unit_na", "<u4"), ("voltage_mv", "<u2"), ("meter", "u1"), ("pad", "u1")])
"""What a POWER frame says before its samples."""
OF_LOGITS = np.dtype([("position", "<u2"), ("window", "<u2"), ("first", "<u4")])
"""What a LOGITS frame says before its logits."""
PHASES = pa.array(["prefill", "decode", "score", "unknown"])
STAGES = ("embedding", "attention", "feed_forward", "head", "sampling", "other")
EVENTS = {1: "mark", 2: "gpio edge"}
NONE = 0xFFFFFFFF
"""What an unknown number of bytes is on the wire."""
TICKS_MAX = 2.0**62
"""Ticks beyond this do not fit: no clock gets there, but a device may claim anything."""


def unknown_where(values: npt.NDArray[Any], mask: npt.NDArray[Any]) -> Any:
    """Return values, masked where they are not known."""
    return np.ma.masked_array(values, mask=mask) if mask.any() else values


def _bases(t0: npt.NDArray[np.uint64], t_begin: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return ticks from run begin to each frame's t0, and where they do not fit (there they are 0)."""
    bases = (t0 - np.uint64(t_begin)).view(np.int64)
    # Modulo 2^64 a distance of more than 2^63 would look near.
    absurd = np.abs(t0.astype(np.float64) - float(t_begin)) >= 1.5 * TICKS_MAX
    absurd |= np.abs(bases) >= int(TICKS_MAX)
    absurd |= bases == np.iinfo(np.int64).min  # has no absolute value
    return np.where(absurd, 0, bases), absurd


def scaled_ticks(
    values: npt.NDArray[Any],
    scales: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    bases: tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]] | None = None,
) -> Any:
    """Return values times their frame's scale plus its base, unknown where that does not fit 64 bits."""
    scales = np.maximum(scales, 1)
    base, absurd = bases or (np.zeros(len(counts), np.int64), np.zeros(len(counts), bool))
    if not len(values):
        return np.empty(0, np.int64)
    ticks = values.astype(np.int64)
    most = float(values.max()) * float(scales.max()) + float(np.abs(base).max())
    if not absurd.any() and most < TICKS_MAX / 2:
        if scales.max() > 1:
            ticks *= spread(scales, counts)
        if bases is not None:
            ticks += spread(base, counts)
        return ticks
    scale, far = spread(scales, counts), spread(absurd, counts)
    base = spread(base, counts)
    far = far | (np.abs(values.astype(np.float64) * scale + base) >= TICKS_MAX)
    return unknown_where(ticks * scale + base, far)


def _from_begin(frame: Frame, offsets: npt.NDArray[Any], t_begin: int | None) -> Any:
    if t_begin is None:
        return [None] * len(offsets)
    bases = _bases(np.array([frame.t0], np.uint64), t_begin)
    return scaled_ticks(offsets, np.array([frame.dt], np.int64), np.array([len(offsets)], np.int64), bases)


def token_columns(block: Block, t_begin: int | None) -> dict[str, Any]:
    """Return the columns of a run's TOKENS frames; ``ticks_start`` is unknown without ``t_begin`` (ticks)."""
    records = np.frombuffer(b"".join(block.bodies), TOKEN)
    starts = None
    if t_begin is not None:
        starts = scaled_ticks(records["start"], block.dt, block.n, _bases(block.t0, t_begin))
    flags = np.ascontiguousarray(records["flags"])
    return {
        "window": unknown_where(records["window"].astype(np.int32), records["window"] == 0xFFFF),
        "position": records["position"].astype(np.int64),
        "phase": pa.DictionaryArray.from_arrays((flags & 3).astype(np.int32), PHASES),
        "token_id": records["token"].astype(np.int64),
        "next_id": unknown_where(records["next"].astype(np.int64), flags & 16 == 0),
        "scored": flags & 4 > 0,
        "nll": unknown_where(np.ascontiguousarray(records["nll"]), flags & 8 == 0),
        "top1_id": unknown_where(records["top1"].astype(np.int64), flags & 32 == 0),
        "n_batch": records["n_batch"].astype(np.int64),
        "ticks_start": starts,
        "ticks": scaled_ticks(records["ticks"], block.dt, block.n),
        "source": "device",
    }


def logits_columns(block: Block) -> dict[str, Any]:
    """Return the columns of a run's LOGITS frames: a row a frame, its logits verbatim."""
    said = np.frombuffer(b"".join([body[: LOGITS.size] for body in block.bodies]), OF_LOGITS)
    values = np.frombuffer(b"".join([body[LOGITS.size :] for body in block.bodies]), "<f4")
    ends: Any = pa.array(np.concatenate([[0], np.cumsum(block.n)]), pa.int32())
    return {
        "window": unknown_where(said["window"].astype(np.int32), said["window"] == 0xFFFF),
        "position": said["position"].astype(np.int32),
        "first_id": unknown_where(said["first"].astype(np.int32), said["first"] > np.iinfo(np.int32).max),
        "logits": pa.ListArray.from_arrays(ends, pa.array(values)),
    }


def stage_columns(frame: Frame) -> dict[str, Any]:
    """Return the columns of a STAGES frame."""
    r = np.frombuffer(frame.body, STAGE)
    return {
        "position": r["position"],
        "stage": [STAGES[s] if s < len(STAGES) else "other" for s in r["stage"]],
        "ticks": scaled_ticks(r["ticks"], np.array([frame.dt], np.int64), np.array([len(r)], np.int64)),
    }


def memory_columns(frame: Frame, t_begin: int | None) -> dict[str, Any]:
    """Return the columns of a MEMORY frame."""
    r = np.frombuffer(frame.body, MEMORY)
    columns: dict[str, Any] = {"ticks": _from_begin(frame, r["offset"], t_begin)}
    for name, source in (("heap", "heap"), ("heap_peak", "heap_peak"), ("stack_peak", "stack"), ("kv", "kv")):
        columns[f"{name}_bytes"] = unknown_where(r[source].astype(np.int64), r[source] == NONE)
    return columns


def power_columns(block: Block, t_begin: int | None) -> dict[str, Any]:
    """Return the columns of POWER frames; ``ticks`` is unknown without ``t_begin`` (ticks)."""
    counts, largest = block.n, int(block.n.max())
    if (counts == largest).all():
        whole = np.frombuffer(b"".join(block.bodies), np.dtype([("said", SAID), ("samples", "<u2", (largest,))]))
        said, samples = whole["said"], whole["samples"].reshape(-1)
    else:
        said = np.frombuffer(b"".join([body[: POWER.size] for body in block.bodies]), SAID)
        samples = np.frombuffer(b"".join([body[POWER.size :] for body in block.bodies]), "<u2")
    ticks = None
    if t_begin is not None:
        ticks = _uniform_ticks(block, _bases(block.t0, t_begin))
    units = said["unit_na"]
    current = samples.astype(np.float64)
    current *= float(units[0]) if _alike(units) else spread(units, counts)
    current /= 1000.0
    return {
        "ticks": ticks,
        "current_ua": current,
        "voltage_mv": _voltages(said["voltage_mv"], counts),
        "meter": _meters(said["meter"], counts),
    }


def _uniform_ticks(block: Block, bases: tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]) -> Any:
    """Return the ticks of each frame's samples, which are ``dt`` apart."""
    counts, largest = block.n, int(block.n.max())
    number = np.arange(largest, dtype=np.int64)
    base, absurd = bases
    dt = np.maximum(block.dt, 1)
    most = float(largest) * float(dt.max()) + float(np.abs(base).max())
    if (counts == largest).all() and _alike(dt) and not absurd.any() and most < TICKS_MAX / 2:
        return (base[:, None] + (number * dt[0])[None, :]).reshape(-1)
    each = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return scaled_ticks(each, block.dt, counts, bases)


def _alike(values: npt.NDArray[Any]) -> bool:
    return bool((values == values[0]).all())


def _voltages(said: npt.NDArray[np.uint16], counts: npt.NDArray[np.int64]) -> Any:
    """Return each sample's supply: a scalar if all frames agree, as they do from one meter."""
    if _alike(said):
        return None if said[0] == 0xFFFF else int(said[0])
    each = spread(said, counts)
    return unknown_where(each.astype(np.int32), each == 0xFFFF)


def _meters(said: npt.NDArray[np.uint8], counts: npt.NDArray[np.int64]) -> Any:
    """Return each sample's meter by its name: a scalar if all frames agree."""
    numbers, which = np.unique(said, return_inverse=True)
    names = [f"meter {m}" if m else "board" for m in numbers.tolist()]
    if len(names) == 1:
        return names[0]
    return pa.DictionaryArray.from_arrays(spread(which.astype(np.int32), counts), pa.array(names))


def event_columns(frame: Frame, t_begin: int | None) -> dict[str, Any]:
    """Return the columns of an EVENT frame."""
    r = np.frombuffer(frame.body, EVENT)
    return {
        "kind": [EVENTS.get(k, f"kind {k}") for k in r["kind"]],
        "ticks": _from_begin(frame, r["offset"], t_begin),
        "detail": [f"id {i}" for i in r["id"]],
    }
