"""An MLPerf Tiny device made of Python, for tests of its host: the protocol over a pty, and time that is only counted.

An inference takes ``inference_us`` of the device's own counter and next to none of anybody else's. Faults are switched
on by name: ``energy`` (no time stamps), ``stopped`` (a counter that stands still), ``silent`` (says nothing), ``mute``
(nothing once it infers), ``no_cr`` (lines end with LF alone), ``noise`` (NUL and bytes that are no text between),
``boot`` (it begins when it gets its first byte), ``half`` (a cut-off command in its buffer), ``deaf`` (loses the first
command), ``small`` (has no room for an input), ``loses`` (a byte of the input), ``speeding`` (in each window faster
than in the last), ``foreign`` (another firmware).
"""

from __future__ import annotations

import contextlib
import os
import threading
import tty
from collections.abc import Callable, Iterator

NAME, PROFILE, MODEL = "ACME", "ULPMark for tinyML Firmware V0.0.1", "kws01"
RESULTS = [0.005, 0.991, 0.004]
BUFFER = 80


class FakeDut:
    """The device; ``send`` takes bytes, :meth:`take` gets what the host sent."""

    def __init__(
        self, send: Callable[[bytes], object], *, faults: tuple[str, ...] = (), relayed: bool = False,
        inference_us: int = 2500, counter_us: int = 1_000_000,
    ) -> None:  # fmt: skip
        self.send, self.faults, self.relayed = send, faults, relayed
        self.inference_us, self.counter_us = inference_us, counter_us
        self.buffer = "inf" if "half" in faults else ""
        self.begun = "boot" not in faults
        self.wanted, self.loaded = 0, b""
        self.commands: list[str] = []
        self.prefix = ""

    def line(self, text: str) -> None:
        end = "\n" if "no_cr" in self.faults else "\r\n"
        if "noise" in self.faults:
            text = f"\0{text[:3]}\0{text[3:]}"
            self.send(b"\xff\xfe" if text else b"")
        self.send(f"{self.prefix}{text}{end}".encode())

    def take(self, data: bytes) -> None:
        if "silent" in self.faults:
            return
        if not self.begun:
            self.begun = True
            self.line(f"m-timestamp-mode-{'energy' if 'energy' in self.faults else 'performance'}")
            self.stamp()
            self.line("m-init-done")
            self.line("m-ready")
        for character in data.decode("latin-1"):
            if character != "%":
                self.buffer = (self.buffer + character)[:BUFFER]
                continue
            command, self.buffer = self.buffer, ""
            self.commands.append(command)
            if "deaf" in self.faults and len(self.commands) == 1:
                continue
            self.answer(command)

    def answer(self, command: str) -> None:
        if self.relayed:
            verb, _, rest = command.partition(" ")
            if verb != "dut":
                self.line("tinyML Enhanced Interface Board" if verb == "name" else f"e-[Unknown command: {verb}]")
                self.line("m-ready")
                return
            self.line(f"m-dut-passthrough({rest})")
            self.line("m-ready")
            self.prefix, command = "[dut]: ", rest
        if "foreign" in self.faults:
            self.line("hello?")
        else:
            self.obey(*command.split(" "))
        self.line("m-ready")
        self.prefix = ""

    def stamp(self) -> None:
        if "energy" not in self.faults:
            self.line(f"m-lap-us-{self.counter_us % 2**32}")

    def obey(self, verb: str, *words: str) -> None:
        if verb == "name":
            self.line(f"m-name-dut-[{NAME}]")
        elif verb == "profile":
            self.line(f"m-profile-[{PROFILE}]")
            self.line(f"m-model-[{MODEL}]")
        elif verb == "timestamp":
            self.stamp()
        elif verb == "db" and words[0] == "load":
            self.load(int(words[1]))
        elif verb == "db":
            self.loaded += bytes.fromhex(words[0])[: -1 if "loses" in self.faults and not self.loaded else None]
            if len(self.loaded) >= self.wanted:
                self.line("m-load-done")
        elif verb == "infer":
            self.infer(int(words[0]), int(words[1]))
        elif verb == "results":
            self.results()
        else:
            self.line(f"e-[Unknown command: {verb}]")

    def load(self, size: int) -> None:
        self.wanted, self.loaded = size, b""
        if "small" in self.faults:
            self.line(f"Supplied buffer size {size} exceeds maximum of 16")
        else:
            self.line(f"m-[Expecting {size} bytes]")

    def infer(self, count: int, warmups: int) -> None:
        if "mute" in self.faults:
            raise OSError("it crashed")
        self.line(f"m-warmup-start-{warmups}")
        self.counter_us += warmups * self.inference_us
        self.line("m-warmup-done")
        self.line(f"m-infer-start-{count}")
        self.stamp()
        self.counter_us += count * self.inference_us if "stopped" not in self.faults else 0
        self.stamp()
        self.line("m-infer-done")
        self.results()
        if "speeding" in self.faults:
            self.inference_us -= self.inference_us // 10

    def results(self) -> None:
        self.line(f"m-results-[{','.join(map(str, RESULTS))}]")


@contextlib.contextmanager
def on_pty(**options) -> Iterator[tuple[FakeDut, str]]:
    """Give a device and the path of the pty that it is on."""
    primary, secondary = os.openpty()
    tty.setraw(primary)
    tty.setraw(secondary)
    device = FakeDut(lambda data: os.write(primary, data), **options)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while data := os.read(primary, 4096):
                device.take(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield device, os.ttyname(secondary)
    finally:
        os.close(secondary)  # the device's read fails with the last of its hosts
        thread.join(30)
        os.close(primary)  # not before: the next pty has this number, and the old device would answer there
