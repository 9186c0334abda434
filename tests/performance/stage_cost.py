"""What the stages add up to on each emulated board, and what timing them costs.

``python tests/performance/stage_cost.py --out docs/results/stage_cost.json`` records it. The same firmware is built
without the stages' clock (``-DEDGEPROF_NO_STAGES``) and runs the same prompt: the difference is the clock's cost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import record
from on_board import board_of, exact_boards, generate, model_file, reference_firmware

import edgeprof
from edgeprof import boards
from edgeprof.errors import EdgeprofError
from edgeprof.firmware.build import compiler_of
from edgeprof.stage_profile import UNATTRIBUTED
from edgeprof.store import Dataset

MODEL, QUANTS = "fable-1.2m", ("Q4_0", "Q4_K_M", "TQ2_0")
SLOW, FEW, MANY = "rp2040", 2, 16
"""The board whose emulator makes two passes a second, and how many tokens it and the others generate."""


def remainders(dataset: Dataset) -> pd.DataFrame:
    """Return ``phase`` and ``remainder`` of every pass: the share of it (0 to 1) that is in no stage."""
    sums = dataset.table("stages").groupby("position")["ticks"].sum()
    passes = dataset.tokens.set_index("position")[["phase", "ticks"]].join(sums.rename("stages"), how="left")
    return passes.assign(remainder=1 - passes["stages"] / passes["ticks"])[["phase", "remainder"]].reset_index()


def sums(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Return, for each phase, the ticks of a pass, the share of each stage, and the worst remainder of a pass."""
    shares = edgeprof.stage_shares(dataset.tokens, dataset.table("stages"))
    worst = remainders(dataset).groupby("phase")["remainder"].agg(lambda r: r.abs().max())
    found = {}
    for phase, part in shares.groupby("phase", sort=False):
        found[str(phase)] = {
            "passes": int(part["passes"].iloc[0]),
            "ticks_per_pass": round(float(part["ticks_per_pass"].sum()), 1),
            "share": {str(s): float(f"{v:.3g}") for s, v in zip(part["stage"], part["share"], strict=True)},
            f"worst_{UNATTRIBUTED}_share": float(f"{worst[phase]:.3g}"),
        }
    return found


def overhead(timed: Dataset, plain: Dataset) -> dict[str, dict[str, float]]:
    """Return what timing costs, in ticks: of a pass, for each phase, and of a whole run for each pass, in between too.

    Both must have made the same tokens with the same likelihoods.
    """
    keys, same = ["position", "phase"], ["token_id", "next_id", "top1_id", "nll"]
    both = timed.tokens.merge(plain.tokens, on=keys, suffixes=("", "_plain"))
    assert len(both) == len(timed.tokens) == len(plain.tokens)
    assert all(both[c].equals(both[f"{c}_plain"].rename(c)) for c in same), "the clock changed what was computed"
    assert plain.table("stages").empty
    found = {}
    for phase, part in both.groupby("phase", sort=False):
        more = float((part["ticks"] - part["ticks_plain"]).mean())
        share = more / float(part["ticks_plain"].mean())
        found[str(phase)] = {"ticks_per_pass": round(more, 1), "share_of_pass": float(f"{share:.3g}")}
    totals = [float(d.runs["ticks_total"].iloc[0]) for d in (timed, plain)]
    found["whole_run"] = {
        "ticks_per_pass": round((totals[0] - totals[1]) / len(both), 1),
        "share": float(f"{totals[0] / totals[1] - 1:.3g}"),
    }
    return found


def measure(target: str, quant: str, folder: Path, *, n: int, plain: Path | None) -> dict[str, Any]:
    """Run one model on one target; ``plain`` is the image without the stages' clock, None where there is none."""
    model = model_file(MODEL, quant, folder)
    timed = generate(target, model, folder / f"{target}-{quant}", n)
    result: dict[str, Any] = {"stages": sums(timed)}
    if plain is not None:
        result["overhead"] = overhead(
            timed, generate(target, model, folder / f"{target}-{quant}-plain", n, image=plain)
        )
    return result


def measure_all() -> dict[str, Any]:
    """Return the figures of every board, or why there are none."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for target in [*exact_boards(), "stm32f405-simd", "host"]:
            spec, n = boards.get(board_of(target)), FEW if target == SLOW else MANY
            entry: dict[str, Any] = {"clock": spec.clock, "emulator": f"{spec.emulator} {boards.version(spec.name)}"}
            try:
                plain = None
                if target == "host":
                    entry["note"] = "time on a busy machine: what no stage has is all that these figures tell"
                else:
                    plain = reference_firmware(target, folder / f"{target}.image", "-DEDGEPROF_NO_STAGES")
                entry["compiler"] = compiler_of(target)
                entry |= {q: measure(target, q, folder, n=n, plain=plain) for q in QUANTS}
            except EdgeprofError as error:
                entry["not_measured"] = str(error)
            found[target] = entry
            print(target, "measured", file=sys.stderr)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    what = {
        "share": "of a pass, 0 to 1, mean over the phase's passes; unattributed: what no stage has",
        "worst_unattributed_share": "the same of the worst single pass",
        "overhead": "against the same firmware built with -DEDGEPROF_NO_STAGES, same prompt, same tokens; in ticks",
        "whole_run": "run begin to run end over the number of passes: also keeping and sending the stages",
    }
    record(args.out, {"what": what, "model": MODEL, "measured": measure_all()}, "wasmtime", "numpy", "pandas")
    sys.stdout.write(args.out.read_text(encoding="utf-8"))
