"""Gathered rows to Arrow tables of the registered schema."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from edgeprof.decode_state import Group, Rows
from edgeprof.schema import arrow_schema

__all__ = ["build", "coded_schema", "conform"]


# Tables of many rows, whose text says the same over and over.
_CODED = ("tokens", "stages", "memory", "power")
_TOGETHER, _FEW = 256, 8
_CODE = pa.dictionary(pa.int32(), pa.string())


@cache
def coded_schema(name: str) -> pa.Schema:
    """Return a table's schema with dictionaries for text, where that saves much."""
    schema = arrow_schema(name)
    if name not in _CODED:
        return schema
    return pa.schema([f.with_type(_CODE) if f.type == pa.string() else f for f in schema])


def build(rows: Rows, capture_id: str, *, coded: bool = False) -> dict[tuple[str, Group], pa.Table]:
    """Return a table for each (table name, group); columns that nobody gave are null. ``coded``: of coded schemas."""
    schema_of = coded_schema if coded else arrow_schema
    return {key: _table(schema_of(key[0]), batches, capture_id) for key, batches in rows.parts.items()}


def _table(schema: pa.Schema, batches: list[dict[str, Any]], capture_id: str) -> pa.Table:
    parts = []
    for begin in range(0, len(batches), _TOGETHER):
        found = [_batch(schema, columns, capture_id) for columns in batches[begin : begin + _TOGETHER]]
        # A frame of few records is a batch of its own, and as a chunk of a table it would take some kilobytes.
        parts.append(pa.concat_tables(found).combine_chunks() if len(found) > _FEW else pa.concat_tables(found))
    return pa.concat_tables(parts)


def _batch(schema: pa.Schema, columns: dict[str, Any], capture_id: str) -> pa.Table:
    given = {"capture_id": capture_id} | columns
    length = next(len(v) for v in columns.values() if isinstance(v, (list, np.ndarray, pa.Array)))
    return pa.Table.from_arrays([_column(given.get(f.name), f.type, length) for f in schema], schema=schema)


def _column(value: Any, kind: Any, length: int) -> Any:
    if isinstance(value, pa.Array):
        return value if value.type == kind else value.cast(kind)
    if isinstance(value, (list, np.ndarray)):
        return pa.array(value, type=kind)
    if value is None:
        return pa.nulls(length, kind)
    if pa.types.is_dictionary(kind):
        # Checking that each code is in the dictionary takes longer than all the rest here.
        return pa.DictionaryArray.from_arrays(_same(0, length), pa.array([value], pa.string()), safe=False)
    if kind == pa.int32():
        return _same(value, length)
    return pa.repeat(pa.scalar(value, kind), length)


def _same(value: int, length: int) -> Any:
    """Return a column of one number: a slice of one that is kept, as most batches are about as long."""
    return _kept(value, max(1 << (length - 1).bit_length(), 1)).slice(0, length)


@lru_cache(maxsize=8)
def _kept(value: int, length: int) -> Any:
    return pa.array(np.full(length, value, np.int32))


def conform(table: pa.Table, name: str, columns: list[str] | None = None) -> pa.Table:
    """Return a stored table with the columns of this version: new ones null, unknown ones left out."""
    schema = arrow_schema(name)
    wanted = schema if columns is None else pa.schema([schema.field(c) for c in columns])
    arrays = [
        table[f.name].cast(f.type) if f.name in table.column_names else pa.nulls(len(table), f.type) for f in wanted
    ]
    return pa.Table.from_arrays(arrays, schema=wanted.remove_metadata())
