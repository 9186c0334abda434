"""What edgeprof.h costs on each emulated board, in its ticks, and how many bytes it sends.

``python tests/performance/telemetry_cost.py --out docs/results/telemetry_cost.json`` records it. The board counts
itself (``edgeprof/firmware/examples/telemetry_cost/main.c``); writing is free there, so this is the library alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import record

from edgeprof import boards
from edgeprof.errors import EdgeprofError
from edgeprof.firmware import path as firmware
from edgeprof.firmware.build import build_program, compiler_of
from edgeprof.transports import PortSettings, open_port

SAMPLES_A_BLOCK = 250
SECONDS = 120.0


def lines_of(url: str, last: str) -> list[str]:
    """Wake the program on a board, and return what it says until a line."""
    port = open_port(url, PortSettings())
    try:
        port.timeout = 1.0
        said, new, end = b"", b"", time.monotonic() + SECONDS
        while last.encode() not in said:
            if time.monotonic() > end:
                raise TimeoutError(f"the board said only {said[-300:]!r}")
            if not new and said in (b"", b"ready\r\n"):
                # Any byte; a zero ends a frame, and so nobody waits for more. Before the UART is on it is lost.
                port.write(b"\0")
            new = port.read(1)
            new += port.read(port.in_waiting)
            said += new
        return said.decode().split("\r\n")
    finally:
        port.close()


def costs(lines: list[str]) -> dict[str, dict[str, int]]:
    """Return what the lines ``cost NAME CALLS TICKS WORST BYTES`` say."""
    rows = [line.split()[1:] for line in lines if line.startswith("cost ") and line != "cost end"]
    return {
        name: dict(zip(("calls", "ticks", "worst", "bytes"), map(int, numbers), strict=True)) for name, *numbers in rows
    }


def figures(said: dict[str, dict[str, int]]) -> dict[str, float]:
    """Return ticks a record, a sample and a frame; without what the measurement itself costs."""
    counter = round(said["counter"]["ticks"] / said["counter"]["calls"])
    token, block = said["token_record"], said["power_block"]
    return {
        "counter_ticks": counter,
        "token_record_ticks": round(token["ticks"] / token["calls"] - counter, 1),
        "token_record_worst_ticks": token["worst"] - counter,
        "token_record_bytes": round(token["bytes"] / token["calls"], 2),
        "power_sample_ticks": round((block["ticks"] / block["calls"] - counter) / SAMPLES_A_BLOCK, 1),
        "power_block_worst_ticks": block["worst"] - counter,
        "power_sample_bytes": round(block["bytes"] / block["calls"] / SAMPLES_A_BLOCK, 2),
        "run_begin_ticks": said["run_begin"]["ticks"] - counter,
        "run_end_ticks": said["run_end"]["ticks"] - counter,
    }


def measure(board: str, folder: Path) -> dict[str, float]:
    """Build the program for a board, run it there, and return the figures."""
    image = folder / f"{board}.{'wasm' if board == 'wasm' else 'elf'}"
    build_program(board, [firmware("examples", "telemetry_cost", "main.c")], image)
    with boards.start(board, None, image=image) as running:
        return figures(costs(lines_of(running.url, "cost end\r\n")))


def measure_all() -> dict[str, Any]:
    """Return the figures of every board with an exact clock, or why there are none."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in boards.names():
            clock = boards.get(name).clock
            if clock == "host":  # time, and noise
                continue
            try:
                found[name] = {"clock": clock, "compiler": compiler_of(name), **measure(name, Path(folder))}
            except EdgeprofError as error:
                found[name] = {"clock": clock, "not_measured": str(error)}
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    what = {
        "token_record": "ep_pass_begin() and ep_pass_end(), the frame of 30 shared out; worst: the one that sends it",
        "power_sample": "ep_power_block() of 250 samples of 12 bits",
        "writing": "free: a function that counts bytes",
    }
    record(args.out, {"what": what, "cost": measure_all()})
    sys.stdout.write(args.out.read_text(encoding="utf-8"))
