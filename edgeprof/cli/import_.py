"""Import what other programs wrote into a data set, as one capture.

  llama-bench -m model.gguf -o jsonl > bench.jsonl
  edgeprof import bench.jsonl --out data
  edgeprof import putty.log --format log --out data

llama-bench's CSV, JSON and JSON lines give a run a row, and a claim a number. A serial log, text or wire bytes that
another program recorded, is decoded as if it had been captured, but for the times of the host, which are unknown. The
format is found by what is in the file. Lines that are not whole are named and left out; the file's bytes are kept.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the data set's folder")
    parser.add_argument(
        "--format", default="", metavar="F", help="csv, json, jsonl (llama-bench's) or log, for all files"
    )
    parser.add_argument("--label", metavar="TEXT", help="a name for this host, kept with the capture")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof.display import terminal_text
    from edgeprof.imports import import_files

    done = import_files(args.files, args.out, form=args.format, host_label=args.label)
    for problem in done.problems:
        print(f"edgeprof: left out: {terminal_text(problem, 600)}", file=sys.stderr)
    counts = ", ".join(f"{done.rows.get(table, 0):,} {table}" for table in ("runs", "tokens", "claims", "logs"))
    print(f"imported {done.capture_id} into {args.out} ({counts}); next: edgeprof runs {args.out}")
    return 0
