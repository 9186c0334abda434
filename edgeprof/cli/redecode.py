"""Make the tables of closed captures anew from the wire bytes that were kept beside them.

For captures that an older edgeprof decoded, and for tables that are damaged. A capture that kept no wire bytes is left
alone. Exit code 2: none could be redecoded; 5: one is still going on, is damaged, or cannot be written. Whatever ends
this leaves each capture's old tables or its new ones.
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
    from edgeprof.redecode import redecode

    return show(redecode(args.data, args.captures))
