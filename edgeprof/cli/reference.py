"""Capture the reference data: small models at every quantization on every emulated board.

  edgeprof reference build --out DIR                 every plan but the nightly ones
  edgeprof reference build --check                   capture anew into a temporary folder, compare with what is there
  edgeprof reference build --check --board wasm      one board only
  edgeprof reference build --check --quant Q4_0      one quantization only

The clocks of emulated boards are exact: --check ends with 1 if a single device column differs.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("action", choices=("build",))
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to; interrupted, it goes on where it was")
    parser.add_argument("--check", action="store_true", help="compare with the reference data that come with edgeprof")
    parser.add_argument("--nightly", action="store_true", help="also floats on cores without floating point (minutes)")
    parser.add_argument("--board", action="append", default=[], metavar="NAME", help="only this board; repeatable")
    parser.add_argument("--quant", action="append", default=[], metavar="NAME", help="only this one; repeatable")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="captures at a time (default: one a core)")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    import tempfile
    import time

    from edgeprof.cli.sweep import sweep_with_bar
    from edgeprof.errors import UsageError
    from edgeprof.reference_data import build_reference, check_reference, reference_plans

    if not args.out and not args.check:
        raise UsageError("reference build needs --out DIR (where to), --check (compare with what is there), or both.")
    plans = reference_plans(nightly=args.nightly, only=tuple(args.board), quants=tuple(args.quant))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        out = args.out or Path(temporary)
        build_reference(out, plans, lambda plan, folder: sweep_with_bar(plan, folder, args.jobs))
        print(f"captured in {time.monotonic() - began:.0f} s")
        found = check_reference(out) if args.check else []
    if args.check:
        print("\n".join(found) or "every device column of runs, tokens, stages and memory is the same")
        if found:
            print("Another emulator or its version may count otherwise: see runs.emulator_version of both.")
    return 1 if found else 0
