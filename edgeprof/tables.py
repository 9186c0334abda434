"""Gathered rows to Arrow tables of the registered schema."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from edgeprof.decode_state import Group, Rows
from edgeprof.schema import arrow_schema

__all__ = ["build", "conform"]


def build(rows: Rows, capture_id: str) -> dict[tuple[str, Group], pa.Table]:
    """Return a table for each (table name, group); columns that nobody gave are null."""
    return {
        key: pa.concat_tables([_batch(key[0], columns, capture_id) for columns in batches])
        for key, batches in rows.parts.items()
    }


def _batch(name: str, columns: dict[str, Any], capture_id: str) -> pa.Table:
    schema = arrow_schema(name)
    given = {"capture_id": capture_id} | columns
    length = next(len(v) for v in columns.values() if isinstance(v, (list, np.ndarray, pa.Array)))
    arrays = []
    for field in schema:
        value = given.get(field.name)
        if isinstance(value, (list, np.ndarray)):
            arrays.append(pa.array(value, type=field.type))
        elif isinstance(value, pa.Array):
            arrays.append(value.cast(field.type))
        elif value is None:
            arrays.append(pa.nulls(length, field.type))
        else:
            arrays.append(pa.repeat(pa.scalar(value, field.type), length))
    return pa.Table.from_arrays(arrays, schema=schema)


def conform(table: pa.Table, name: str, columns: list[str] | None = None) -> pa.Table:
    """Return a stored table with the columns of this version: new ones null, unknown ones left out."""
    schema = arrow_schema(name)
    wanted = schema if columns is None else pa.schema([schema.field(c) for c in columns])
    arrays = [
        table[f.name].cast(f.type) if f.name in table.column_names else pa.nulls(len(table), f.type) for f in wanted
    ]
    return pa.Table.from_arrays(arrays, schema=wanted.remove_metadata())
