"""Publish a serial board to an MQTT broker, where `edgeprof capture mqtt://…` finds it from any machine.

  edgeprof bridge /dev/ttyUSB0 mqtt://broker.example/lab/board1 --baud 921600
  edgeprof capture mqtt://broker.example/lab/board1 --prompt "Once upon a time" --out data

Start the capture first if it should have every byte. While the broker is away, what the board sends is kept in memory.
Ctrl-C ends the bridge when the broker has everything. User name and password are taken from EDGEPROF_MQTT_USERNAME and
EDGEPROF_MQTT_PASSWORD, or from the URL, where other users of this machine can read them.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeprof.bridge import Traffic


def add(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("port", metavar="PORT", help="a serial port, or any pyserial URL")
    parser.add_argument("broker", metavar="URL", help="mqtt://[user@]host[:port]/topic, or mqtts:// for TLS")
    parser.add_argument("--baud", type=int, default=115200)
    parser.add_argument("--parity", choices=("N", "E", "O", "M", "S"), default="N")
    parser.add_argument("--rtscts", action="store_true", help="hardware flow control")
    parser.add_argument("--reset", action="store_true", help="let opening the port reset the board")
    parser.add_argument(
        "--spool-mib", type=float, default=64.0, metavar="N", help="memory for the broker's absence (default 64 MiB)"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the verb."""
    from edgeprof.bridge import bridge
    from edgeprof.errors import DeviceError, UsageError
    from edgeprof.transports import PortSettings
    from edgeprof.units import iec

    if not 0.1 <= args.spool_mib <= 1 << 20:
        raise UsageError(f"--spool-mib must be from 0.1 to {1 << 20:,}, not {args.spool_mib:g}.")
    settings = PortSettings(baudrate=args.baud, parity=args.parity, rtscts=args.rtscts, reset=args.reset)
    stop, line = threading.Event(), _Line()

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends at once
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    traffic = bridge(
        args.port, args.broker, settings, stop=stop, spool_bytes=int(args.spool_mib * (1 << 20)), on_progress=line.show
    )
    line.end()
    print(
        f"published {traffic.published:,} messages, {iec(traffic.published_bytes)}; "
        f"{traffic.requests:,} requests carried; the broker was lost {traffic.broker_lost} times, the port "
        f"{traffic.port_lost} times"
    )
    if traffic.lost:
        raise DeviceError(
            f"{traffic.lost:,} messages ({iec(traffic.lost_bytes)}) were lost: while the broker was away "
            "there was no room for them (--spool-mib gives more), or in the end no time."
        )
    return 0


class _Line:
    """The live line; where nobody looks, a line for each change that somebody should know of."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.state: tuple[bool, bool, bool] | None = None

    def show(self, traffic: Traffic) -> None:
        """Draw the line anew."""
        from edgeprof.units import iec

        state = (traffic.port_here, traffic.broker_here, traffic.lost > 0)
        away = [name for name, here in zip(("port", "broker"), state, strict=False) if not here]
        text = (
            f"{iec(traffic.read_bytes)} read, {traffic.published:,} messages published, {traffic.waiting:,} waiting "
            f"({iec(traffic.waiting_bytes)}), {traffic.lost:,} lost" + "".join(f", {name} away" for name in away)
        )
        if self.live:
            sys.stderr.write(f"\r\x1b[2K{text}")
            sys.stderr.flush()
        elif state != self.state:
            print(f"edgeprof bridge: {text}", file=sys.stderr, flush=True)
        self.state = state

    def end(self) -> None:
        """Leave the line as it is."""
        if self.live:
            sys.stderr.write("\n")
