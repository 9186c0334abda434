"""What the Cortex-M4's SIMD kernels gain: instructions of a decode pass on stm32f405, against the portable kernels.

``python tests/performance/simd_gain.py --out docs/results/simd_gain.json`` records it. Both images generate the same
text; that tokens and likelihoods are the same to the last bit is checked, for a faster kernel that computes something
else is not faster.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import record
from on_board import generate, model_file

from edgeprof import boards
from edgeprof.firmware.build import compiler_of
from edgeprof.store import Dataset

MODELS = {
    "fable-1.2m": ("Q5_0", "Q4_K_M", "Q4_K_S", "Q4_0", "Q3_K_M", "Q2_K", "TQ2_0"),
    "fable-0.5m": ("Q8_0",),  # of the larger one it does not fit into the flash
}
VARIANTS = {"c99": "stm32f405", "m4-simd": "stm32f405-simd"}


def decode_ticks(dataset: Dataset) -> float:
    """Return the instructions of a decode pass, on average."""
    tokens = dataset.tokens
    return float(tokens.loc[tokens["phase"] == "decode", "ticks"].mean())


def gain(model: str, quant: str, folder: Path, n: int = 16) -> dict[str, Any]:
    """Return instructions per decode pass of both variants, their ratio, and whether both computed the same."""
    runs, file = {}, model_file(model, quant, folder)
    for variant, target in VARIANTS.items():
        runs[variant] = generate(target, file, folder / f"{model}-{quant}-{variant}", n)
        said = runs[variant].runs["kernel_variant"].iloc[0]
        assert said == variant, f"{target} says that its kernels are {said}"
        status = runs[variant].runs["status"].iloc[0]
        assert status == "ok", f"{model} as {quant} on {target}: {status}"
    columns = ["position", "phase", "token_id", "next_id", "top1_id", "nll"]
    plain, simd = (runs[v].tokens[columns].reset_index(drop=True) for v in VARIANTS)
    before, after = (decode_ticks(runs[v]) for v in VARIANTS)
    return {
        "c99_instructions_per_decode_pass": round(before),
        "simd_instructions_per_decode_pass": round(after),
        "simd_over_c99": round(after / before, 4),
        "decode_passes": int((plain["phase"] == "decode").sum()),
        "identical_tokens_and_nll": plain.equals(simd)
        and bool(plain.loc[plain["phase"] == "decode", "nll"].notna().all()),
    }


def measure_all() -> dict[str, dict[str, Any]]:
    """Return the figures for each model and quantization."""
    with tempfile.TemporaryDirectory() as folder:
        return {m: {q: gain(m, q, Path(folder)) for q in quants} for m, quants in MODELS.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    where = {
        "board": "stm32f405",
        "emulator": f"{boards.get('stm32f405').emulator} {boards.version('stm32f405')}",
        "compiler": compiler_of("stm32f405"),
    }
    record(args.out, {**where, "gain": measure_all()}, "numpy", "pandas", "gguf")
    sys.stdout.write(args.out.read_text(encoding="utf-8"))
