"""Opening a port without disturbing the board behind it.

Every port is a pyserial URL (a device path, ``COM3``, ``socket://host:port``, ``rfc2217://…``, ``loop://``), or one of
two of our own: ``mqtt://broker/topic`` and ``replay:FILE``.
"""

from __future__ import annotations

import os
import re
import selectors
import time
from dataclasses import dataclass
from typing import Any, Protocol

import serial

from edgeprof.errors import DeviceError, EdgeprofError

__all__ = ["MessagePort", "PortSettings", "describe_ports", "is_device", "open_port", "redact", "selectable"]

WRITE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class PortSettings:
    """How a port is configured.

    Attributes
    ----------
    baudrate, bytesize, parity, stopbits, rtscts, xonxoff
        As pyserial has them.
    reset
        Let opening the port pulse DTR and RTS, which resets many boards.
    dtr
        Hold DTR while the port is open: what sends over USB itself, as a Pico does, sends nothing without it.
    """

    baudrate: int = 115200
    bytesize: int = 8
    parity: str = "N"
    stopbits: float = 1
    rtscts: bool = False
    xonxoff: bool = False
    reset: bool = False
    dtr: bool = False


class MessagePort(Protocol):
    """A port without a descriptor to wait for, whose bytes come in messages."""

    def take(self, seconds: float) -> list[tuple[bytes, int]]:
        """Wait up to so long; return bytes and when they came, in nanoseconds of the monotonic clock.

        Raises
        ------
        EOFError
            Its source is at its end.
        OSError
            It is gone.
        """
        ...

    def rest(self) -> list[tuple[bytes, int]]:
        """Return, as :meth:`take` does, what came and was held back: nothing is waited for any more."""
        ...

    def acknowledge(self) -> None:
        """All that was taken is in the journal."""
        ...

    def happened(self) -> list[tuple[str, int, int | None, str]]:
        """Return (kind, start, end or None, detail) of what the journal should say beside the bytes."""
        ...

    def write(self, data: bytes) -> int | None:
        """Send bytes to the board."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def redact(url: str) -> str:
    """Return a URL without its user name and password.

    A password may hold a / or an @, so all up to the last @ is taken for one: better to hide too much than too little.
    """
    return re.sub(r"://.*@", "://***@", url, flags=re.DOTALL)


def is_device(url: str) -> bool:
    """Tell whether a URL is a serial device of this machine: a path, or ``COM3``."""
    return "://" not in url and not url.startswith("replay:")


def describe_ports() -> str:
    """Return the attached serial ports in words, for error messages."""
    from serial.tools import list_ports

    found = [
        p.device + (f" ({p.description})" if p.description not in (None, "", "n/a") else "")
        for p in sorted(list_ports.comports())
    ]
    return "Attached serial ports: " + (", ".join(found) if found else "none") + "."


def open_port(url: str, settings: PortSettings) -> Any:
    """Open a port and return pyserial's object, or a :class:`MessagePort`.

    Raises
    ------
    DeviceError
        The port is missing, in use or not permitted; the message lists the ports there are.
    """
    if url.startswith(("mqtt://", "mqtts://")):
        from edgeprof.mqtt import open_mqtt

        return open_mqtt(url)
    if url.startswith("replay:"):
        from edgeprof.replay import open_replay

        return open_replay(url)
    try:
        port = serial.serial_for_url(url, do_not_open=True)
        port.baudrate, port.bytesize = settings.baudrate, settings.bytesize
        port.parity, port.stopbits = settings.parity, settings.stopbits
        port.rtscts, port.xonxoff = settings.rtscts, settings.xonxoff
        port.timeout, port.write_timeout = 0.05, WRITE_SECONDS
        if is_device(url):
            port.exclusive = True
        if not settings.reset:
            # Set before opening: an ESP32's reset and boot pins hang on these two lines.
            port.dtr = settings.dtr
            port.rts = False
        port.open()
    except EdgeprofError:
        raise
    except Exception as error:  # URL handlers raise anything, and so does pyserial while devices come and go
        raise DeviceError(_why(url, error)) from error
    return port


def _why(url: str, error: Exception) -> str:
    name, text = redact(url), str(error).replace(url, redact(url))
    number = getattr(error, "errno", None)
    if "baud" in text:
        return f"{name} does not take this speed: {text}. Give another one with --baud."
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return f"{name!r} is not a port that pyserial knows: {text}. {describe_ports()}"
    if number == 13 or "Permission" in text:
        from edgeprof.ports import why_not_open

        cure = why_not_open(url) or "Another user or a sandbox may hold it."
        return f"No permission to open {name}. {cure} {describe_ports()}"
    if number in (11, 16) or "exclusively lock" in text or "busy" in text:
        return f"{name} is in use by another program (a serial monitor?). Close it and try again. {describe_ports()}"
    if number == 2 or "No such file" in text:
        cable = " Is the cable a charging cable without data lines?" if url.startswith("/dev/tty") else ""
        return f"There is no port {name}. {describe_ports()}{cable}"
    if number in (21, 25) or "Inappropriate ioctl" in text:
        return f"{name} is no serial port. {describe_ports()} What was recorded in a file is replay:FILE."
    return f"{name} could not be opened: {text}. {describe_ports()}"


def write_all(fd: int, data: bytes, seconds: float) -> bool:
    """Write to a descriptor that does not block, waiting for room for so long; tell whether all was taken.

    pyserial's own way goes by ``select``, which knows no descriptor beyond 1,023.
    """
    view, end = memoryview(data), time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_WRITE)
        while view:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:
                left = end - time.monotonic()
                if left <= 0 or not selector.select(left):
                    return False
    return True


def selectable(port: Any) -> int | None:
    """Return a descriptor that a selector can wait for and ``os.read`` can read, or None."""
    if os.name != "posix" or hasattr(port, "take"):
        return None
    try:
        number = port.fileno()
    except Exception:
        # pyserial's URL handlers raise anything from AttributeError to io.UnsupportedOperation here.
        return None
    return int(number) if isinstance(number, int) and number >= 0 else None
