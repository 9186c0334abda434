"""How long wire bytes stay beside the tables that were made of them, and what room a capture may need."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgeprof.errors import UsageError
from edgeprof.layout import MANIFEST, segment_folder, write_json
from edgeprof.transports import PortSettings

__all__ = ["DAY_SECONDS", "bytes_per_second", "drop_old_wire", "forecast", "kept_days"]

DAY_SECONDS = 86400.0


def kept_days(text: str) -> float:
    """Return for how many days wire bytes stay: ``all`` is for ever, ``none`` not at all.

    Raises
    ------
    UsageError
        It is neither of these and no number of days.

    Examples
    --------
    >>> kept_days("all"), kept_days("none"), kept_days("7")
    (inf, 0.0, 7.0)
    """
    words = {"all": math.inf, "none": 0.0}
    if text in words:
        return words[text]
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if not 0 < days < math.inf:
        raise UsageError(
            f"The wire bytes can be kept for `all` time, `none`, or a number of days such as 7, not {text!r}."
        )
    return days


def drop_old_wire(capture: Path, manifests: list[dict[str, Any]], days: float, now: float | None = None) -> int:
    """Remove the wire bytes of segments that were sealed longer ago; return how many segments that were.

    The manifest is written without them first, so whatever ends this leaves files that no manifest names.

    Parameters
    ----------
    capture
        The capture's folder, whose sealer's lock the caller holds.
    manifests
        As of :func:`edgeprof.seal.load_manifests`; their ranges are changed.
    days
        How long they stay.
    now
        Seconds since the epoch; by default the time it is.
    """
    limit, dropped = (time.time() if now is None else now) - days * DAY_SECONDS, 0
    for manifest in manifests:
        folder = capture / segment_folder(manifest["segment"], manifest.get("generation", 0))
        sealed = (folder / MANIFEST).stat().st_mtime
        if sealed > limit:
            continue
        if any("wire" in span for span in manifest["ranges"]):
            manifest["ranges"] = [{k: span[k] for k in ("port", "start", "end")} for span in manifest["ranges"]]
            stored = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            write_json(folder / MANIFEST, stored | {"ranges": manifest["ranges"]})
            os.utime(folder / MANIFEST, (sealed, sealed))  # so that a death before the next line is made good next time
            dropped += 1
        for path in folder.glob("wire-*"):
            path.unlink(missing_ok=True)
    return dropped


def bytes_per_second(settings: PortSettings) -> float:
    """Return the most that a UART brings: its baud rate over the bits of a character."""
    bits = 1 + settings.bytesize + (settings.parity != "N") + settings.stopbits
    return settings.baudrate / bits


def forecast(ports: Iterable[PortSettings], days: float, free_bytes: int) -> str:
    """Return in words how much room a capture needs at most, and how long the room there is will do.

    Tables take no more than the wire bytes they come from, and kept wire bytes no more than they are.
    """
    rate = sum(bytes_per_second(settings) for settings in ports)
    if not rate:
        return ""
    day, gb = rate * DAY_SECONDS, 1e9
    keeping = min(days, 1.0)
    text = f"At most {rate / 1e3:,.1f} kB/s come over the line: {day * (1 + keeping) / gb:,.1f} GB a day"
    if days == math.inf:
        left = free_bytes / (2 * day)
        text += f", half of it wire bytes (--keep-wire 7 keeps a week of them). {free_bytes / gb:,.0f} GB are free"
    else:
        # What is kept for some days stops growing then.
        left = max((free_bytes - day * days) / day, free_bytes / (2 * day) if days else 0.0)
        text += f" with --keep-wire {days:g}. {free_bytes / gb:,.0f} GB are free"
    return f"{text}: enough for {left:,.1f} days at full rate."
