"""A run's row: what the host knew, what HELLO and RUN_BEGIN said, and the totals of RUN_END."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgeprof import schema
from edgeprof.records import TICKS_MAX

__all__ = ["run_row"]

_RUN_TYPES = {c.name: c.type for c in schema.TABLES["runs"]}
# What a device may say of itself; the host's and the derived columns are not its to set.
_DEVICE_KEYS = set(schema.device_columns("runs")) - {"boot", "status", "ticks_total", "passes", "n_generated"}
# What only a HELLO says, and only of itself.
_NOT_OF_THE_RUN = ("request", "fits")


def run_row(
    facts: Mapping[str, Any], said: Mapping[str, str], totals: Mapping[str, int] | None, frames: int
) -> dict[str, Any]:
    """Return the columns that a run's row takes from the host's facts and from the device.

    Parameters
    ----------
    facts
        Columns that the host knows, and ``tags``.
    said
        The device's key-value pairs, as text. What is no column of the device's goes to ``tags``, and so does what
        is not of its column's type.
    totals
        Of RUN_END, with ``t_end``; None if it was not seen.
    frames
        How many frames of the run arrived, RUN_END among them.
    """
    row: dict[str, Any] = dict(facts)
    tags: dict[str, str] = dict(row.pop("tags", {}))
    for key, text in said.items():
        if key not in _DEVICE_KEYS:
            if key not in _NOT_OF_THE_RUN:
                tags[key] = text
            continue
        value = _typed(text, _RUN_TYPES[key])
        if value is None and text:
            tags[key] = text
        row[key] = value
    row["tags"] = json.dumps(tags, sort_keys=True) if tags else None
    if totals:
        ticks, lost = totals["t_end"] - totals["t_begin"], totals["frames"] + 1 - frames
        row |= {
            "n_generated": totals["n_generated"],
            "n_prompt": totals["n_prompt"],
            "passes": totals["passes"],
            "ticks_total": ticks if abs(ticks) < TICKS_MAX else None,
            "frames_lost": lost if lost >= 0 else None,
        }
    return row


def _typed(text: str, kind: str) -> Any:
    """Return a device's text as the column's type, or None if it is not one."""
    if kind == "string":
        return text
    try:
        number = float(text)
        if kind == "double":
            return number
        whole = int(text)
    except ValueError:
        return None
    return whole if -(2**63) <= whole < 2**63 else None
