"""Write a table of a data set as CSV, to a file or to standard output.

  edgeprof export data tokens --out tokens.csv
  edgeprof export data

The table `metrics`, which is the default, is every run with every metric. A list (`logits`) is one field, its numbers
separated by spaces.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("data", metavar="DATA", help="a data set: a folder or an object-store URI")
    parser.add_argument("table", nargs="?", default="metrics", help="metrics, or a table of docs/data-model.md")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to; standard output by default")


def lists_of(table: str) -> list[str]:
    """Return the columns of a table that hold a list in each row."""
    from edgeprof.schema import TABLES

    return [c.name for c in TABLES.get(table, ()) if c.type.startswith("list")]


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    import edgeprof
    from edgeprof.errors import StorageError

    dataset = edgeprof.open(args.data)
    table = edgeprof.measure(dataset) if args.table == "metrics" else dataset.table(args.table)
    for name in lists_of(args.table):
        table[name] = [None if row is None else " ".join(map(str, row)) for row in table[name]]
    if args.out is None:
        table.to_csv(sys.stdout, index=False)
        return 0
    try:
        table.to_csv(args.out, index=False)
    except OSError as error:
        raise StorageError(f"{args.out} cannot be written: {error.strerror}.") from error
    print(f"{len(table):,} rows in {args.out}")
    return 0
