"""Text of numbers in columns to arrays, fast; what is not whole is named with its line.

The parser is pyarrow's. Which columns there are, and what they are called, the readers say.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv

from edgeprof.errors import UsageError
from edgeprof.meters.file import Finding

__all__ = ["Text", "cells", "first_line", "is_number", "numbers", "read_columns", "times_ns", "whole_lines"]

BOM = b"\xef\xbb\xbf"
_ROW = re.compile(r"Row #(\d+)")
UNIX_NS = 1e17
"""Stamps above it (in 1973) are counted from 1970, so they are of a clock on the wall."""

Float = npt.NDArray[np.float64]


class Text:
    """Columns of a file, by name: ``number`` and ``integer`` for arrays, ``text`` for coded strings."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def floats(self, name: str) -> Float:
        """Return a column of numbers, NaN where it is empty; shape (n,)."""
        out: Float = self.table[name].to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        return out

    def coded(self, name: str) -> tuple[npt.NDArray[np.int32], list[str]]:
        """Return a column of strings as codes of shape (n,) and what they stand for."""
        joined: Any = self.table[name].unify_dictionaries().combine_chunks()
        return joined.indices.to_numpy(zero_copy_only=False), [str(word) for word in joined.dictionary.to_pylist()]


def first_line(data: bytes) -> str:
    """Return the first line, without its end and mark.

    Raises
    ------
    UsageError
        It is not UTF-8.
    """
    line = data[: 1 << 16].removeprefix(BOM).split(b"\n", 1)[0]
    try:
        return line.decode().rstrip("\r")
    except UnicodeDecodeError as error:
        raise UsageError("line 1 is not UTF-8") from error


def cells(line: str, delimiter: str = ",") -> list[str]:
    """Return what stands between delimiters, stripped; nothing where quotes do not end."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, strict=True), [])]
    except csv.Error:
        return []


def is_number(cell: str) -> bool:
    """Tell whether a cell is a number, or says that there is none."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def whole_lines(data: bytes, n_columns: int, delimiter: str = ",") -> tuple[bytes, list[Finding]]:
    """Return bytes without a last line that was cut off, and what was found of it."""
    if not data or data.endswith(b"\n"):
        return data, []
    at = data.rfind(b"\n") + 1
    if data.count(delimiter.encode(), at) + 1 < n_columns:
        return data[:at], [Finding("cut off", "the last line is cut off, and left out: the file is not whole")]
    return data, [
        Finding("cut off", "the last line has no end: if the file was cut off there, its last number is wrong")
    ]


def read_columns(
    data: bytes, names: Sequence[str], kinds: Mapping[str, str], *, skip: int = 1, delimiter: str = ",",
    decimal: str = ".",
) -> Text:  # fmt: skip
    """Return the columns that ``kinds`` names.

    Parameters
    ----------
    data
        The file.
    names
        What its columns are called, in order.
    kinds
        ``number``, ``integer`` or ``text``, by name; other columns are left alone.
    skip
        Lines before the first row.
    delimiter, decimal
        What is between cells, and in numbers.

    Raises
    ------
    UsageError
        A row has more or fewer cells, or one that is none of its kind; or there is no row.
    """
    types: dict[str, Any] = {
        "number": pa.float64(), "integer": pa.int64(), "text": pa.dictionary(pa.int32(), pa.string()),
    }  # fmt: skip
    convert = pa_csv.ConvertOptions(
        column_types={name: types[kind] for name, kind in kinds.items()},
        include_columns=list(kinds), null_values=["", "nan", "NaN", "-nan", "+nan"], decimal_point=decimal,
    )  # fmt: skip
    parse = pa_csv.ParseOptions(delimiter=delimiter)

    def read(*, threads: bool) -> pa.Table:
        options = pa_csv.ReadOptions(column_names=list(names), skip_rows=skip, use_threads=threads)
        return pa_csv.read_csv(io.BytesIO(data), options, parse, convert)

    if skip and not data.partition(b"\n")[2].strip():
        raise UsageError("there is a header and no sample below it: nothing was measured, or the export was stopped")
    try:
        table = read(threads=True)
    except (pa.ArrowException, UnicodeDecodeError):
        try:
            table = read(threads=False)  # slower, but it knows the row
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise UsageError(_where(str(error))) from error
    return Text(table)


def _where(message: str) -> str:
    """Return pyarrow's message with the line first."""
    found = _ROW.search(message)
    what = message.splitlines()[0].split(" Row #", 1)[-1].partition(": ")[2] or message.splitlines()[0]
    return f"line {found[1]}: {what[:300]}" if found else f"the rows cannot be read: {what[:300]}"


def numbers(data: bytes, names: Sequence[str], name: str, **how: Any) -> npt.NDArray[Any]:
    """Return one column, as whole numbers where all are, for these are exact."""
    try:
        table = read_columns(data, names, {name: "integer"}, **how).table
        if not table[name].null_count:
            return table[name].to_numpy(zero_copy_only=False)
    except UsageError:
        pass
    return read_columns(data, names, {name: "number"}, **how).floats(name)


def times_ns(
    data: bytes, names: Sequence[str], name: str, unit: str, **how: Any
) -> tuple[npt.NDArray[Any], bool, float, str | None]:
    """Return a column of times in nanoseconds.

    Parameters
    ----------
    data, names, name, how
        As of :func:`read_columns`.
    unit
        ``s``, ``ms``, ``us``, ``ns``, or ``iso`` for dates.

    Returns
    -------
    t_ns : numpy.ndarray
        Of any zero, shape (n,).
    wall : bool
        They are of a clock on the wall whose offset from UTC is not said.
    resolution_ns : float
        What one can be off by.
    started_at : str or None
        The first, in UTC, where it says that it is.
    """
    if unit == "iso":
        return _dates(read_columns(data, names, {name: "text"}, **how), name)
    scale = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}[unit]
    said = numbers(data, names, name, **how)
    if said.dtype == np.int64:
        largest = int(np.abs(said).max()) if len(said) else 0
        t: npt.NDArray[Any] = said * int(scale) if largest < 2**62 / scale else said * scale
        resolution = 0.0
    else:
        t = said * scale
        resolution = float(np.spacing(np.nanmax(np.abs(said), initial=0.0)) * scale)
    wall = bool(len(t)) and bool(np.nanmax(t.astype(np.float64), initial=0.0) > UNIX_NS)
    return t, wall, resolution, None


def _dates(text: Text, name: str) -> tuple[npt.NDArray[Any], bool, float, str | None]:
    import pyarrow.compute as pc

    words = text.table[name].cast(pa.string())
    trimmed = pc.replace_substring_regex(words, r"^\s*(\d{4}-\d\d-\d\d)[T ](.*?)\s*$", r"\1 \2")
    for kind, wall in ((pa.timestamp("ns", "UTC"), False), (pa.timestamp("ns"), True)):
        try:
            stamps = trimmed.cast(kind)
        except pa.ArrowException:
            continue
        if stamps.null_count:
            break
        t = stamps.cast(pa.int64()).to_numpy(zero_copy_only=False)
        return t, wall, 0.0, None if wall else utc(int(t[0]))
    raise UsageError(
        f"the column {name!r} does not hold a date and time in every row, all with or all without their offset from "
        "UTC (2026-01-31T12:00:00.000Z)"
    )


def utc(unix_ns: int) -> str:
    """Return nanoseconds since 1970 in ISO 8601."""
    return f"{np.datetime64(unix_ns, 'ns')}+00:00"
