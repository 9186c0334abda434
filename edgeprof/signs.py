"""By what one knows what a serial port says: pure functions of the bytes that came.

Each sign says what it is, what follows from it, and which command or change comes next.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgeprof import adapters, wire

__all__ = ["Sign", "printable_share", "read_signs"]


@dataclass(frozen=True, slots=True)
class Sign:
    """What was recognised.

    Attributes
    ----------
    kind
        A short name.
    text
        What was found, in words.
    next
        What to do: a command, with ``{url}`` and ``{baud}`` to be filled in, or a change.
    usable
        Whether a capture makes something of this port as it is.
    """

    kind: str
    text: str
    next: str
    usable: bool


CAPTURE = "edgeprof capture {url} --baud {baud} --out data"
_CRLF_CURE = (
    "Have the console send bytes as they are: ESP-IDF: uart_vfs_dev_port_set_tx_line_endings(0, "
    "ESP_LINE_ENDINGS_LF), or a UART of its own; Pico SDK: stdio_set_translate_crlf(&stdio_usb, false). "
    "docs/instrument.md has both."
)


def read_signs(received: bytes, sent: Sequence[bytes] = ()) -> list[Sign]:
    """Return what bytes are a sign of, the surest first; empty where they say nothing.

    Parameters
    ----------
    received
        What came at one setting of the port.
    sent
        What was written to it meanwhile.
    """
    lines = [line.rstrip("\r") for line in _text(received).split("\n")]
    found = [sign for look in _LOOKS if (sign := look(received, sent, lines))]
    if found and found[0].kind != "LF to CRLF":  # which is to be mended, and no reason to doubt the rest
        found = found[:1]
    return found or ([_plain(lines)] if printable_share(received) > 0.9 and any(map(str.strip, lines)) else [])


def printable_share(data: bytes) -> float:
    """Return which share of the bytes is text; 0 where there are none."""
    kept = sum(0x20 <= byte < 0x7F or byte in b"\t\n\r\x1b" for byte in data)
    whole = len(data)
    if whole and kept < whole:
        # Valid UTF-8 beyond ASCII is text as well.
        valid = data.decode(errors="ignore").encode()
        kept = sum(byte >= 0x20 or byte in b"\t\n\r\x1b" for byte in valid if byte != 0x7F)
    return kept / whole if whole else 0.0


def _text(data: bytes) -> str:
    return "\n".join(part.decode(errors="replace") for part in data.split(b"\0"))


def _frames(data: bytes) -> list[wire.Frame]:
    return [piece.frame for piece in wire.Splitter().feed(data) if piece.frame is not None]


def _echo(received: bytes, sent: Sequence[bytes], lines: list[str]) -> Sign | None:
    if not any(wire.from_host(frame) for frame in _frames(received)) and not any(
        len(data) > 4 and data.strip(b"\0\r\n") in received for data in sent
    ):
        return None
    return Sign(
        "echo", "What was sent came back: a console that echoes, or TX and RX are joined.",
        "Turn the echo off in the firmware, or look at the wiring.", False,
    )  # fmt: skip


def _edgeprof(received: bytes, sent: Sequence[bytes], lines: list[str]) -> Sign | None:
    frames = [frame for frame in _frames(received) if not wire.from_host(frame)]
    if not frames:
        return None
    said: dict[str, str] = {}
    for frame in frames:
        if frame.type in (wire.Type.HELLO, wire.Type.RUN_BEGIN):
            said |= wire.decode_pairs(frame.body, frame.n)
    who = f"board {said['board']!r}, firmware {said.get('firmware', 'unnamed')!r}" if "board" in said else "no name yet"
    if "request" in said:
        text = f"It speaks edgeprof's wire and answers ({len(frames)} frames; {who})."
        return Sign("edgeprof", text, CAPTURE + ' --prompt "Once upon a time"', True)
    text = f"It speaks edgeprof's wire ({len(frames)} frames; {who}) and answered no question: it only sends."
    return Sign("edgeprof, sending only", text, CAPTURE, True)


def _crlf(received: bytes, sent: Sequence[bytes], lines: list[str]) -> Sign | None:
    mended = [piece.replace(b"\r\n", b"\n") for piece in received.split(b"\0") if b"\r\n" in piece]
    count = sum(wire.decode_frame(piece) is not None for piece in mended)
    if not count:
        return None
    text = f"Frames of edgeprof's wire are there, but every LF in them became CR LF ({count} frames are whole without)."
    return Sign("LF to CRLF", text, _CRLF_CURE, False)


def _mlperf(received: bytes, sent: Sequence[bytes], lines: list[str]) -> Sign | None:
    text = "\n".join(lines)
    # Behind its boot the mode is only told by what a timestamp is: a line, or a pin that moves.
    asked = b"timestamp%" in sent and "m-ready" in text and "m-lap-us-" not in text
    if "m-timestamp-mode-energy" in text or asked:
        return Sign(
            "MLPerf Tiny, energy mode",
            "It is an MLPerf Tiny device in energy mode: it moves a pin where performance mode prints a timestamp.",
            "Build it with EE_CFG_ENERGY_MODE 0 (and 115200 baud), then: "
            "edgeprof capture {url} --protocol mlperf-tiny --out data", False,
        )  # fmt: skip
    if not re.search(r"m-(ready|init-done|name-dut-\[|timestamp-mode-performance|lap-us-[0-9])", text):
        return None
    behind = " behind an interface board" if "[dut]: " in text or "dut-passthrough" in text else ""
    return Sign(
        "MLPerf Tiny", f"It speaks MLPerf Tiny's device protocol{behind}.",
        "edgeprof capture {url} --baud {baud} --protocol mlperf-tiny --out data", True,
    )  # fmt: skip


_WORDS: tuple[tuple[str, str, str, str], ...] = (
    (
        "boot loader", r"waiting for download|DOWNLOAD_BOOT|DOWNLOAD\(U",
        "An ESP32's or ESP8266's boot loader is waiting for a download: its boot pin is held low.",
        "Let go of BOOT (GPIO0; nothing may pull it low, nor DTR or RTS), then reset the board.",
    ),
    (
        "brown-out", r"[Bb]rownout detector",
        "The board's supply is too weak: its brown-out detector resets it.",
        "Use a shorter cable, a port that gives more current, or a supply of its own.",
    ),
    (
        "panic", r"Guru Meditation Error|HardFault|Hard fault|assert failed:|\*\*\* PANIC \*\*\*|ZEPHYR FATAL ERROR",
        "The firmware crashes.",
        "Read the lines above: the address in them belongs to the firmware's ELF (addr2line -e firmware.elf ADDRESS).",
    ),
    (
        "Python", r"^>>> ?$|MicroPython v|Adafruit CircuitPython|Type \"help\(\)\" for more information",
        "A Python prompt answers: the board runs MicroPython or CircuitPython and no profiling firmware.",
        "Flash the firmware that is to be profiled; docs/instrument.md says how.",
    ),
    (
        "shell", r"^uart:~\$|^(?:esp|nsh)> ?$|^[\w.-]+ login: ?$",
        "A command shell answers.",
        "Start the firmware's own program in it, or give the profiler a UART of its own.",
    ),
)  # fmt: skip


def _words(received: bytes, sent: Sequence[bytes], lines: list[str]) -> Sign | None:
    for kind, pattern, text, cure in _WORDS:
        if any(re.search(pattern, line) for line in lines):
            return Sign(kind, text, cure, False)
    starts = sum(bool(re.match(r"rst:0x[0-9a-f]+|ESP-ROM:|\s*ets [A-Z][a-z]{2} ", line)) for line in lines)
    if starts > 3:
        text = "The board restarts again and again."
        return Sign(
            "restarts", text, "Look at the supply, the watchdog and the stack; the lines above say the reason.", False
        )
    return None


def _foreign(received: bytes, sent: Sequence[bytes], lines: list[str]) -> Sign | None:
    memories: dict[str, dict[str, Any]] = {}
    claims: dict[str, int] = {}
    for line in lines:
        name, items = adapters.feed(line, memories)
        count = sum(isinstance(item, adapters.Claim) for item in items)
        if count:
            claims[name] = claims.get(name, 0) + count
    if not claims:
        return None
    told = ", ".join(f"{name} ({count})" for name, count in claims.items())
    return Sign(
        "known lines", f"It prints lines that edgeprof understands; the adapter, and how many numbers: {told}.",
        CAPTURE + "      (the numbers go to the table claims)", True,
    )  # fmt: skip


def _plain(lines: list[str]) -> Sign:
    return Sign(
        "text", f"It prints text of which no line is understood ({sum(bool(line.strip()) for line in lines)} lines).",
        CAPTURE + "      (the lines go to the table logs; docs/adapters.md: an adapter of your own)", True,
    )  # fmt: skip


_LOOKS: tuple[Callable[[bytes, Sequence[bytes], list[str]], Sign | None], ...] = (
    _crlf, _edgeprof, _mlperf, _words, _foreign, _echo,
)  # fmt: skip
