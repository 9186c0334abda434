"""A meter's file, of whichever format, to samples that were checked."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import numpy as np

from edgeprof.energy.samples import Samples
from edgeprof.errors import UsageError, unknown_name
from edgeprof.meters import columns, jls, joulescope_csv, ppk2
from edgeprof.meters.bits import edges_of
from edgeprof.meters.check import check_samples, rate_finding
from edgeprof.meters.csv_text import BOM, cells
from edgeprof.meters.file import Finding, MeterFile, MeterOptions, Reading, no_edges
from edgeprof.meters.timing import Placed, place

__all__ = ["FORMATS", "believed", "format_of", "read_meter"]

_READERS: dict[str, tuple[str, Callable[[bytes, MeterOptions], Reading]]] = {
    "ppk2-csv": ("ppk2", ppk2.read_csv),
    "ppk2": ("ppk2", ppk2.read_archive),
    "jls": ("joulescope", jls.read_jls),
    "joulescope-csv": ("joulescope", joulescope_csv.read_csv),
    "meter-csv": ("meter", columns.read_csv),
}
FORMATS = tuple(_READERS)
"""The formats, as they are named on the command line and in ``captures.settings``."""


def format_of(head: bytes) -> str:
    """Return which of :data:`FORMATS` a file's first bytes are of, or nothing where they do not say.

    >>> format_of(b"Timestamp(ms),Current(uA)")
    'ppk2-csv'
    """
    if head.startswith(b"PK\x03\x04"):
        return "ppk2"
    if head.startswith((jls.MAGIC, jls.MAGIC_V1)):
        return "jls"
    line = head.removeprefix(BOM).split(b"\n", 1)[0].decode(errors="replace").strip()
    if ppk2.CURRENT in (names := cells(line)) or ppk2.TIME in names:
        return "ppk2-csv"
    if line.startswith("#") and (names := cells(line.removeprefix("#"))):
        named = {name.rsplit(".", 1)[-1] for name in names}
        if names[0] in ("time", "timestamp") or {"current", "voltage"} <= named:
            return "joulescope-csv"
    return ""


@np.errstate(over="ignore", invalid="ignore")  # 1e300 seconds or amperes are none: who judges them says so
def read_meter(data: bytes, form: str, options: MeterOptions) -> MeterFile:
    """Return what a meter's file holds, and what was found about it.

    Parameters
    ----------
    data
        The whole file.
    form
        One of :data:`FORMATS`.
    options
        What the user says because the file does not.

    Raises
    ------
    UsageError
        It cannot be read, or what the user must say was not said. What can be read and not be believed is in
        ``findings``, ``fatal``: :func:`believed` raises for it.
    """
    if form not in _READERS:
        raise unknown_name("format of a meter", form, _READERS)
    if not data:
        raise UsageError("the file is empty")
    meter, read = _READERS[form]
    if options.columns and meter == "ppk2":
        raise UsageError(
            f"--columns is not of {form}, whose columns have names: leave it out, or say --format meter-csv"
        )
    found = read(data, options)
    n = len(found.current_ua)
    if n < 2:
        raise UsageError(f"it holds {n} sample, and two make the shortest stretch of time")
    rate_hz = options.rate_hz or found.rate_hz
    if found.t_ns is None and rate_hz is None:
        raise UsageError("nothing in it says how many samples a second it has: say it with --rate-hz")
    if found.voltage_mv is not None and options.voltage_mv is not None:
        raise UsageError("it has the voltage itself: leave --voltage-mv out, or the column")
    findings = list(found.findings)
    if options.rate_hz and found.rate_hz:
        odd = rate_finding(options.rate_hz / found.rate_hz, "--rate-hz", "the file")
        findings += [odd] if odd else []
    placed = place(n, found.t_ns, rate_hz, wall=found.wall, resolution_ns=found.resolution_ns)
    samples = _samples(found, placed, options, options.meter or meter)
    edges, pulses = found.edges or no_edges(), 0
    if found.states:
        edges, pulses = edges_of(found.states, np.rint(placed.t_ns).astype(np.int64))
    if pulses:
        text = f"in {pulses:,} samples a digital line rose and fell: there may have been more edges than these"
        findings.append(Finding("pulse", text))
    started = _utc(options.started_at) if options.started_at else found.started_at
    if found.wall and not started:
        text = "its time stamps do not say their offset from UTC: when it began is unknown"
        findings.append(Finding("local time", text))
    findings += [*placed.findings, *check_samples(samples)]
    even = samples.period_ns is not None
    how = "rate given" if options.rate_hz else "rate in the file"
    return MeterFile(
        form, samples, edges, tuple(findings), 1e9 / samples.period_ns if samples.period_ns else None,
        "time stamps" if found.t_ns is not None and not (even and rate_hz) else how, started,
    )  # fmt: skip


def believed(found: MeterFile) -> MeterFile:
    """Return a file that can be believed.

    Raises
    ------
    UsageError
        It has fatal findings; all of them are named.
    """
    fatal = [finding.text for finding in found.findings if finding.fatal]
    if fatal:
        raise UsageError("; ".join(fatal))
    return found


def _samples(found: Reading, placed: Placed, options: MeterOptions, meter: str) -> Samples:
    voltage = found.voltage_mv
    return Samples(
        meter, placed.filled(found.current_ua), options.voltage_mv if voltage is None else placed.filled(voltage), 0.0,
        placed.period_ns, placed.t_ns if placed.period_ns is None else None,
    )  # fmt: skip


def _utc(said: str) -> str:
    """Return a time that the user said, in UTC.

    Raises
    ------
    UsageError
        It is no time, or in local time.
    """
    try:
        when = datetime.datetime.fromisoformat(said)
    except ValueError as error:
        raise UsageError(f"--started {said!r} is not a time as 2026-01-31T12:00:00+00:00") from error
    if when.tzinfo is None:
        raise UsageError(f"--started {said!r} does not say its offset from UTC: append Z, or +01:00")
    return when.astimezone(datetime.UTC).isoformat()
