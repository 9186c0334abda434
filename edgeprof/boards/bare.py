"""Boards without an operating system: an emulator is a child process whose standard input and output are the line."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgeprof.boards import emulators
from edgeprof.boards.flash import Image, model_block, read_image
from edgeprof.boards.line import Inbox, Line
from edgeprof.boards.process import Started, base_facts, read_model
from edgeprof.boards.process import main as process_main
from edgeprof.boards.wasm import check_model
from edgeprof.errors import DeviceError
from edgeprof.firmware import image as prebuilt

__all__ = ["Emulation", "main", "qemu"]

SILENT_SECONDS = 15.0


@dataclass(frozen=True)
class Emulation:
    """How an emulator plays a board.

    Attributes
    ----------
    board
        The board's name.
    machine, flash_start
        What an image must be for, see :func:`edgeprof.boards.flash.read_image`.
    emulator
        Its name, as the runs say it.
    found
        Which one there is here.
    flags
        What of its settings changes counts, as the runs say it.
    command
        The command line, of the emulator that was found, a folder for files, the image, its file, and the block with
        the model.
    """

    board: str
    machine: str
    flash_start: int
    emulator: str
    found: Callable[[], emulators.Found]
    flags: str
    command: Callable[[emulators.Found, Path, Image, Path, bytes], list[str]]


class _Child:
    """The emulator, and the threads that carry bytes from and to it."""

    def __init__(self, command: list[str], inbox: Inbox, line: Line) -> None:
        # Should this process be killed, nothing else would end an emulator that computes.
        guard = [setpriv, "--pdeathsig", "KILL", "--"] if (setpriv := shutil.which("setpriv")) else []
        self.inbox, self.line = inbox, line
        self.spoke = threading.Event()
        self.process = subprocess.Popen(
            [*guard, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )

    def _feed(self) -> None:
        assert self.process.stdin is not None
        # A serial port that is not set up yet drops what comes. Firmware that never speaks first gets it later.
        self.spoke.wait(SILENT_SECONDS)
        with contextlib.suppress(OSError, ValueError):
            while True:
                self.process.stdin.write(self.line.receive(wait=True))

    def relay(self, said: Callable[[], None]) -> None:
        """Carry bytes until the emulator ends; ``said`` is called when it has said something first."""
        assert self.process.stdout is not None and self.process.stderr is not None
        words: list[bytes] = []
        threading.Thread(target=self._feed, daemon=True).start()
        threading.Thread(target=_collect, args=(self.process.stderr, words), daemon=True).start()
        while data := self.process.stdout.read(65536):
            if not self.spoke.is_set():
                said()
                self.spoke.set()
            self.inbox.send(data)
        code = self.process.wait()
        last = b"".join(words).decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise DeviceError(f"the emulator ended with code {code}: {last[0]}")

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self.process.kill()


def _collect(stream: IO[bytes], words: list[bytes]) -> None:
    with contextlib.suppress(OSError, ValueError):
        for line in stream:
            words.append(line)
            del words[:-20]


def _start(emulation: Emulation, args: argparse.Namespace, line: Line) -> Started:
    board = emulation.board
    found = emulation.found()
    if found.problem:
        raise DeviceError(f"The board {board!r} cannot be started here: {found.problem}")
    file = args.image or prebuilt(board)
    image = read_image(file, board, emulation.machine, emulation.flash_start)
    model = read_model(args.model, board)
    check_model(model, args.model, board)
    facts = {
        "emulator": emulation.emulator,
        "emulator_version": found.version,
        "emulator_flags": emulation.flags,
        **base_facts(image.content, model),
    }
    block = model_block(image, model, args.n_ctx, args.boot) if model else b""
    folder = Path(tempfile.mkdtemp(prefix=f"edgeprof-{board}-"))
    command = emulation.command(found, folder, image, file, block)
    children: list[_Child] = []

    def clean() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    def run() -> None:
        child = _Child(command, Inbox(line, args.tap), line)
        children.append(child)
        child.relay(clean)  # it has loaded its files by the time it speaks

    def end() -> None:
        for child in children:
            child.kill()
        clean()

    return Started(line, facts, run, end)


def main(emulation: Emulation, argv: list[str] | None = None) -> int:
    """Run the process of a board; return an exit code."""
    return process_main(emulation.board, lambda args, line: _start(emulation, args, line), argv)


def qemu(
    board: str, machine: str, flash_start: int, target: str, flags: tuple[str, ...], more: tuple[str, ...] = ()
) -> Emulation:
    """Return the emulation of a board by QEMU, with its serial port on standard input and output.

    Parameters
    ----------
    board, machine, flash_start
        As in :class:`Emulation`.
    target
        Of QEMU: ``arm``, ``riscv32``, ``xtensa``.
    flags
        What decides on the counts: the machine and its clock.
    more
        Flags that do not.
    """

    def command(found: emulators.Found, folder: Path, image: Image, file: Path, block: bytes) -> list[str]:
        line = [
            found.path,
            *flags,
            *more,
            "-display",
            "none",
            "-monitor",
            "none",
            "-serial",
            "stdio",
            "-kernel",
            str(file),
        ]
        if block:
            held = folder / "model"
            held.write_bytes(block)
            line += ["-device", f"loader,file={str(held).replace(',', ',,')},addr={image.model_at:#x},force-raw=on"]
        return line

    return Emulation(board, machine, flash_start, "QEMU", lambda: emulators.qemu(target), " ".join(flags), command)
