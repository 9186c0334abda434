"""A port that does not talk: listen, ask in several languages and at several speeds, and say what was found.

Opening, reading and writing are here; what bytes mean is in :mod:`edgeprof.signs`.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgeprof import wire
from edgeprof.errors import DeviceError
from edgeprof.line_errors import line_errors, what_grew
from edgeprof.signs import Sign, printable_share, read_signs
from edgeprof.transports import PortSettings, is_device, open_port, selectable

__all__ = ["BAUD_RATES", "Diagnosis", "Step", "diagnose", "examine"]

BAUD_RATES = (115200, 921600, 460800, 230400, 1500000, 57600, 74880, 9600, 3000000)
"""What is tried: the usual one first; 74880 is the ESP8266's boot loader's, 9600 that of MLPerf Tiny's energy mode."""


@dataclass(frozen=True, slots=True)
class Step:
    """What was sent to a port at one setting, and what came until the next step.

    Attributes
    ----------
    baudrate, dtr
        The setting.
    asked
        In words.
    sent, received
        Bytes.
    line_errors
        What the serial driver counted meanwhile, in words; empty where it counts nothing.
    """

    baudrate: int
    dtr: bool
    asked: str
    sent: bytes
    received: bytes
    line_errors: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a port was found to be: the signs at the setting that made most sense."""

    baudrate: int
    dtr: bool
    signs: list[Sign]

    @property
    def usable(self) -> bool:
        """True if a capture makes something of the port as it is."""
        return bool(self.signs) and self.signs[0].usable


def _probes(seconds: float) -> list[tuple[str, bytes, float]]:
    """Return what is said to a port: (in words, bytes, how long to listen)."""
    hello = wire.hello_request(1 + secrets.randbelow(0xFFFE))
    return [
        ("listening", b"", seconds),
        ("edgeprof: HELLO", hello, 0.5 * seconds),
        ("MLPerf Tiny: name%", b"name%", 0.3 * seconds),
        ("a line end", b"\r\n", 0.3 * seconds),
    ]


def examine(
    url: str, settings: PortSettings, *, bauds: Sequence[int] = BAUD_RATES, seconds: float = 1.5,
    on_step: Callable[[Step], None] | None = None,
) -> list[Step]:  # fmt: skip
    """Talk to a port until what comes makes sense, or everything was tried.

    Parameters
    ----------
    url
        A device path or any pyserial URL.
    settings
        How it is opened first; its baud rate is tried before the others.
    bauds
        The other baud rates, for serial devices.
    seconds
        How long to listen at the first setting; a third of it at the others.
    on_step
        Called after each step.

    Raises
    ------
    DeviceError
        The port cannot be opened.
    """
    tries = [settings]
    if is_device(url):
        tries += [replace(settings, dtr=True)] if not settings.dtr else []
        tries += [replace(settings, baudrate=baud) for baud in bauds if baud != settings.baudrate]
    steps: list[Step] = []
    for number, one in enumerate(tries):
        try:
            port = open_port(url, one)
        except DeviceError:
            if not number:
                raise
            continue  # this setting is one that the driver refuses
        with contextlib.closing(port):
            here = _converse(port, one, seconds if number == 0 else seconds / 3, on_step)
        steps += here
        if one.dtr and not settings.dtr and any(step.received for step in steps[: -len(here)]):
            continue  # it talks without DTR, so DTR is not what is wrong
        if read_signs(b"".join(step.received for step in here), [step.sent for step in here]):
            break
    return steps


def _converse(port: Any, settings: PortSettings, seconds: float, on_step: Callable[[Step], None] | None) -> list[Step]:
    steps: list[Step] = []
    fd = selectable(port)
    todo = _probes(seconds)
    while todo:
        asked, sent, wait = todo.pop(0)
        before = line_errors(fd) if fd is not None else None
        if sent:
            with contextlib.suppress(Exception):  # what takes nothing says so by its silence
                port.write(sent)
        received = _read(port, wait)
        now = line_errors(fd) if fd is not None else None
        grown = what_grew(before, now) if before is not None and now is not None else ""
        steps.append(Step(settings.baudrate, settings.dtr, asked, sent, received, grown))
        if on_step:
            on_step(steps[-1])
        signs = read_signs(b"".join(step.received for step in steps), [step.sent for step in steps])
        if signs and signs[0].kind == "MLPerf Tiny" and sent != _TIMESTAMP:
            todo = [("MLPerf Tiny: timestamp%", _TIMESTAMP, 0.3 * seconds)]
        elif signs and signs[0].kind in _CERTAIN:
            break
    return steps


_TIMESTAMP = b"timestamp%"
_CERTAIN = ("edgeprof", "LF to CRLF", "MLPerf Tiny", "MLPerf Tiny, energy mode", "boot loader", "Python", "brown-out")
LONGEST = 1 << 20


def _read(port: Any, seconds: float) -> bytes:
    data, end = bytearray(), time.monotonic() + seconds
    with contextlib.suppress(Exception):  # a port that goes away has said what it said
        while time.monotonic() < end and len(data) < LONGEST:
            data += port.read(port.in_waiting or 1)
    return bytes(data)


def diagnose(steps: Sequence[Step]) -> Diagnosis:
    """Return what the steps say of a port: a pure function of what was sent and received.

    Parameters
    ----------
    steps
        As of :func:`examine`, in order.
    """
    settings = list(dict.fromkeys((step.baudrate, step.dtr) for step in steps))
    best: Diagnosis | None = None
    for baudrate, dtr in settings:
        here = [step for step in steps if (step.baudrate, step.dtr) == (baudrate, dtr)]
        signs = read_signs(b"".join(step.received for step in here), [step.sent for step in here])
        if signs and (best is None or (signs[0].usable and not best.usable)):
            best = Diagnosis(baudrate, dtr, signs)
    if best is not None:
        return best
    first = settings[0]
    received = b"".join(step.received for step in steps)
    if not received:
        return Diagnosis(*first, [_silent(len(settings))])
    return Diagnosis(*first, [_noise(steps, received)])


def _silent(n_settings: int) -> Sign:
    tried = f" at {n_settings} settings" if n_settings > 1 else ""
    return Sign(
        "silence", f"No byte came{tried}, and nothing answered.",
        "Is the board powered and running (press reset and look again)? Are TX and RX crossed and the grounds joined? "
        "Has the cable data lines? Is this the right port (edgeprof boards)? An emulator or a network port: is it "
        "started?",
        False,
    )  # fmt: skip


def _noise(steps: Sequence[Step], received: bytes) -> Sign:
    counted = next((step.line_errors for step in steps if step.line_errors), "")
    text = f"{len(received):,} bytes came that are neither frames nor text ({printable_share(received):.0%} printable)"
    text += f"; the serial driver counted {counted}." if counted else "."
    return Sign(
        "noise", text,
        "The baud rate, parity or polarity is another one: look it up in the firmware and give it with --baud (and "
        "--parity). A board whose clock is set wrong sends at a baud rate that is off by as much.",
        False,
    )  # fmt: skip
