"""Which columns of a CSV are what, as the user names them: ``t=time_s:s,current=I:mA,voltage=U:V``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeprof.errors import UsageError, unknown_name
from edgeprof.meters.csv_text import (
    cells,
    first_line,
    is_number,
    read_columns,
    times_ns,
    whole_lines,
)  # fmt: skip
from edgeprof.meters.file import MeterOptions, Reading

__all__ = ["UNITS", "Chosen", "parse_columns", "read_csv"]

UNITS: dict[str, dict[str, float]] = {
    "t": {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0, "iso": 1.0},
    "current": {"A": 1e6, "mA": 1e3, "uA": 1.0, "µA": 1.0, "nA": 1e-3},
    "voltage": {"V": 1e3, "mV": 1.0, "uV": 1e-3},
}
"""What a unit is in nanoseconds, microamperes, millivolts."""
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A column: its name, or ``#N`` for the N-th from 1, and its unit."""

    name: str
    unit: str


def parse_columns(text: str) -> dict[str, Chosen]:
    """Return the columns that a text like ``t=time_s:s,current=I:mA`` names, by role.

    Raises
    ------
    UsageError
        It cannot be read, or names no current.

    Examples
    --------
    >>> parse_columns("current=#2:mA")
    {'current': Chosen(name='#2', unit='mA')}
    """
    found: dict[str, Chosen] = {}
    for part in filter(None, text.split(",")):
        role, equals, rest = part.strip().partition("=")
        name, colon, unit = rest.rpartition(":")
        if not (equals and colon and name):
            raise UsageError(f"{part!r} in --columns is not ROLE=NAME:UNIT, as in current=I:mA")
        if role not in UNITS:
            raise unknown_name("role of a column", role, UNITS)
        if unit not in UNITS[role]:
            raise unknown_name(f"unit of {role}", unit, UNITS[role])
        if role in found:
            raise UsageError(f"--columns names {role} twice")
        found[role] = Chosen(name, unit)
    if "current" not in found:
        raise UsageError("--columns must name the current and its unit, as in current=I:mA")
    return found


def read_csv(data: bytes, options: MeterOptions) -> Reading:
    """Return what the columns that the user named say; others are left alone.

    Raises
    ------
    UsageError
        No columns were named, one is not there, or a row is not whole.
    """
    if not options.columns:
        raise UsageError('say which columns are what: --columns "t=NAME:s,current=NAME:mA,voltage=NAME:V"')
    chosen, line = parse_columns(options.columns), first_line(data)
    delimiter = max(_DELIMITERS, key=lambda d: (sum(c.name in cells(line, d) for c in chosen.values()), line.count(d)))
    header = [name.removeprefix("# ").removeprefix("#").strip() for name in cells(line, delimiter)]
    bare = all(is_number(cell.replace(",", ".")) for cell in header) and bool(header)
    names = [f"#{i + 1}" for i in range(len(header))]
    place = {role: _find(c.name, [] if bare else header, names) for role, c in chosen.items()}
    if len(set(place.values())) < len(place):
        raise UsageError("--columns names one column for two things")
    decimal = "," if delimiter != "," and b"," in data.split(b"\n", 2)[0 if bare else -1][:200] else "."
    how = {"skip": 0 if bare else 1, "delimiter": delimiter, "decimal": decimal}
    data, findings = whole_lines(data, len(names), delimiter)
    roles = [role for role in ("current", "voltage") if role in place]
    text = read_columns(data, names, {place[role]: "number" for role in roles}, **how)  # type: ignore[arg-type]
    values = {role: scaled(text.floats(place[role]), UNITS[role][chosen[role].unit]) for role in roles}
    found = Reading(values["current"], values.get("voltage"), findings=findings)
    if "t" in chosen:
        found.t_ns, found.wall, found.resolution_ns, found.started_at = times_ns(
            data, names, place["t"], chosen["t"].unit, **how
        )
    return found


def scaled(values: npt.NDArray[np.float64], factor: float) -> npt.NDArray[np.float64]:
    """Return values in our unit; where that is the file's, to the bit."""
    if factor == 1.0:
        return values
    # Dividing by a power of ten rounds once, multiplying with its inverse, which is no binary number, twice.
    out: npt.NDArray[np.float64] = values * factor if factor > 1 else values / round(1 / factor)
    return out


def _find(name: str, header: list[str], names: list[str]) -> str:
    if header.count(name) > 1:
        raise UsageError(f"line 1 names {name!r} twice: say #{header.index(name) + 1} for the first of them")
    if name in header:
        return names[header.index(name)]
    if name in names:
        return name
    raise unknown_name("column", name, header or names, "#2 stands for the second one.")
