"""Joulescope's JLS, version 2, read by pyjls (extra ``joulescope``)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprof.errors import UsageError
from edgeprof.meters.bits import HIGH, LOW, edges_of
from edgeprof.meters.check import rate_finding, rate_ratio
from edgeprof.meters.columns import parse_columns
from edgeprof.meters.csv_text import utc
from edgeprof.meters.file import Edges, MeterOptions, Reading
from edgeprof.meters.joulescope_csv import line_name

__all__ = ["MAGIC", "MAGIC_V1", "read_jls"]

MAGIC = b"jlsfmt\r\n \n \x1a  \xb2\x1c"
MAGIC_V1 = b"\xd3tagfmt"
_CHUNK = 1 << 20
_JLS_UNIX_S = 1_514_764_800
"""JLS counts time in 2**-30 s from 2018-01-01 (pyjls, time64)."""

Float = npt.NDArray[np.float64]


def read_jls(data: bytes, options: MeterOptions) -> Reading:
    """Return current, voltage and digital inputs of a JLS file.

    Raises
    ------
    UsageError
        pyjls is not installed; or the file is damaged, of version 1, or holds no current.
    """
    if data.startswith(MAGIC_V1):
        raise UsageError("it is JLS version 1: open it in the Joulescope UI and save it again, which writes version 2")
    try:
        from pyjls import Reader
    except ImportError as error:
        raise UsageError("JLS files are read by pyjls: pip install 'edgeprof[joulescope]'") from error
    # A copy: pyjls repairs a file that was not closed, and the user's own is only read.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.jls"
        path.write_bytes(data)
        try:
            with Reader(str(path)) as reader:
                return _read(reader, options)
        except UsageError:
            raise
        except (RuntimeError, ValueError, OSError, MemoryError, IndexError, OverflowError) as error:
            raise UsageError(f"pyjls cannot read it: {error}") from error


def _read(reader: Any, options: MeterOptions) -> Reading:
    current = _signal(reader, "current", options)
    if current is None:
        names = ", ".join(sorted(str(s.name) for s in reader.signals.values() if s.signal_id))
        raise UsageError(f"it holds no signal of current; its signals are {names[:200] or 'none'}")
    if not current.length:
        raise UsageError("its current has no sample: nothing was recorded")
    voltage = _signal(reader, "voltage", options)
    found = Reading(_floats(reader, current) * 1e6, rate_hz=float(current.sample_rate))
    if voltage is not None:
        found.voltage_mv = _alike(_floats(reader, voltage) * 1e3, voltage, current)
    stamps = reader.time_map_get(current.signal_id)
    if len(stamps) > 1:
        at, when = stamps["sample_id"].astype(np.float64), stamps["timestamp"].astype(np.float64)
        ratio = rate_ratio((at - at[0]) / current.sample_rate, (when - when[0]) / 2.0**30)
        if judged := rate_finding(ratio, "its sample rate", "the host's clock in it"):
            found.findings.append(judged)
        started_64 = int(reader.sample_id_to_timestamp(current.signal_id, 0))
        found.started_at = utc(_JLS_UNIX_S * 10**9 + round(started_64 * 1e9 / 2**30))
    found.edges = _edges(reader, current)
    return found


def _signal(reader: Any, name: str, options: MeterOptions) -> Any:
    """Return the one signal of a name, or the one that the user named; None if there is none.

    Raises
    ------
    UsageError
        There are several, or the one that was named is not there.
    """
    chosen = parse_columns(options.columns) if options.columns else {}
    of = {f"{reader.sources[s.source_id].name}.{s.name}": s for s in reader.signals.values() if s.name == name}
    if name in chosen:
        if chosen[name].name not in of:
            raise UsageError(f"it holds no signal {chosen[name].name!r}; those of {name} are {', '.join(sorted(of))}")
        return of[chosen[name].name]
    if len(of) > 1:
        raise UsageError(
            f"{len(of)} meters recorded into it: say which one's, as in "
            f'--columns "current={min(of)}:A"; they are {", ".join(sorted(of))}'
        )
    return next(iter(of.values()), None)


def _pieces(length: int, read: Callable[[int, int], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate([read(at, min(_CHUNK, length - at)) for at in range(0, length, _CHUNK)])


def _floats(reader: Any, signal: Any) -> Float:
    """Return a signal's samples, NaN where one is missing."""
    values = _pieces(signal.length, lambda at, n: reader.fsr(signal.signal_id, at, n))
    if len(values) != signal.length:
        raise UsageError(f"its signal {signal.name} is not of floats")
    return values.astype(np.float64)


def _alike(voltage: Float, of: Any, current: Any) -> Float:
    """Return the voltage at each sample of the current; one that was sampled less often holds until the next.

    Raises
    ------
    UsageError
        The rates have no whole ratio, or the signals are not from one moment on.
    """
    times = current.sample_rate // of.sample_rate if of.sample_rate else 0
    if not times or current.sample_rate % of.sample_rate:
        raise UsageError(
            f"its current has {current.sample_rate:,} and its voltage {of.sample_rate:,} samples a second, with no "
            "whole ratio: record them at one rate"
        )
    out = np.full(current.length, np.nan)
    held = np.repeat(voltage, times)[: current.length]
    out[: len(held)] = held
    return out


def _edges(reader: Any, current: Any) -> Edges | None:
    """Return the edges on the digital inputs, on the current's time, whatever their own rate."""
    parts = []
    for signal in reader.signals.values():
        if not str(signal.name).startswith("gpi[") or signal.source_id != current.source_id or not signal.length:
            continue
        packed = _pieces(signal.length, lambda at, n, s=signal: reader.fsr(s.signal_id, at, n))  # type: ignore[misc]
        bits = np.unpackbits(packed, bitorder="little")[: signal.length]
        first = (_first_s(reader, signal) - _first_s(reader, current)) * 1e9
        at_ns = np.rint(first + np.arange(len(bits)) * (1e9 / signal.sample_rate)).astype(np.int64)
        states = np.where(bits == 1, HIGH, LOW).astype(np.uint8)
        parts.append(edges_of({line_name(str(signal.name)): states}, at_ns)[0])
    if not parts:
        return None
    times = np.concatenate([part.at_ns for part in parts])
    order = np.argsort(times, kind="stable")
    return Edges(times[order], np.concatenate([part.detail for part in parts])[order])


def _first_s(reader: Any, signal: Any) -> float:
    """Return when a signal's first sample was, in seconds of the recording's time."""
    if len(reader.time_map_get(signal.signal_id)) > 1:
        return float(int(reader.sample_id_to_timestamp(signal.signal_id, 0)) / 2**30)
    return float(signal.sample_id_offset) / float(signal.sample_rate)
