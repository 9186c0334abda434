"""Close the captures of a data set that a crash or a full disk left open.

What the journal holds becomes Parquet; runs that were under way end as `aborted`. Sealed data is not touched. A capture
that is still going on is refused.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("data", type=Path, metavar="DATA", help="a data set's folder, or one capture in it")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof.care import recover

    closed = recover(args.data)
    for capture in closed:
        print(f"closed {capture.name}")
    if not closed:
        print("nothing to recover: every capture is closed.")
    return 0
