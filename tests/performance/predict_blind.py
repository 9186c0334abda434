"""How far predictions are off for models that had no part in calibrating them, nor in choosing what is fitted.

``python tests/performance/predict_blind.py --out docs/results/predict.json`` writes two models of random weights, runs
them on every emulated board and compares each pass with what was predicted; and does the same with leaving out each
model of the captures that come with edgeprof.
"""

from __future__ import annotations

import argparse
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
import pandas as pd
from machine import record
from on_board import exact_boards, generate

import edgeprof
from edgeprof import boards, resources
from edgeprof.calibration import calibrate
from edgeprof.model_shape import read_shape
from edgeprof.observed import load_captures, observations
from edgeprof.prediction import predict_shape
from edgeprof.quantize import quantize
from edgeprof.validation import compared

TESTED = {  # blind-b has six layers, and only one board the room
    "blind-a": (None, ("Q8_0", "Q6_K", "Q5_0", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K", "TQ2_0")),
    "blind-b": ("wasm", ("Q8_0", "Q4_0")),
}


def worst(table: pd.DataFrame, by: list[str]) -> dict[str, float]:
    """Return the largest error of each group, with its sign, in percent."""
    found = {}
    for key, errors in table.groupby(by)["error"]:
        found[" ".join(map(str, key))] = round(100 * float(errors.loc[errors.abs().idxmax()]), 2)
    return found


def blind(board: str, folder: Path) -> pd.DataFrame:
    """Return the passes of the test models on a board beside what was predicted; memory must be exact."""
    write = runpy.run_path(str(resources.path("data/reference/sizes/make_shape.py")))["write"]
    calibration, tables = calibrate(board), []
    for name, (only, quants) in TESTED.items():
        if only not in (None, board):
            continue
        source = write(name, folder / f"{name}-F16.gguf")
        for quant in quants:
            file = quantize(source, folder / f"{name}-{quant}.gguf", quant).path
            data = generate(board, file, folder / f"{board}-{name}-{quant}", 8)
            run, shape = data.runs.iloc[0], read_shape(file)
            p = predict_shape(shape, calibration, n_ctx=int(run["n_ctx"]))
            for column in ("ram_needed_bytes", "flash_needed_bytes", "kv_cache_bytes", "activation_bytes"):
                assert getattr(p.memory, column) == run[column], (board, name, quant, column)
            assert p.fits == (run["status"] == "ok"), (board, name, quant)
            seen = observations(load_captures([data]), board, [folder])
            if seen is not None and p.fits:
                tables.append(compared(seen, seen.stages, calibration.costs))
    return pd.concat(tables)


def measure_all() -> dict[str, Any]:
    """Return the largest errors by board and quantization."""
    with tempfile.TemporaryDirectory() as folder:
        tables = [blind(board, Path(folder)) for board in exact_boards()]
    return {
        "blind_error_percent": worst(pd.concat(tables), ["board", "model", "quant"]),
        "held_out_error_percent": worst(edgeprof.held_out(), ["board", "model", "quant"]),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    versions = {name: f"{boards.get(name).emulator} {boards.version(name)}" for name in exact_boards()}
    record(args.out, {"emulators": versions} | measure_all(), "wasmtime")
