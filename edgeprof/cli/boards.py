"""List the boards that edgeprof can emulate: core, clock, memory, and whether each can be used now."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    import pandas as pd

    from edgeprof import boards, units
    from edgeprof.display import text_table

    found = [boards.get(name) for name in boards.names()]
    if args.json:
        print(json.dumps([asdict(b) for b in found], indent=1, default=str))
        return 0
    rows = [
        {
            "board": b.name,
            "core": b.core,
            "a tick is": b.clock,
            "core clock": units.si(b.board_clock_hz, "Hz"),
            "RAM": units.iec(b.ram_bytes),
            "flash": units.iec(b.flash_bytes),
            "emulator": b.emulator or "–",
        }
        for b in found
    ]
    print(text_table(pd.DataFrame(rows)))
    print("\nA real board is named by its port: edgeprof capture /dev/ttyUSB0 --out data --prompt '…'")
    return 0
