"""Check every file of a data set against the digests that were stored with it.

Exit code 1: something is damaged. What is merely not closed is said, and is not a failure.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("data", type=Path, metavar="DATA", help="a data set's folder, or one capture in it")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof.care import captures_in, verify
    from edgeprof.display import terminal_text

    findings = verify(args.data)
    for finding in findings:
        mark = "damaged" if finding.damage else "note"
        print(f"{mark}: {terminal_text(finding.where, 300)}: {terminal_text(finding.what, 300)}")
    damaged = sum(f.damage for f in findings)
    n = len(captures_in(args.data))
    print(f"{n} capture{'' if n == 1 else 's'} checked, {damaged} damaged files.")
    return 1 if damaged else 0
