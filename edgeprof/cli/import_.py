"""Import what other programs wrote into a data set, as one capture.

  llama-bench -m model.gguf -o jsonl > bench.jsonl
  edgeprof import bench.jsonl --out data
  edgeprof import putty.log --format log --out data
  edgeprof import ppk2.csv --measures CAPTURE --voltage-mv 3300 --out data

llama-bench's CSV, JSON and JSON lines give a run a row, and a claim a number. A serial log, text or wire bytes that
another program recorded, is decoded as if it had been captured, but for the times of the host, which are unknown. The
format is found by what is in the file. Lines that are not whole are named and left out; the file's bytes are kept.

A power meter's file (--measures) is checked before it is believed: docs/meters.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeprof.imports import Imported


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the data set's folder")
    parser.add_argument(
        "--format", default="", metavar="F",
        help="csv, json, jsonl (llama-bench's), log, or a meter's: ppk2-csv, ppk2, jls, joulescope-csv, meter-csv",
    )  # fmt: skip
    parser.add_argument("--label", metavar="TEXT", help="a name for this host, kept with the capture")
    meter = parser.add_argument_group("a power meter's file")
    meter.add_argument("--measures", default="", metavar="CAPTURE", help="the capture in DIR whose board was measured")
    meter.add_argument("--port", type=int, metavar="N", help="the board's port in it, if it has several")
    meter.add_argument(
        "--voltage-mv", type=_positive, metavar="V", help="the supply's voltage, where the file has none"
    )
    meter.add_argument("--rate-hz", type=_positive, metavar="R", help="samples a second, where the file has no time")
    meter.add_argument(
        "--columns", default="", metavar="C", help="columns and units of a CSV: t=time_s:s,current=I:mA,voltage=U:V"
    )
    meter.add_argument("--meter", default="", metavar="NAME", help="what the meter is called in the table power")
    meter.add_argument("--started", default="", metavar="TIME", help="when the file begins, with its offset from UTC")


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e12:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof.display import terminal_text
    from edgeprof.imports import import_files

    meter = _is_meter(args)
    if meter:
        done = _meters(args)
    else:
        done = import_files(args.files, args.out, form=args.format, host_label=args.label)
    for problem in done.problems:
        print(f"edgeprof: {'found' if meter else 'left out'}: {terminal_text(problem, 600)}", file=sys.stderr)
    tables = ("power", "events") if meter else ("runs", "tokens", "claims", "logs")
    counts = ", ".join(f"{done.rows.get(table, 0):,} {table}" for table in tables)
    print(f"imported {done.capture_id} into {args.out} ({counts}); next: edgeprof runs {args.out}")
    return 0


def _is_meter(args: argparse.Namespace) -> bool:
    """Tell whether the files are a meter's: the user says so, or their first bytes do."""
    from edgeprof.errors import UsageError
    from edgeprof.meters.importing import meter_format
    from edgeprof.meters.read import FORMATS

    said = args.format in FORMATS or bool(args.measures or args.columns)
    meter = said or (not args.format and any(meter_format(path) for path in args.files))
    if meter and not args.measures:
        raise UsageError(
            f"{args.files[0]} is a power meter's file: say with --measures which capture's board it measured "
            f"(`edgeprof runs {args.out}` lists them). Nothing was imported."
        )
    return meter


def _meters(args: argparse.Namespace) -> Imported:
    from edgeprof.meters.file import MeterOptions
    from edgeprof.meters.importing import import_meters

    options = MeterOptions(args.voltage_mv, args.rate_hz, args.columns, args.meter, args.started)
    return import_meters(
        args.files, args.out, measures=args.measures, port=args.port, form=args.format, options=options,
        host_label=args.label,
    )  # fmt: skip
