"""Compare groups of runs: cost, time to first token, perplexity, memory, with verdicts where they can be given.

  edgeprof compare data                       by quantization, against the one with the most bits
  edgeprof compare data --by firmware --baseline "edgeprof 1.2"

Verdicts stay within one board and one clock. Exit code 2: there is nothing to compare, or the runs are not alike.
"""

from __future__ import annotations

import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("data", metavar="DATA", help="a data set: a folder or an object-store URI")
    parser.add_argument("--by", default="quant", metavar="COLUMN[,COLUMN]", help="what tells groups apart (quant)")
    parser.add_argument("--baseline", metavar="VALUE", help="the group that the others are compared with")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    import edgeprof

    comparison = edgeprof.compare(edgeprof.open(args.data), by=args.by.split(","), baseline=args.baseline)
    print(comparison.table.to_json(orient="records", indent=1) if args.json else comparison)
    return 0
