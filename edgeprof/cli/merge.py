"""Copy the closed captures of several data sets into one.

  edgeprof merge bench-1/data bench-2/data --out all

Every file's digest is checked on the way, and a capture is seen in --out once all of it is there. One that is there
already is skipped if it is the same and refused if it differs; nothing is ever overwritten. Exit code 1: one differs;
2: one is not closed; 5: one is damaged, or cannot be read or written. The others are merged in any case.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("sources", type=Path, nargs="+", metavar="SRC", help="data sets, or captures in them")
    parser.add_argument("--out", type=Path, required=True, metavar="DST", help="the data set that takes them all")
    parser.add_argument("--move", action="store_true", help="remove each capture from SRC once it is in DST")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof.cli.outcomes import show
    from edgeprof.merge import merge

    return show(merge(args.sources, args.out, move=args.move), all_of_them=True)
