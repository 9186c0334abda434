"""List the runs of a data set, a line each, with their figures.

A run is one prompt, or one evaluation text, on one board with one model at one quantization. Where boards printed rates
of their own, a second table shows them beside what the host saw of the same run: they count different things.
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
    from edgeprof import claimed
    from edgeprof.display import text_table
    from edgeprof.metrics import TOKEN_COLUMNS
    from edgeprof.runs import formatted

    dataset = edgeprof.open(args.data)
    measured = edgeprof.measure(dataset)
    if args.json:
        print(measured.to_json(orient="records", indent=1))
        return 0
    table = formatted(measured)
    if len(set(measured["capture_id"])) > 1:  # runs of each are numbered from 1
        table.insert(0, "capture", measured["capture_id"])
    print(text_table(table))
    if len(dataset.claims):
        tokens = dataset.table("tokens", TOKEN_COLUMNS, {"clock": "host"})
        rates = claimed.claimed_rates(dataset.claims, dataset.runs, tokens)
        if len(rates):
            print(f"\n{text_table(claimed.formatted(rates))}")
    return 0
