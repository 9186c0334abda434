"""Capture every combination that a plan names: boards x models x quantizations x prompts x repeats.

  edgeprof sweep plan.toml --out data

The order is random and seeded. What the data set has already is not captured again, so an interrupted sweep goes on
where it was. docs/sweep.md describes the plan.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("plan", type=Path, metavar="PLAN.toml")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the data set's folder")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="captures at a time (default: one a core)")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof.sweep import load_plan

    captured = sweep_with_bar(load_plan(args.plan), args.out, args.jobs)
    print(f"{captured} captures made in {args.out}; next: edgeprof compare {args.out}")
    return 0


def sweep_with_bar(plan: object, out: Path, jobs: int = 0) -> int:
    """Run a sweep under a progress bar; return how many captures were made."""
    import threading

    from tqdm import tqdm

    from edgeprof.conversation import Progress
    from edgeprof.sweep import Cell, Plan, cells, done_keys, make_models, run_sweep

    assert isinstance(plan, Plan)
    n_jobs = len(plan.prompts) + (plan.eval_file is not None)
    done = done_keys(out, n_jobs) if out.exists() else set()
    total = sum(c.key not in done for c in cells(plan, make_models(plan, out / "models")))
    running: dict[str, int] = {}
    lock = threading.Lock()
    with tqdm(total=total, unit="capture", disable=None, desc="sweep") as bar:

        def show(cell: Cell, progress: Progress | None) -> None:
            with lock:
                if progress is None:
                    running.pop(cell.key, None)
                    bar.update()
                else:
                    running[cell.key] = progress.passes
                bar.set_postfix_str(f"{sum(running.values()):,} passes under way", refresh=False)

        return len(run_sweep(plan, out, jobs=jobs, on_progress=show))
