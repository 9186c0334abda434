"""Find out why a board does not talk: show the raw exchange, say what was found and which command comes next.

  edgeprof doctor /dev/ttyUSB0
  edgeprof doctor socket://192.0.2.7:5000

Listens, asks in edgeprof's and MLPerf Tiny's language, then once more with DTR held, and tries the usual baud rates,
until what comes makes sense.
Nothing is recorded. The exit code is 0 if a capture would make something of the port, else 4.
"""

from __future__ import annotations

import argparse

SHOWN_BYTES = 256
ROW = 16


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("url", metavar="URL", help="a serial port, or any pyserial URL")
    parser.add_argument("--baud", type=int, help="try this baud rate only")
    parser.add_argument("--parity", choices=("N", "E", "O", "M", "S"), default="N")
    parser.add_argument("--rtscts", action="store_true", help="hardware flow control")
    parser.add_argument("--reset", action="store_true", help="let opening the port reset the board")
    parser.add_argument(
        "--seconds", type=float, default=1.5, metavar="S", help="how long to listen first (default 1.5)"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof import boards
    from edgeprof.display import terminal_text
    from edgeprof.doctor import BAUD_RATES, Step, diagnose, examine
    from edgeprof.errors import DeviceError, UsageError
    from edgeprof.transports import PortSettings, redact

    if args.url in boards.names():
        raise UsageError(
            f"{args.url!r} is a board that edgeprof starts itself: `edgeprof boards` says whether it can, and "
            f"`edgeprof capture {args.url} --model FILE.gguf --out data` runs it. The doctor looks at ports."
        )
    if args.url.startswith(("mqtt:", "mqtts:", "replay:")):
        raise UsageError("The doctor looks at serial ports and what else pyserial opens; not at MQTT topics and files.")
    if not 0.1 <= args.seconds <= 600 or (args.baud is not None and not 1 <= args.baud <= 10**8):
        raise UsageError("--seconds must be from 0.1 to 600, --baud from 1 to 100,000,000.")
    settings = PortSettings(
        baudrate=args.baud or BAUD_RATES[0], parity=args.parity, rtscts=args.rtscts, reset=args.reset
    )

    def show(step: Step) -> None:
        setting = f"{step.baudrate} baud" + (", DTR held" if step.dtr else "")
        print(f"{setting}: {step.asked}: {len(step.received):,} bytes came")
        for sign, data in ((">", step.sent), ("<", step.received)):
            for line in dump(data):
                print(f"  {sign} {line}")
        if step.line_errors:
            print(f"    the serial driver counted {step.line_errors}")

    bauds = () if args.baud else BAUD_RATES
    steps = examine(args.url, settings, bauds=bauds, seconds=args.seconds, on_step=show)
    found = diagnose(steps)
    baud = str(found.baudrate)
    print()
    for sign in found.signs:
        print(f"Found ({sign.kind}, {baud} baud): {terminal_text(sign.text, 1000)}")
        dtr = " --dtr" if found.dtr and "capture" in sign.next else ""
        print(f"Next: {sign.next.format(url=redact(args.url), baud=baud).replace(' --out', f'{dtr} --out')}")
    if found.usable:
        return 0
    return DeviceError.exit_code


def dump(data: bytes) -> list[str]:
    """Return bytes as rows of hex and text; the middle of many is left out."""
    shown = [data] if len(data) <= SHOWN_BYTES else [data[: SHOWN_BYTES // 2], data[-SHOWN_BYTES // 2 :]]
    rows: list[str] = []
    for number, part in enumerate(shown):
        if number:
            rows.append(f"… {len(data) - SHOWN_BYTES:,} bytes …")
        for at in range(0, len(part), ROW):
            row = part[at : at + ROW]
            text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
            rows.append(f"{row.hex(' '):<{3 * ROW - 1}}  {text}")
    return rows
