"""Nordic's Power Profiler Kit II: the CSV that its app exports, and the ``.ppk2`` that it saves.

The formats are those of pc-nrfconnect-ppk 3.0 to 4.3, by its sources. Neither has the voltage.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprof.errors import UsageError, unknown_name
from edgeprof.meters.bits import BOTH, HIGH, LOW, UNKNOWN, pairs
from edgeprof.meters.csv_text import Text, cells, first_line, read_columns, utc, whole_lines
from edgeprof.meters.file import MeterOptions, Reading

__all__ = ["TIME", "read_archive", "read_csv"]

TIME, CURRENT, JOINED, OLD = "Timestamp(ms)", "Current(uA)", "D0-D7", "Bits"
_LINES = tuple(f"D{line}" for line in range(8))
_STATE = {"-": UNKNOWN, "0": LOW, "1": HIGH, "X": BOTH}
_SESSION, _META = "session.raw", "metadata.json"
_FRAME = np.dtype([("current_ua", "<f4"), ("bits", ">u2")])
"""A sample of the archive: the app writes the bits with DataView's default, the most significant byte first."""
MOST_BYTES = 1 << 33
"""8 GiB: four hours at 100,000 samples a second. An archive that claims more is not unpacked."""

States = npt.NDArray[np.uint8]


def read_csv(data: bytes, options: MeterOptions) -> Reading:
    """Return what an exported CSV says, with whichever columns were chosen.

    Raises
    ------
    UsageError
        It has no current, a column that is none of the app's, or a row that is not whole.
    """
    names = cells(first_line(data))
    for name in names:
        if name not in (known := (TIME, CURRENT, JOINED, *_LINES, OLD)):
            raise unknown_name("PPK2 column", name, known)
    if CURRENT not in names or len(set(names)) < len(names):
        raise UsageError(f"line 1 must name {CURRENT} once, and nothing twice; it is {', '.join(names)[:200]!r}")
    # Without digital channels the app still names D0 to D7, and writes one empty cell for all of them.
    rows = data.split(b"\n", 2)
    if len(rows) > 1 and CURRENT in names[: (given := rows[1].count(b",") + 1)] and set(names[given:]) <= set(_LINES):
        names = names[:given]
    data, findings = whole_lines(data, len(names))
    kinds = {n: "number" if n in (TIME, CURRENT) else "text" for n in names}
    text = read_columns(data, names, kinds)
    t_ns = text.floats(TIME) * 1e6 if TIME in names else None
    resolution = float(np.spacing(np.nanmax(np.abs(text.floats(TIME)), initial=0.0)) * 1e6) if TIME in names else 0.0
    states = _states(text, names)
    return Reading(text.floats(CURRENT), None, t_ns, states, resolution_ns=resolution, findings=findings)


def _states(text: Text, names: list[str]) -> dict[str, States]:
    """Return the digital lines' states, from whichever columns have them."""
    if JOINED in names:
        return _joined(text, JOINED, 1)
    if OLD in names:
        return _joined(text, OLD, -1)  # a binary number: D0 is its last digit
    return {name: _line(text, name) for name in names if name in _LINES}


def _joined(text: Text, name: str, order: int) -> dict[str, States]:
    codes, words = text.coded(name)
    if words == [""]:
        return {}
    for word in words:
        if len(word) != len(_LINES) or not set(word) <= set(_STATE):
            raise UsageError(f"{word[:40]!r} in column {name} is not eight of - 0 1 X")
    table = np.array([[_STATE[c] for c in word[::order]] for word in words], np.uint8)
    return {line: table[codes, i] for i, line in enumerate(_LINES)}


def _line(text: Text, name: str) -> States:
    codes, words = text.coded(name)
    for word in words:
        if word not in (*_STATE, ""):
            raise UsageError(f"{word[:40]!r} in column {name} is none of - 0 1 X")
    return np.array([_STATE.get(word, UNKNOWN) for word in words], np.uint8)[codes]


def read_archive(data: bytes, options: MeterOptions) -> Reading:
    """Return what a saved ``.ppk2`` says: current and digital lines of every sample, NaN where one is missing.

    Raises
    ------
    UsageError
        It is no such archive, is damaged or of a later version, or claims to hold too much.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            meta = json.loads(_member(archive, _META, 1 << 20))
            raw = _member(archive, _SESSION, MOST_BYTES)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, OSError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"it is no whole .ppk2 archive: {error}") from error
    if not isinstance(meta, dict):
        raise UsageError(f"{_META} in it holds no JSON object")
    if (version := meta.get("formatVersion")) != 2:
        raise UsageError(f"its format version is {version!r}, and 2 is known: export it as CSV from the app")
    if len(raw) % _FRAME.itemsize:
        raise UsageError(f"{_SESSION} in it has {len(raw):,} bytes, which are no whole samples of {_FRAME.itemsize}")
    if not raw:
        raise UsageError("it holds no sample: nothing was measured")
    frames = np.frombuffer(raw, _FRAME)
    said = meta.get("metadata")
    said = said if isinstance(said, dict) else {}
    rate, began = _positive(said.get("samplesPerSecond")), _positive(said.get("startSystemTime"))
    started = utc(int(began * 1e6)) if began is not None and began < 9e12 else None
    return Reading(
        frames["current_ua"].astype(np.float64), None, None, pairs(frames["bits"].astype(np.uint16)), rate_hz=rate,
        started_at=started,
    )  # fmt: skip


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return a member's bytes; a claim is checked before it is believed, and then while it is unpacked."""
    if name not in archive.namelist():
        raise UsageError(f"the archive has no {name}: it is no .ppk2 that the app saved")
    claimed = archive.getinfo(name).file_size
    if claimed > most:
        raise UsageError(f"{name} in it claims {claimed:,} bytes, more than the {most:,} that are unpacked")
    with archive.open(name) as member:
        found = member.read(claimed + 1)
    if len(found) != claimed:
        raise UsageError(f"{name} in it is not of the {claimed:,} bytes that the archive claims")
    return found


def _positive(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value) if value > 0 else None
