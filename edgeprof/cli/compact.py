"""Merge the many small segments of closed captures into one each.

Every table keeps its rows and their order; wire bytes are kept, so a compacted capture can still be redecoded. Exit
code 2: none could be compacted; 5: one is still going on, is damaged, or cannot be written. Whatever ends this leaves
each capture's old segments or its new one.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("data", type=Path, metavar="DATASET", help="a data set's folder, or one capture in it")
    parser.add_argument("captures", nargs="*", metavar="CAPTURE", help="which captures; all by default")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof.cli.outcomes import show
    from edgeprof.compact import compact

    return show(compact(args.data, args.captures))
