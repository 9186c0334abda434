"""Write a table of a data set as CSV, to a file or to standard output.

  edgeprof export data tokens --out tokens.csv
  edgeprof export data
  edgeprof export data --format github-action-benchmark --out benchmark.json

The table `metrics`, which is the default, is every run with every metric. A list (`logits`) is one field, its numbers
separated by spaces. The format github-action-benchmark is a median for each board, model, quantization and metric that
is better when lower (its tool customSmallerIsBetter).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("data", metavar="DATA", help="a data set: a folder or an object-store URI")
    parser.add_argument("table", nargs="?", default="metrics", help="metrics, or a table of docs/data-model.md")
    parser.add_argument("--format", choices=["csv", "github-action-benchmark"], default="csv", help="(csv)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to; standard output by default")


def lists_of(table: str) -> list[str]:
    """Return the columns of a table that hold a list in each row."""
    from edgeprof.schema import TABLES

    return [c.name for c in TABLES.get(table, ()) if c.type.startswith("list")]


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    import edgeprof
    from edgeprof.errors import StorageError, UsageError
    from edgeprof.gate_outputs.benchmark import of_runs

    if args.format != "csv" and args.table != "metrics":
        raise UsageError(f"The format {args.format} is of the table metrics, not of {args.table}: leave out the table.")
    dataset = edgeprof.open(args.data)
    table = edgeprof.measure(dataset) if args.table == "metrics" else dataset.table(args.table)
    for name in lists_of(args.table):
        table[name] = [None if row is None else " ".join(map(str, row)) for row in table[name]]
    text = table.to_csv(index=False) if args.format == "csv" else of_runs(table)
    if args.out is None:
        sys.stdout.write(text)
        return 0
    try:
        args.out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{args.out} cannot be written: {error.strerror}.") from error
    print(f"{len(table):,} rows in {args.out}" if args.format == "csv" else f"Written: {args.out}")
    return 0
