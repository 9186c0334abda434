"""What the kernel's serial driver counted as lost or damaged (Linux): overruns, framing and parity errors, breaks."""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping

__all__ = ["line_errors", "what_grew"]

# struct serial_icounter_struct of linux/serial.h: cts, dsr, rng, dcd, rx, tx, then these, then nine reserved ints.
_TIOCGICOUNT = 0x545D
_COUNTERS = struct.Struct("6i5i9i")
WORDS = {
    "frame": "framing errors (another baud rate?)",
    "overrun": "bytes lost in the UART",
    "parity": "parity errors",
    "brk": "breaks",
    "buf_overrun": "bytes lost in the driver's buffer",
}


def line_errors(fd: int) -> dict[str, int] | None:
    """Return the driver's counters since it was loaded; None where it has none, as a pty or a socket."""
    if not sys.platform.startswith("linux"):
        return None
    import fcntl

    try:
        raw = fcntl.ioctl(fd, _TIOCGICOUNT, bytes(_COUNTERS.size))
    except OSError:
        return None
    return dict(zip(WORDS, _COUNTERS.unpack(raw)[6:11], strict=True))


def what_grew(before: Mapping[str, int], now: Mapping[str, int]) -> str:
    """Return in words which counters are higher than they were; empty if none is.

    >>> what_grew({"frame": 1, "overrun": 0}, {"frame": 1, "overrun": 3})
    '3 bytes lost in the UART'
    """
    grown = {name: now[name] - before.get(name, 0) for name in now}
    return ", ".join(f"{count} {WORDS[name]}" for name, count in grown.items() if count > 0)
