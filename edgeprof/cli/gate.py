"""Fail a build that made a model slower, larger or worse: judge a candidate's captures by those of a base.

  edgeprof gate --baseline main-data --candidate data
  edgeprof gate --baseline main-data --candidate data --rules gate.toml --out gate-out
  edgeprof gate --data data                   pairs that `edgeprof sweep PLAN --against BASE` measured

Every board, model and quantization of the base is judged by every metric of the rules (docs/gate.md); without rules
cost may rise by 10 %, perplexity by 1 %, and what fitted must still fit. --out writes results.json, junit.xml,
summary.md, gl-code-quality.json, badges and benchmark.json. On GitHub Actions the log has annotations, and the step
its summary.

Exit codes: 0 all pass · 1 something is worse beyond its limit · 2 something could not be judged (missing, unlike or
too few data), which is never a pass · 3 wrong use · 5 storage · 70 internal error.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeprof.gate_rules import Rules
    from edgeprof.gating import GateResult
    from edgeprof.store import Dataset


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--baseline", metavar="DATA", help="the base's data set")
    parser.add_argument("--candidate", metavar="DATA", help="the candidate's data set")
    parser.add_argument("--data", metavar="DATA", help="one data set with both sides, measured in pairs")
    parser.add_argument("--rules", type=Path, metavar="FILE", help="gate.toml: limits, by metric and cell")
    parser.add_argument("--noise", action="append", default=[], metavar="DATA",
                        help="pairs in which nothing changed: what the boards do anyway; repeatable")  # fmt: skip
    parser.add_argument("--allow-unlike", action="append", default=[], metavar="KIND",
                        help="in what base and candidate may be unlike (emulator, model, …); repeatable")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="write all files into this folder")
    parser.add_argument("--all", action="store_true", help="show also what passed unchanged")
    parser.add_argument("--json", action="store_true", help="for programs: results.json on standard output")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof.cli import discard_output
    from edgeprof.gate_outputs import write_all
    from edgeprof.gate_outputs.annotations import commands
    from edgeprof.gate_outputs.results import results_json
    from edgeprof.gate_outputs.text import report
    from edgeprof.gating import gate
    from edgeprof.noise_floor import Noise
    from edgeprof.store import open_dataset

    rules = _rules(args)
    base, candidate = _sides(args)
    others = [open_dataset(path) for path in args.noise]
    noise = Noise.of(*others, base, *([candidate] if candidate else []), energy=True) if others else None
    result = gate(base, candidate, rules, noise=noise)
    if args.out is not None:  # files first: whoever reads the output may go away
        write_all(result, args.out)
    _write_summary(result)
    try:
        print(results_json(result) if args.json else report(result, everything=args.all))
        if not args.json and os.environ.get("GITHUB_ACTIONS") == "true":
            print("\n".join(commands(result)))
        sys.stdout.flush()
    except BrokenPipeError:  # the verdict stands, whoever stopped reading it
        discard_output()
    return result.exit_code


def _rules(args: argparse.Namespace) -> Rules:
    import dataclasses

    from edgeprof.alike import KINDS
    from edgeprof.errors import unknown_name
    from edgeprof.gate_rules import Rules, load_rules

    rules = load_rules(args.rules) if args.rules else Rules()
    for kind in args.allow_unlike:
        if kind not in KINDS:
            raise unknown_name("way to be unlike", kind, KINDS)
    return dataclasses.replace(rules, allow=(*rules.allow, *args.allow_unlike))


def _sides(args: argparse.Namespace) -> tuple[Dataset, Dataset | None]:
    """Open what is to be compared; no candidate where one data set has both sides."""
    from edgeprof.errors import UsageError
    from edgeprof.store import open_dataset

    if bool(args.data) == bool(args.baseline or args.candidate) or bool(args.baseline) != bool(args.candidate):
        raise UsageError(
            "A gate compares two things: give --baseline DATA and --candidate DATA, or --data DATA for one whose runs "
            "were measured in pairs (`edgeprof sweep PLAN --against BASE`)."
        )
    if args.data or _same(args.baseline, args.candidate):
        return open_dataset(args.data or args.baseline), None
    return open_dataset(args.baseline), open_dataset(args.candidate)


def _same(one: str, other: str) -> bool:
    return one == other or ("://" not in one + other and Path(one).resolve() == Path(other).resolve())


def _write_summary(result: GateResult) -> None:
    """Write the summary of the step where GitHub Actions looks for it."""
    from edgeprof.gate_outputs.markdown import LARGEST_BYTES, summary

    named = os.environ.get("GITHUB_STEP_SUMMARY")
    if not named:
        return
    page = Path(named)
    try:
        taken = page.stat().st_size if page.exists() else 0
        with page.open("a", encoding="utf-8") as file:
            file.write(summary(result, LARGEST_BYTES - taken))
    except OSError as error:  # the verdict matters more than where it is shown
        print(f"edgeprof: warning: the step's summary cannot be written ({error.strerror}).", file=sys.stderr)
