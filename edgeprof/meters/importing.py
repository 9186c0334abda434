"""Meters' files into a data set, as captures of their own that say which board they measured."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeprof.errors import StorageError, UsageError, unknown_name
from edgeprof.imports import Imported, write_capture
from edgeprof.journal import CHUNK
from edgeprof.layout import CAPTURE_JSON
from edgeprof.meters.file import MeterFile, MeterOptions
from edgeprof.meters.read import FORMATS, believed, format_of, read_meter
from edgeprof.seal import load_capture

__all__ = ["import_meters", "meter_format"]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """When a file was measured; ``start`` is None where nobody knows."""

    name: str
    start: datetime.datetime | None
    seconds: float


def meter_format(path: Path) -> str:
    """Return which meter's format a file is of by its first bytes, or nothing.

    Raises
    ------
    UsageError
        It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return format_of(file.read(CHUNK))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error


def import_meters(
    paths: Sequence[Path], out: Path, *, measures: str, port: int | None = None, form: str = "",
    options: MeterOptions | None = None, capture_id: str | None = None, host_label: str | None = None,
) -> Imported:  # fmt: skip
    """Import what a meter measured while a capture of the same data set was made.

    Parameters
    ----------
    paths
        The meter's files, of one format; several are stretches one after the other.
    out
        The data set's folder, which holds the capture.
    measures
        The capture whose board was measured.
    port
        The board's port in it; may be left out if it has but one.
    form
        One of :data:`edgeprof.meters.read.FORMATS`; by default each file's is found by what is in it.
    options
        What the files do not say: voltage, rate, columns.
    capture_id, host_label
        As of :func:`edgeprof.imports.import_files`.

    Returns
    -------
    Imported
        ``problems`` has what was found about the files; each is a row of ``events`` of kind ``meter``, too.

    Raises
    ------
    UsageError
        A file cannot be read or believed, the capture is not there, or another file is of the same board at the same
        time. Nothing was written.
    StorageError
        The folder cannot be written.
    """
    options = options or MeterOptions()
    if options.started_at and len(paths) > 1:
        raise UsageError("--started says when one file began: import several files one after the other.")
    board = _board(out, measures, port)
    ports, problems, stretches = [], [], _measured(out, measures, board)
    for path in paths:
        try:
            found = believed(read_meter(path.read_bytes(), _form(path, form, options), options))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
        except UsageError as error:
            raise UsageError(f"{path}: {str(error).rstrip('.')}. Nothing was imported.") from error
        this = _Stretch(str(path), _when(found.started_at), _seconds(found))
        for other in stretches:
            _refuse_overlap(this, other, f"port {board} of {measures}")
        stretches.append(this)
        problems += [f"{path}: {finding.text}" for finding in found.findings]
        ports.append({"format": found.form, "settings": _settings(found, measures, board, options, this.seconds)})
    done = write_capture(paths, out, ports, capture_id=capture_id, host_label=host_label)
    done.problems = problems
    return done


def _form(path: Path, form: str, options: MeterOptions) -> str:
    found = form or meter_format(path)
    if options.columns and not form and found in ("", "ppk2-csv"):
        return "meter-csv"  # the user knows better what is in it
    if not found:
        raise UsageError(f"nothing in it says which meter wrote it: say --format, one of {', '.join(FORMATS)}")
    return found


def _board(out: Path, measures: str, port: int | None) -> int:
    """Return the port of the board that was measured."""
    there = out / f"capture={measures}"
    if not (there / CAPTURE_JSON).exists():
        known = [p.parent.name.removeprefix("capture=") for p in out.glob(f"capture=*/{CAPTURE_JSON}")]
        raise unknown_name(
            "capture", measures, known, f"--measures names one of {out}; `edgeprof runs {out}` lists them."
        )
    ports = load_capture(there)["ports"]
    if any("measures" in p.get("settings", {}) for p in ports):
        raise UsageError(f"{measures} is a meter's file itself: --measures names the capture of the board.")
    if port is None and len(ports) > 1:
        raise UsageError(f"{measures} has {len(ports)} ports: say with --port which one the meter measured, from 0.")
    if port is not None and not 0 <= port < len(ports):
        raise UsageError(f"{measures} has no port {port}: its ports are 0 to {len(ports) - 1}.")
    return port or 0


def _settings(found: MeterFile, measures: str, port: int, options: MeterOptions, seconds: float) -> dict[str, Any]:
    """Return what ``captures.settings`` says of a file; with ``options`` its bytes give the same rows again."""
    return {
        "format": found.form, "measures": measures, "measures_port": port, "rate_hz": found.rate_hz,
        "method": found.method, "meter": found.samples.meter, "started_at": found.started_at, "seconds": seconds,
        "options": options.to_json(),
    }  # fmt: skip


def _seconds(found: MeterFile) -> float:
    samples = found.samples
    last = samples.t_ns[-1] if samples.t_ns is not None else (len(samples) - 1) * (samples.period_ns or 0.0)
    return round(float(last) / 1e9, 9)


def _when(started_at: str | None) -> datetime.datetime | None:
    # Nanoseconds are more than a datetime takes.
    return None if started_at is None else datetime.datetime.fromisoformat(started_at[:26].partition("+")[0] + "+00:00")


def _measured(out: Path, measures: str, port: int) -> list[_Stretch]:
    """Return the meters' files that are in the data set already, of this board."""
    found = []
    for path in sorted(out.glob(f"capture=*/{CAPTURE_JSON}")):
        try:
            header = load_capture(path.parent)
        except StorageError:
            continue  # `edgeprof verify` names it
        for said in (p.get("settings", {}) for p in header["ports"]):
            if (said.get("measures"), said.get("measures_port")) == (measures, port):
                this = _Stretch(header["capture_id"], _when(said.get("started_at")), float(said["seconds"]))
                found.append(this)
    return found


def _refuse_overlap(this: _Stretch, other: _Stretch, board: str) -> None:
    """Refuse two files of one board that overlap, or that cannot be told not to: their energy would count twice."""
    if this.start is None or other.start is None:
        raise UsageError(
            f"{this.name} and {other.name} are both of {board}, and it is not known when both began, so they may be of "
            "the same time. Say it with --started for each, or remove one with `edgeprof rm`. Nothing was imported."
        )
    after = (other.start - this.start).total_seconds()
    if -other.seconds <= after <= this.seconds:
        raise UsageError(
            f"{this.name} and {other.name} are both of {board} and overlap: one board has one meter at a time. Nothing "
            "was imported."
        )
