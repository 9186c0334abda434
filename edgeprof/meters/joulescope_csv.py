"""The four CSVs of Joulescope's programs.

With a first line that begins with #: the UI's statistics (``#time,current,voltage,power,charge,energy``), the UI's
waveforms (``# time,JS220-1.current,…``) and ``pyjls csv`` (``# timestamp,JS220-1.current,…``). Without one:
pyjoulescope's ``--export`` (current, voltage), which ``pyjls export`` of one signal may look like. All in A, V and s.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edgeprof.errors import UsageError
from edgeprof.meters import columns
from edgeprof.meters.bits import BOTH, HIGH, LOW
from edgeprof.meters.csv_text import cells, first_line, is_number, read_columns
from edgeprof.meters.file import MeterOptions, Reading

__all__ = ["read_csv"]

_UNIT = {"current": "A", "voltage": "V"}
_GPI = "gpi["


def read_csv(data: bytes, options: MeterOptions) -> Reading:
    """Return what a CSV of a Joulescope program says.

    Raises
    ------
    UsageError
        A column cannot be told, or a row is not whole.
    """
    if options.columns:
        return columns.read_csv(data, options)
    line = first_line(data)
    if not line.startswith("#"):
        return columns.read_csv(data, replace(options, columns=_bare(data, cells(line))))
    header = cells(line.removeprefix("#"))
    said = [name.rsplit(".", 1)[-1] for name in header]
    chosen = []
    for role, unit in _UNIT.items():
        if said.count(role) > 1:
            raise UsageError(
                f"line 1 names {said.count(role)} columns of {role}, each of a meter: import one after the other, with "
                f'--columns "current=#{said.index(role) + 1}:A" and so on'
            )
        if role in said:
            chosen.append(f"{role}=#{said.index(role) + 1}:{unit}")
    if said[:1] in (["time"], ["timestamp"]):
        second = cells(data.split(b"\n", 2)[1].decode(errors="replace")) if data.count(b"\n") else []
        chosen.append(f"t=#1:{'s' if not second or is_number(second[0]) else 'iso'}")
    if "current" not in said:
        raise UsageError(f"line 1 names no current; it is {line[:200]!r}")
    found = columns.read_csv(data, replace(options, columns=",".join(chosen)))
    lines = {name: f"#{i + 1}" for i, name in enumerate(said) if name.startswith(_GPI)}
    if lines:
        names = [f"#{i + 1}" for i in range(len(said))]
        rows = len(found.current_ua)
        text = read_columns(data, names, dict.fromkeys(lines.values(), "number")) if _even(data, names) else None
        for name, column in lines.items():
            if text is not None:
                found.states[line_name(name)] = levels(text.floats(column)[:rows])
    return found


def _even(data: bytes, names: list[str]) -> bool:
    """Tell whether the last line has all cells, so that columns can be read once more without it being cut off."""
    return data.endswith(b"\n") or data.count(b",", data.rfind(b"\n") + 1) + 1 >= len(names)


def line_name(signal: str) -> str:
    """Return what an input is called in ``events``: ``GPI0`` of ``gpi[0]``."""
    return signal.replace("[", "").replace("]", "").upper()


def levels(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Return states of values from 0 to 1; one between is of a sample in which the line was both."""
    return np.where(values == 0, LOW, np.where(values == 1, HIGH, BOTH)).astype(np.uint8)


def _bare(data: bytes, first: list[str]) -> str:
    """Return which column is what where no line says so.

    Raises
    ------
    UsageError
        It cannot be told.
    """
    if not first or not all(is_number(cell) for cell in first):
        raise UsageError(f"line 1 is neither one of Joulescope's headers nor numbers; it is {','.join(first)[:200]!r}")
    if len(first) != 2 or _counts(data):
        raise UsageError(
            f"no line says what its {len(first)} columns are (pyjls export writes one signal, maybe its time): say "
            'it with --columns "current=#1:A", or "t=#1:s,current=#2:A"'
        )
    return "current=#1:A,voltage=#2:V"


def _counts(data: bytes) -> bool:
    """Tell whether the first column of the first lines grows from 0 by equal steps, as a time does."""
    lines = data[: 1 << 14].decode(errors="replace").splitlines()[:20]
    first = [float(row[0]) for row in map(cells, lines) if len(row) == 2 and is_number(row[0])]
    steps = np.diff(first)
    return len(steps) > 1 and first[0] == 0 and steps[0] > 0 and bool(np.allclose(steps[:-1], steps[0], rtol=1e-6))
