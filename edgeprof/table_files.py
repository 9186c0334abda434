"""The tables of the segment that is being written: row groups go to disk as they fill, so that memory stays flat.

What is written depends on the rows and their order alone, not on how they came: a row group is full at a number of
rows, and a table that never filled one is written as a whole. A file that is still open has no footer; that is fine,
because a segment without a manifest does not exist.

To say for each sample which of its values are not null takes as long as a fifth of the rest: where a row group of
samples has no null in a column, its file says so once, and a row group that has one begins another file.
"""

from __future__ import annotations

import base64
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from edgeprof.decode_state import Group, Rows
from edgeprof.schema import arrow_schema
from edgeprof.segment import file_entry, options, table_path, write_table
from edgeprof.tables import build, coded_schema

__all__ = ["TableFiles"]

ROW_GROUP_ROWS = {"power": 1 << 18, "tokens": 1 << 17, "stages": 1 << 18, "memory": 1 << 17}
OTHER_ROW_GROUP_ROWS = 1 << 14  # their rows hold text, of up to 4 kB each
_NO_NULLS_SAID_ONCE = ("power",)
_Key = tuple[str, Group]


@dataclass(slots=True)
class _File:
    """A file that takes row groups."""

    writer: pq.ParquetWriter
    schema: pa.Schema
    rows: int = 0


class TableFiles:
    """The tables of one segment, one file for each table and group.

    Parameters
    ----------
    folder
        The segment's folder. It is made when the first row group is full.
    capture_id
        What the rows belong to.
    """

    def __init__(self, folder: Path, capture_id: str) -> None:
        self.folder, self.capture_id = folder, capture_id
        self._waiting: dict[_Key, list[pa.Table]] = {}
        self._files: dict[_Key, list[_File]] = {}
        self._lengths: dict[_Key, int] = {}
        # Compressing one row group takes as long as decoding the next two, and needs no lock of Python's.
        self._hand = ThreadPoolExecutor(1)
        self._at_work: Future[None] | None = None

    def __enter__(self) -> TableFiles:
        return self

    def __exit__(self, *error: object) -> None:
        self._hand.shutdown()
        for files in self._files.values():
            for file in files[-1:]:  # none where the first could not be opened
                file.writer.close()

    def take(self, rows: Rows) -> None:
        """Write what fills row groups, and keep the rest.

        Raises
        ------
        OSError
            It cannot be written.
        """
        for key, table in build(rows, self.capture_id, coded=True).items():
            size = ROW_GROUP_ROWS.get(key[0], OTHER_ROW_GROUP_ROWS)
            waiting = self._waiting.setdefault(key, [])
            there = self._lengths.get(key, 0)
            waiting.append(table)
            while there + len(waiting[-1]) >= size:
                last = waiting.pop()
                self._write(key, [*waiting, last.slice(0, size - there)])
                waiting[:], there = [last.slice(size - there)], 0
            self._lengths[key] = there + len(waiting[-1])

    def finish(self) -> list[dict[str, Any]]:
        """Write the rest and return the files' entries for the manifest, in their order."""
        for key, tables in self._waiting.items():
            if key in self._files and any(len(t) for t in tables):
                self._write(key, tables)
        self._wait()
        entries = []
        for key in sorted(self._waiting):
            name, group = key
            if files := self._files.get(key):
                files[-1].writer.close()
                entries += [file_entry(self.folder, name, group, file.rows, i) for i, file in enumerate(files)]
            else:
                whole = pa.concat_tables(self._waiting[key]).cast(arrow_schema(name))
                entries.append(write_table(self.folder, name, group, whole))
        self._waiting.clear()
        return entries

    def _write(self, key: _Key, tables: list[pa.Table]) -> None:
        rows = pa.concat_tables(tables)
        self._wait()  # so two row groups are in memory, and no more
        files = self._files.setdefault(key, [])
        before = files[-1] if files else None
        name, group = key
        schema = _schema_for(name, rows, before)
        if before is None or schema != before.schema:
            if before is not None:
                before.writer.close()
            path = table_path(self.folder, name, group, len(files))
            path.parent.mkdir(parents=True, exist_ok=True)
            files.append(_File(_writer(path, name, schema), schema))
        files[-1].rows += len(rows)
        self._at_work = self._hand.submit(_write_group, files[-1], rows)

    def _wait(self) -> None:
        """Wait for the row group that is being written; what went wrong with it is raised here."""
        if self._at_work is not None:
            work, self._at_work = self._at_work, None
            work.result()


def _schema_for(name: str, rows: pa.Table, before: _File | None) -> pa.Schema:
    """Return the schema of the file that takes these rows: what had a null stays so, or files would alternate."""
    schema = coded_schema(name)
    if name not in _NO_NULLS_SAID_ONCE:
        return schema
    had = {f.name for f in before.schema if f.nullable} if before else set()
    return pa.schema([f.with_nullable(f.name in had or rows[f.name].null_count > 0) for f in schema])


def _write_group(file: _File, rows: pa.Table) -> None:
    # In one piece: how rows came must not show in where a page ends.
    table = _canonical(rows.combine_chunks(), file.schema)
    file.writer.write_table(table, row_group_size=len(table))


def _canonical(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table of one chunk whose dictionaries hold what is used, in the order in which it comes first."""
    columns: list[Any] = [c.chunk(0) for c in table.columns]
    for number, column in enumerate(columns):
        if not pa.types.is_dictionary(column.type):
            continue
        if column.null_count == len(column):
            columns[number] = pa.nulls(len(column), column.type)
        elif len(column.dictionary) > 1:
            used = pc.unique(column.indices).drop_null()
            place = np.zeros(len(column.dictionary), np.int32)
            place[used.to_numpy()] = np.arange(len(used), dtype=np.int32)
            indices: Any = pa.array(place).take(column.indices)
            columns[number] = pa.DictionaryArray.from_arrays(indices, column.dictionary.take(used))
    return pa.Table.from_arrays(columns, schema=schema)


def _writer(path: Path, name: str, coded: pa.Schema) -> pq.ParquetWriter:
    """Open a file whose columns of text are written as the dictionaries that they are, and read as text."""
    schema = arrow_schema(name)
    writer = pq.ParquetWriter(path, coded, store_schema=False, **options(name))
    said = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    told = base64.b64encode(schema.serialize().to_pybytes()).decode()
    writer.add_key_value_metadata({"ARROW:schema": told} | said)
    return writer
