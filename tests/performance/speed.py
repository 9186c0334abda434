"""How fast the wasm board is on this machine, beside the same C compiled natively.

``python tests/performance/speed.py --out docs/results/speed.json`` records absolute figures with their machine;
the test beside it asserts ratios only. Both are in CPU time, so that what else the machine does counts less.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import record

import edgeprof
from edgeprof import boards, resources
from edgeprof.capture import Source, capture
from edgeprof.firmware import path as firmware
from edgeprof.quantize import quantize
from edgeprof.sources import evaluation, model_facts

QUANTS = ("F32", "F16", "Q8_0", "Q6_K", "Q5_0", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K", "TQ2_0")
HERE = Path(__file__).parent


def native(folder: Path) -> Path:
    """Compile the benchmark; return the program."""
    program = folder / "native"
    sources = sorted(str(p) for p in Path(firmware("llm")).glob("*.c"))
    flags = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-ffp-contract=off", "-fno-fast-math"]
    command = ["gcc", *flags, f"-I{firmware('llm')}", f"-I{firmware('include')}", str(HERE / "native.c"), *sources]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


def native_speed(program: Path, model: Path, windows: int) -> float:
    """Return passes per second of CPU time."""
    done = subprocess.run([program, str(model), str(windows)], check=True, capture_output=True, text=True)
    passes, seconds = done.stdout.split()
    return int(passes) / float(seconds)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has taken (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wasm_speed(model: Path, windows: int, folder: Path) -> tuple[float, float]:
    """Return passes per second of CPU time, and fuel per pass, of scoring windows on the wasm board.

    The board's process scores windows before, so that starting it and compiling the module do not count. Two windows:
    after one, the next capture's first request would have the number of the last that was answered, and be ignored.
    """
    text, facts = resources.path("data/models/eval.txt"), model_facts(model)
    with boards.start("wasm", model) as running:
        source = Source(running.url, "wasm", facts=facts[0] | running.facts, vocab=facts[1], opened=running.go)
        capture([source], folder / "first", [evaluation(text, model, max_windows=2)])
        before = cpu_seconds(running.process.pid)
        capture([source], folder / "measured", [evaluation(text, model, max_windows=windows)])
        taken = cpu_seconds(running.process.pid) - before
    tokens = edgeprof.open(folder / "measured").tokens
    return len(tokens) / taken, float(tokens["ticks"].mean())


def measure(windows: int = 8) -> dict[str, dict[str, float]]:
    """Return the figures for each quantization of the reference model."""
    source = resources.path("data/models/fable-1.2m-F16.gguf")
    figures = {}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        program = native(folder)
        for quant in QUANTS:
            model = source
            if quant != "F16":
                model = quantize(source, folder / f"{quant}.gguf", quant).path
            there = native_speed(program, model, windows)
            here, fuel = wasm_speed(model, windows, folder / f"data-{quant}")
            figures[quant] = {
                "wasm_passes_per_cpu_s": round(here, 1),
                "native_passes_per_cpu_s": round(there, 1),
                "native_over_wasm": round(there / here, 3),
                "fuel_per_pass": round(fuel),
            }
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    record(args.out, {"model": "fable-1.2m", "passes": "scoring, n_ctx 256", "speed": measure()}, "wasmtime", "numpy")
    sys.stdout.write(args.out.read_text(encoding="utf-8"))
