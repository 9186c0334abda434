"""List the runs of a data set, a line each, with their figures.

A run is one prompt, or one evaluation text, on one board with one model at one quantization.
"""

from __future__ import annotations

import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("data", metavar="DATA", help="a data set: a folder or an object-store URI")
    parser.add_argument("--json", action="store_true", help="every column and metric, for programs")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    import edgeprof
    from edgeprof.display import text_table
    from edgeprof.runs import formatted

    measured = edgeprof.measure(edgeprof.open(args.data))
    if args.json:
        print(measured.to_json(orient="records", indent=1))
        return 0
    print(text_table(formatted(measured)))
    return 0
