"""A port that vanished, found again: the same device, perhaps under another name.

A hub that re-enumerates gives ``/dev/ttyUSB3`` to whichever board comes first, so a name alone does not say what is
behind it. Where the USB device has a serial number, that is what is looked for.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from edgeprof.transports import PortSettings, is_device, open_port

__all__ = ["Identity", "find", "identify", "may_return", "reopen"]

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a USB device from others: vendor, product and serial number."""

    vid: int
    pid: int
    serial_number: str


def identify(url: str, listed: Iterable[Any]) -> Identity | None:
    """Return whose device a port is, None where its USB device has no serial number or it is on no USB."""
    for entry in listed:
        if entry.device == url and entry.vid is not None and entry.serial_number:
            return Identity(entry.vid, entry.pid or 0, entry.serial_number)
    return None


def find(url: str, identity: Identity | None, listed: Iterable[Any]) -> str | None:
    """Return the port under which a device is attached now, None while it is not.

    Parameters
    ----------
    url
        Where it was.
    identity
        As of :func:`identify` when it was open; None: only its name is known, so its name is where it is.
    listed
        As from ``serial.tools.list_ports.comports()``.
    """
    if identity is None:
        return url
    entries = list(listed)
    here = [e.device for e in entries if (e.vid, e.pid or 0, e.serial_number) == _key(identity)]
    # A device with two ports (a debugger and a console) has one serial number: its old name is the better guess.
    return url if url in here else (here[0] if len(here) == 1 else None)


def _key(identity: Identity) -> tuple[int, int, str]:
    return identity.vid, identity.pid, identity.serial_number


def may_return(url: str) -> bool:
    """Tell whether a port that vanished can come back under its name.

    The number of a pty that is gone is given to whoever asks next: a terminal of somebody's, say.
    """
    return not url.startswith(("/dev/pts/", "replay:", "loop://"))


def reopen(
    url: str, settings: PortSettings, identity: Identity | None, stop: threading.Event,
    opened: Callable[[Any], None],
) -> None:  # fmt: skip
    """Try to open a port again until it is open or ``stop`` is set; the pauses grow from a tenth of a second to five.

    Its board is not reset by that, whatever the settings say.
    """
    from serial.tools import list_ports

    quiet = PortSettings(**{k: getattr(settings, k) for k in settings.__dataclass_fields__} | {"reset": False})
    pause = FIRST_PAUSE_SECONDS
    while not stop.wait(pause):
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        port = None
        with contextlib.suppress(Exception):  # pyserial raises anything while devices come and go
            where = find(url, identity, list_ports.comports()) if is_device(url) else url
            port = open_port(where, quiet) if where is not None else None
        if port is None:
            continue
        opened(port)
        return
