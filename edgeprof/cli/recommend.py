"""Say which model files meet limits on which board, ranked, and what each of the others misses.

  edgeprof recommend data --board stm32f405 --max-itl-ms 300 --max-perplexity 1.3
  edgeprof recommend data --max-ram-kib 128

Ranked by perplexity, where it is known, then by cost. Exit code 0: something meets the limits; 1: nothing does; 2:
there is no finished run.
"""

from __future__ import annotations

import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("data", metavar="DATA", help="a data set: a folder or an object-store URI")
    parser.add_argument("--board", help="only this board")
    parser.add_argument("--max-ticks", type=float, metavar="N", help="ticks of a decode pass")
    parser.add_argument("--max-itl-ms", type=float, metavar="MS", help="95th percentile of the time between tokens")
    parser.add_argument("--max-ram-kib", type=float, metavar="KIB", help="RAM that it needs")
    parser.add_argument("--max-flash-kib", type=float, metavar="KIB", help="flash that it needs")
    parser.add_argument("--max-perplexity", type=float, metavar="P", help="on the data set's evaluation text")
    parser.add_argument("--max-energy-mj", type=float, metavar="MJ", help="energy of a generated token, by a meter")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    import edgeprof

    found = edgeprof.recommend(
        edgeprof.open(args.data), board=args.board, max_ticks=args.max_ticks, max_itl_ms=args.max_itl_ms,
        max_ram_kib=args.max_ram_kib, max_flash_kib=args.max_flash_kib, max_perplexity=args.max_perplexity,
        max_energy_mj=args.max_energy_mj,
    )  # fmt: skip
    print(found.table.to_json(orient="records", indent=1) if args.json else found)
    return 0 if found.table["meets"].any() else 1
