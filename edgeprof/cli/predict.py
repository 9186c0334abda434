"""Predict whether a model fits a board and what a token costs there, before anything is flashed.

  edgeprof predict model-Q4_0.gguf --board stm32f405
  edgeprof predict model-Q4_0.gguf --board rp2040 --context 128 --json

Of the file only the header is read. Cost comes from captures of that board (by default those that come with edgeprof);
its error and the range in which that was found are part of the answer. Exit code 1: it does not fit. Exit code 2:
cost is not calibrated, because that board was never captured with such tensors.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeprof.prediction import Prediction


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("model", type=Path, metavar="MODEL.gguf")
    parser.add_argument("--board", required=True, metavar="NAME", help="a board of `edgeprof boards`, or one in DATA")
    parser.add_argument("--context", type=int, metavar="N", help="positions in the KV cache (default: the board's)")
    parser.add_argument("--position", type=int, metavar="N", help="of the passes (default: the middle of the context)")
    parser.add_argument(
        "--captures", action="append", metavar="DATA", help="data set with captures of the board; repeatable"
    )
    parser.add_argument(
        "--models",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="GGUF files, or a folder, that DATA ran",
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    import json

    import edgeprof
    from edgeprof.prediction import NOT_CALIBRATED

    prediction = edgeprof.predict(
        args.model, args.board, args.captures, n_ctx=args.context, position=args.position, models=args.models
    )
    print(json.dumps(prediction.to_dict(), indent=1) if args.json else _shown(prediction))
    return 2 if prediction.status == NOT_CALIBRATED else 1 if prediction.fits is False else 0


def _shown(p: Prediction) -> str:
    """Return what a prediction says, for people."""
    from edgeprof.display import terminal_text, text_table
    from edgeprof.prediction_tables import cost_table, memory_table, summary

    title = (
        f"{p.model} {p.quant} ({p.n_params:,} parameters) on {p.board}, context {p.n_ctx:,}, position {p.position:,}"
    )
    lines = [terminal_text(title, 200), "", text_table(memory_table(p)), "", text_table(cost_table(p)), "", summary(p)]
    lines += [f"Note: {terminal_text(note, 400)}." for note in p.notes]
    return "\n".join(lines)
