"""Run a small language model on an emulated board at several quantizations and write the report that compares them.

Nothing is needed but edgeprof: the model, the board and the texts come with it. Every number in the report was made by
firmware that really executed the model, one row a token; the clock counts instructions, so any machine gets the
same.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "--out", type=Path, default=Path("demo-out"), metavar="DIR", help="where to (default: demo-out)"
    )
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="boards at a time (default: one a core)")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    import time

    from edgeprof import resources
    from edgeprof.cli.sweep import sweep_with_bar
    from edgeprof.report import find_notebook, make_report
    from edgeprof.sweep import load_plan

    began = time.monotonic()
    data = args.out / "data"
    made = sweep_with_bar(load_plan(resources.path("data/demo.toml")), data, args.jobs)
    captured = time.monotonic()
    report = make_report(find_notebook("compare_quantizations"), args.out, {"data": str(data)})
    print(
        f"{made} captures in {captured - began:.0f} s, report in {time.monotonic() - captured:.0f} s\n"
        f"{report.html}\n{report.results}"
    )
    return 0
