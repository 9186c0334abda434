"""Capture every combination that a plan names: boards x models x quantizations x prompts x repeats.

  edgeprof sweep plan.toml --out data
  edgeprof sweep plan.toml --against old.toml --out data        in pairs with another plan: a model, a firmware
  edgeprof sweep plan.toml --against Q8_0 --pairs 30 --out data every other quantization in pairs with this one
  edgeprof sweep plan.toml --against plan.toml --out data       with itself: how noisy a board is

The order is random and seeded. What the data set has already is not captured again, so an interrupted sweep goes on
where it was. docs/sweep.md describes the plan.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeprof.conversation import Progress
    from edgeprof.sweep import Cell, Plan


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("plan", type=Path, metavar="PLAN.toml")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the data set's folder")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="captures at a time (default: one a core)")
    parser.add_argument(
        "--against", metavar="BASE", help="measure in pairs with another plan, or with a quantization of this one"
    )
    parser.add_argument(
        "--pairs", type=int, metavar="N", help="of each cell (default: 10; where the clock is exact, 1 says it all)"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof.errors import UsageError
    from edgeprof.sweep import load_plan

    plan = load_plan(args.plan)
    if args.against is not None:
        return _pairs(plan, args)
    if args.pairs is not None:
        raise UsageError("--pairs is for --against BASE, which says what each cell is measured in pairs with.")
    captured = sweep_with_bar(plan, args.out, args.jobs)
    print(f"{captured} captures made in {args.out}; next: edgeprof compare {args.out}")
    return 0


def _pairs(plan: Plan, args: argparse.Namespace) -> int:
    from edgeprof.paired_sweep import pair_notes, paired_cells, pairs_to_do, run_paired_sweep
    from edgeprof.sweep import n_jobs

    out: Path = args.out
    everything = paired_cells(plan, args.against, out / "models", args.pairs)
    for note in pair_notes(plan, args.pairs):
        print(f"note: {note}")
    with _bar(2 * len(pairs_to_do(everything, out, n_jobs(plan)))) as show:
        made = run_paired_sweep(plan, args.against, out, pairs=args.pairs, jobs=args.jobs, on_progress=show)
    print(f"{len(made)} pairs measured in {out}; next: edgeprof gate --data {out}")
    return 0


def sweep_with_bar(plan: Plan, out: Path, jobs: int = 0) -> int:
    """Run a sweep under a progress bar; return how many captures were made."""
    from edgeprof.sweep import cells, done_keys, make_models, n_jobs, run_sweep

    done = done_keys(out, n_jobs(plan)) if out.exists() else set()
    total = sum(c.key not in done for c in cells(plan, make_models(plan, out / "models")))
    with _bar(total) as show:
        return len(run_sweep(plan, out, jobs=jobs, on_progress=show))


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Callable[[Cell, Progress | None], None]]:
    """Show a bar of so many captures on a terminal; yield what takes the progress of each."""
    import threading

    from tqdm import tqdm

    running: dict[Cell, int] = {}
    lock = threading.Lock()
    with tqdm(total=total, unit="capture", disable=None, desc="sweep") as bar:

        def show(cell: Cell, progress: Progress | None) -> None:
            with lock:
                if progress is None:
                    running.pop(cell, None)
                    bar.update()
                else:
                    running[cell] = progress.passes
                bar.set_postfix_str(f"{sum(running.values()):,} passes under way", refresh=False)

        yield show
