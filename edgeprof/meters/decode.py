"""A meter's file as rows of ``power`` and ``events``, as a board's bytes are decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from edgeprof.decode_state import Group, PortState, Rows
from edgeprof.meters.file import MeterFile, MeterOptions
from edgeprof.meters.read import believed, read_meter

__all__ = ["decode_meter", "meter_rows"]

_ROWS = 1 << 18
_NONE: Group = ("", "", "")


def decode_meter(
    data: Iterable[bytes], state: PortState, *, form: str, port: int, settings: Mapping[str, Any],
    take: Callable[[Rows], None] | None = None,
) -> tuple[Rows, PortState]:  # fmt: skip
    """Decode a meter's file as :func:`edgeprof.decode.decode_port` does a board's bytes.

    Parameters
    ----------
    data
        The whole file, in chunks.
    state
        That of a port from which nothing came yet.
    form
        One of :data:`edgeprof.meters.read.FORMATS`.
    port
        Names the rows.
    settings
        The port's; ``options`` has what the user said.
    take
        Is given the rows as they come; else they are returned.

    Raises
    ------
    UsageError
        The file cannot be believed by this version.
    """
    whole, state, rows = b"".join(data), PortState.from_json(state.to_json()), Rows()
    if not whole:
        return rows, state
    found = believed(read_meter(whole, form, MeterOptions.from_json(settings["options"])))
    state.offset += len(whole)
    for table, columns in meter_rows(found, port):
        rows.add(table, _NONE, columns)
        if take is not None:
            take(rows)
            rows = Rows()
    return rows, state


def meter_rows(found: MeterFile, port: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (table, columns) of a meter's file; what belongs to no run has no ``run_id`` and no ``ticks``.

    A missing sample of an even stream is a row whose current is NaN and whose voltage is null.
    """
    samples, whose = found.samples, {"run_id": None, "port": port}
    for begin in range(0, len(samples), _ROWS):
        part = slice(begin, min(begin + _ROWS, len(samples)))
        if samples.t_ns is not None:
            at = samples.t_ns[part]
        else:
            assert samples.period_ns is not None
            at = np.arange(part.start, part.stop, dtype=np.float64) * samples.period_ns
        current = samples.current_ua[part]
        columns = {"t_host_ns": np.rint(at).astype(np.int64), "current_ua": current, "meter": samples.meter}
        yield "power", whose | columns | {"voltage_mv": _millivolts(samples.voltage_mv, part, current)}
    if len(found.edges.at_ns):
        columns = {"kind": "gpio edge", "start": found.edges.at_ns, "detail": found.edges.detail.tolist()}
        yield "events", whose | columns
    if found.findings:
        events = found.findings
        starts, ends = [f.start_ns for f in events], [f.end_ns for f in events]
        details = [f.text for f in events]
        yield "events", whose | {"kind": ["meter"] * len(events), "start": starts, "end": ends, "detail": details}


def _millivolts(voltage: Any, part: slice, current: Any) -> Any:
    """Return whole millivolts, which is what the table holds; null where there is no sample."""
    values = np.broadcast_to(np.asarray(voltage, np.float64), (part.stop - part.start,)) if np.ndim(voltage) == 0 else (
        voltage[part]
    )  # fmt: skip
    absent = np.isnan(values) | np.isnan(current)
    return pa.array(np.rint(np.where(absent, 0.0, values)).astype(np.int32), mask=absent)
