"""Remove captures from a data set. Without --yes nothing is removed: it says what would be.

  edgeprof rm data 20260101T000000Z-aaaaaa
  edgeprof rm data --where model=toy --yes

With --where, a capture goes if all of its runs match. One that is still going on is refused (exit code 5). Exit code
2: no capture matches.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("data", type=Path, metavar="DATASET", help="a data set's folder")
    parser.add_argument("captures", nargs="*", metavar="CAPTURE", help="their names")
    parser.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="a column of runs or captures; repeatable"
    )
    parser.add_argument("--yes", action="store_true", help="remove them")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof.cli.outcomes import show
    from edgeprof.remove import remove

    code = show(remove(args.data, args.captures, where=args.where, dry_run=not args.yes))
    if not args.yes and code == 0:
        print("nothing was removed: --yes removes.")
    return code
