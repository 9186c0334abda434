"""The serial ports that are attached: whose they are, and whether this user may open them.

Nothing is opened: a port that another program holds is listed as usable.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serial.tools.list_ports_common import ListPortInfo

__all__ = ["KINDS", "Port", "attached", "port_rows", "why_not_open"]

_MAKERS = {
    0x0403: ("ftdi", "FTDI"),
    0x0483: ("st", "STMicroelectronics (ST-Link)"),
    0x10C4: ("cp210x", "Silicon Labs (CP210x)"),
    0x1366: ("segger", "SEGGER (J-Link)"),
    0x1915: ("nordic", "Nordic Semiconductor"),
    0x1A86: ("ch340", "WCH (CH340)"),
    0x2341: ("arduino", "Arduino"),
    0x239A: ("adafruit", "Adafruit"),
    0x2886: ("seeed", "Seeed"),
    0x2A03: ("arduino", "Arduino"),
    0x2E8A: ("raspberry-pi", "Raspberry Pi"),
    0x303A: ("espressif", "Espressif"),
}

KINDS = tuple(sorted({kind for kind, _ in _MAKERS.values()}))
"""What a port can be by the maker of its USB side: of the chip or board itself, or of the bridge in front of it."""


@dataclass(frozen=True, slots=True)
class Port:
    """An attached serial port.

    Attributes
    ----------
    port
        What `edgeprof capture` takes: ``/dev/ttyUSB0``, ``COM3``.
    description
        The device's or the driver's own words; empty if there are none.
    kind, maker
        One of :data:`KINDS` and the maker's name, by the USB vendor; empty if it is none of them.
    usb_id
        Vendor and product, ``303a:1001``; empty if the port is not on USB.
    serial_number
        The device's, empty if it has none.
    usable
        Whether this user may open it; None where that cannot be told without opening it.
    why_not
        Why not, and what to do; empty if it is usable or not known.
    """

    port: str
    description: str
    kind: str
    maker: str
    usb_id: str
    serial_number: str
    usable: bool | None
    why_not: str


def port_rows(entries: Iterable[ListPortInfo], why_not: Callable[[str], str | None]) -> list[Port]:
    """Return a row for each of pyserial's entries, by name of port.

    Parameters
    ----------
    entries
        As from ``serial.tools.list_ports.comports()``.
    why_not
        Says of a port why it may not be opened, empty if it may, None if that is not known: :func:`why_not_open`.
    """
    rows = []
    for entry in sorted(entries):
        kind, maker = _MAKERS.get(entry.vid or 0, ("", ""))
        reason = why_not(entry.device)
        rows.append(
            Port(
                port=entry.device,
                description="" if entry.description in (None, "n/a") else entry.description,
                kind=kind,
                maker=maker,
                usb_id="" if entry.vid is None else f"{entry.vid:04x}:{entry.pid or 0:04x}",
                serial_number=entry.serial_number or "",
                usable=None if reason is None else not reason,
                why_not=reason or "",
            )
        )
    return rows


def attached() -> list[Port]:
    """Return the serial ports of this machine."""
    from serial.tools import list_ports

    return port_rows(list_ports.comports(), why_not_open)


def why_not_open(device: str) -> str | None:
    """Return why this user may not open a device, empty if it may, None where that is not said by permissions."""
    if os.name != "posix":
        return None
    if os.access(device, os.R_OK | os.W_OK):
        return ""
    try:
        found = Path(device).stat()
    except OSError as error:
        return f"It cannot be looked at: {error.strerror}."
    both = stat.S_IRGRP | stat.S_IWGRP
    if found.st_mode & both != both:
        return 'Only its owner may open it: a rule for udev can give it to a group (TAG+="uaccess", or GROUP and MODE).'
    group = _group(found.st_gid)
    return f"Its group is {group}: sudo usermod -a -G {group} $USER, then log in again."


def _group(number: int) -> str:
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:  # a container that does not know the host's groups
        return str(number)
