"""Compare groups of runs: cost, time to first token, perplexity, memory, with verdicts where they can be given.

  edgeprof compare data                       by quantization, against the one with the most bits
  edgeprof compare data --by firmware --baseline "edgeprof 1.2"
  edgeprof compare data --by day --all-pairs  each with each: any column of runs, day, or a tag
  edgeprof compare data --changes             every judged change: its interval, how it was judged, and why

Verdicts stay within one board and one clock, unless boards are compared (--by board); docs/statistics.md says how each
is reached. Exit code 2: there is nothing to compare, or the runs are not alike.
"""

from __future__ import annotations

import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("data", metavar="DATA", help="a data set: a folder or an object-store URI")
    parser.add_argument("--by", default="quant", metavar="COLUMN[,COLUMN]", help="what tells groups apart (quant)")
    parser.add_argument("--baseline", metavar="VALUE", help="the group that the others are compared with")
    parser.add_argument("--all-pairs", action="store_true", help="each group with each, instead of with a baseline")
    parser.add_argument("--board", metavar="NAME", help="only this board's runs")
    parser.add_argument("--metric", action="append", metavar="NAME", help="judge this metric (repeatable)")
    parser.add_argument("--smallest", type=float, metavar="PERCENT", help="smallest change that matters (2; quality 1)")
    parser.add_argument("--looks", type=int, default=1, metavar="N", help="planned looks at growing data, 1 to 3 (1)")
    parser.add_argument("--noise", action="append", default=[], metavar="DATA", help="pairs without a change, to know")
    parser.add_argument(
        "--allow-unlike", action="append", default=[], metavar="KIND", help="compare although this differs (repeatable)"
    )
    parser.add_argument("--changes", action="store_true", help="show every judged change, and why")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    import edgeprof
    from edgeprof.comparison import JUDGED
    from edgeprof.display import terminal_text, text_table
    from edgeprof.errors import NotComparableError, UsageError
    from edgeprof.noise_floor import Noise

    if args.smallest is not None and not 0 < args.smallest < float("inf"):
        raise UsageError(f"--smallest takes a percentage above 0, 2 for 2 %; not {args.smallest:g}.")
    dataset = edgeprof.open(args.data)
    comparison = edgeprof.compare(
        dataset,
        by=args.by.split(","),
        baseline=args.baseline,
        board=args.board,
        all_pairs=args.all_pairs,
        metrics=args.metric or JUDGED,
        smallest=None if args.smallest is None else args.smallest / 100,
        looks=args.looks,
        noise=Noise.of(dataset, *map(edgeprof.open, args.noise), energy=True) if args.noise else None,
        allow=args.allow_unlike,
    )
    code = NotComparableError.exit_code if comparison.refused else 0
    if args.json:
        print((comparison.changes if args.changes else comparison.table).to_json(orient="records", indent=1))
        return code
    print(comparison)
    if args.changes and not args.all_pairs:
        print(f"\n{text_table(comparison.formatted_changes())}")
        for row in comparison.changes.to_dict("records"):
            print(f"{terminal_text(row['candidate'])}, {row['metric']}: {terminal_text(row['reason'], 1000)}")
    return code
