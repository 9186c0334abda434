"""List the boards that edgeprof emulates: core, clock, memory, and whether each can be used now.

  edgeprof boards                                    all of them, and how to install what is missing
  edgeprof boards --available                        what can be used now, and the serial ports that are attached
  edgeprof boards --require stm32f405 espressif      exit code 4, with the reason, unless both can be used

--require takes names of boards, ports (/dev/ttyACM0) and kinds of ports: adafruit, arduino, ch340, cp210x, espressif,
ftdi, nordic, raspberry-pi, seeed, segger, st, by the maker of the USB side. No port is opened, so one that another
program holds counts as usable. The shape of --json is in docs/boards.md.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeprof.ports import Port


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--available", action="store_true", help="only what can be used now, and attached serial ports")
    parser.add_argument(
        "--require", nargs="+", default=[], metavar="NAME", help="end with 4 unless these boards and ports can be used"
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    import json
    from dataclasses import asdict

    from edgeprof import ports
    from edgeprof.errors import DeviceError

    found = _boards()
    attached = ports.attached() if args.available or args.require else []
    missing = [text for name in args.require if (text := _lacks(name, found, attached))]
    shown = [b for b in found if b["usable"] or not args.available]
    if args.json:
        both = {"boards": shown, "ports": [asdict(p) for p in attached]}
        print(json.dumps(both if args.available else shown, indent=1))
    else:
        _print(shown, attached if args.available else None)
    if missing:
        raise DeviceError(" ".join(missing))
    return 0


def _boards() -> list[dict[str, Any]]:
    """Return what is known of every board, and whether it can be used here."""
    from concurrent.futures import ThreadPoolExecutor
    from dataclasses import asdict

    from edgeprof import boards

    def state(name: str) -> dict[str, Any]:
        reason = boards.why_not(name)
        now = {"usable": not reason, "version": boards.version(name), "why_not": reason}
        return asdict(boards.get(name)) | now

    with ThreadPoolExecutor(8) as pool:  # each emulator is asked for its version, which is a process
        return list(pool.map(state, boards.names()))


def _print(found: Sequence[dict[str, Any]], attached: Sequence[Port] | None) -> None:
    from edgeprof import boards
    from edgeprof.boards.face import facts

    rows = [
        facts(boards.get(b["name"]))
        | {
            "emulator": f"{b['emulator']} {b['version']}".strip() or "–",
            "usable": "yes" if b["usable"] else "no",
        }
        for b in found
    ]
    print(_table(rows))
    for b in found:
        if not b["usable"]:
            print(f"\n{b['name']}: {b['why_not']}")
            for system, command in b["install"].items():
                print(f"  {system:<7}{command}")
    if attached is None:
        print("\nA real board is named by its port: edgeprof capture /dev/ttyUSB0 --out data --prompt '…'")
        print("Those that are attached: edgeprof boards --available")
    else:
        _print_ports(attached)


def _table(rows: Sequence[dict[str, str]]) -> str:
    """Return what `edgeprof.display.text_table` would, without pandas, which takes longer to load than all else."""
    from edgeprof.display import terminal_text

    if not rows:
        return "(none)"
    columns = [[terminal_text(cell) for cell in (name, *(row[name] for row in rows))] for name in rows[0]]
    padded = []
    for column in columns:
        width = max(map(len, column))
        number = all(cell[:1].isdigit() for cell in column[1:])
        cells = [cell.rjust(width) if number else cell.ljust(width) for cell in column]
        padded.append([cells[0], "-" * width, *cells[1:]])
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded, strict=True))


def _print_ports(attached: Sequence[Port]) -> None:
    from edgeprof.display import terminal_text

    if not attached:
        print("\nNo serial port is attached.")
        return
    usable = {True: "yes", False: "no", None: "not known"}
    rows = [
        {
            "port": p.port,
            "description": p.description or "–",
            "USB": p.usb_id or "–",
            "maker": p.maker or "–",
            "kind": p.kind or "–",
            "usable": usable[p.usable],
        }
        for p in attached
    ]
    print(f"\n{_table(rows)}")
    for p in attached:
        if p.why_not:
            print(f"\n{terminal_text(p.port)}: {p.why_not}")


def _lacks(name: str, found: Sequence[dict[str, Any]], attached: Sequence[Port]) -> str:
    """Return why what is named cannot be used: a board, a port or a kind of port; empty if it can."""
    from edgeprof import ports
    from edgeprof.errors import unknown_name
    from edgeprof.transports import describe_ports

    for b in found:
        if b["name"] == name:
            return "" if b["usable"] else f"The board {name!r} cannot be used here: {b['why_not']}"
    if name in ports.KINDS:
        mine, missing = [p for p in attached if p.kind == name], f"No port of the kind {name!r} is attached."
    elif "/" in name or name.upper().startswith("COM"):
        real = os.path.realpath(name)  # /dev/serial/by-id/… is a link, and the one name that stays
        mine, missing = [p for p in attached if p.port in (name, real)], f"The port {name} is not attached."
    else:
        raise unknown_name("board or kind of port", name, [*(b["name"] for b in found), *ports.KINDS])
    if not mine:
        return f"{missing} {describe_ports()}"
    if any(p.usable is not False for p in mine):
        return ""
    return " ".join(f"{p.port} may not be opened. {p.why_not}" for p in mine)
