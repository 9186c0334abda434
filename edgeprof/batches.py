"""A table of many rows, batch after batch, its text as codes: for what needs each row once, and not all at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.dataset as pads
from pyarrow import fs as pafs

from edgeprof.errors import StorageError
from edgeprof.schema import arrow_schema

__all__ = ["coded", "scan"]

_CODE = pa.dictionary(pa.int32(), pa.string())


def coded(name: str, columns: Sequence[str]) -> pa.Schema:
    """Return the schema of some columns of a table, text as dictionaries."""
    fields = [arrow_schema(name).field(column) for column in columns]
    return pa.schema([f.with_type(_CODE) if f.type == pa.string() else f for f in fields])


def scan(
    filesystem: pafs.FileSystem, paths: Sequence[str], name: str, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Yield some columns of a table's files in batches, while the next ones are read by other threads.

    Parameters
    ----------
    filesystem, paths
        The Parquet files. One of an older version may lack a column: its rows are null there.
    name, columns
        The table, and which of its columns.

    Raises
    ------
    StorageError
        A file is missing or damaged.
    """
    if not paths:
        return
    schema = coded(name, columns)
    reading = pads.ParquetFileFormat(
        read_options=pads.ParquetReadOptions(dictionary_columns=[f.name for f in schema if f.type == _CODE]),
        default_fragment_scan_options=pads.ParquetFragmentScanOptions(page_checksum_verification=True),
    )
    try:
        files = pads.dataset(list(paths), schema=schema, format=reading, filesystem=filesystem)
        yield from files.to_batches()
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"Table {name!r} cannot be read ({error}). `edgeprof verify` lists which of its {len(paths)} files are "
            "damaged; the wire bytes that were kept beside the tables still hold what the board said."
        ) from error
