"""Boards: what they are, and how an emulated one is started.

A board is a description and a pyserial URL. An emulated board is a child process that offers such a URL, so whoever
captures need not know that it is not real. A further one is a `Launcher`, registered under its name.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

from edgeprof import errors
from edgeprof.display import Shown, Table

__all__ = ["Board", "Launcher", "RunningBoard", "get", "names", "register", "start", "version", "why_not"]


@dataclass(frozen=True, repr=False)
class Board(Shown):
    """What is known of a board before it says anything itself.

    Parameters
    ----------
    name, core, description
        What it is called, its instruction set or core, and a sentence.
    clock
        What a tick is: ``fuel``, ``instructions``, ``cycles``, ``device_timer`` or ``host``.
    board_clock_hz
        The clock that nominal times are computed with.
    ram_bytes, flash_bytes
        The memory that a model and the firmware must fit into.
    emulator
        The program that plays the board; empty for a real one and for this machine itself.
    n_ctx
        Positions in the KV cache, unless told otherwise.
    install
        How to get what it takes: system (``debian``, ``macos``, ``conda``, …) to a command.
    """

    name: str
    core: str
    clock: str
    board_clock_hz: int
    ram_bytes: int
    flash_bytes: int
    emulator: str
    description: str
    n_ctx: int = 256
    install: Mapping[str, str] = field(default_factory=dict)

    def _shown(self) -> Iterator[Table | str]:
        import pandas as pd

        from edgeprof.boards.face import facts

        emulated = {"emulated": f"yes, by {self.emulator}" if self.emulator else "no"}
        yield Table(pd.DataFrame([facts(self) | emulated]), self.description)


class Launcher(Protocol):
    """How an emulated board is started.

    The command is a process that prints one line of JSON, ``{"url": ..., "facts": {...}}`` or ``{"error": ..., "kind":
    "ModelError"}``, and is a board at that URL until its standard input closes.
    """

    @property
    def board(self) -> Board:
        """The board that it starts."""
        ...

    def version(self) -> str:
        """Return the version of the emulator that was found; empty if there is none, or none was found."""
        ...

    def why_not(self) -> str:
        """Return why it cannot be started here (what to install), or an empty text."""
        ...

    def command(self, model: Path | None, options: dict[str, Any]) -> list[str]:
        """Return the command line; UsageError for an option that it does not have."""
        ...


_launchers: dict[str, Launcher] = {}


def register(launcher: Launcher) -> None:
    """Make a board known under its name."""
    _launchers[launcher.board.name] = launcher


def names() -> list[str]:
    """Return the names of all emulated boards."""
    return sorted(_launchers)


def _launcher(name: str) -> Launcher:
    if name not in _launchers:
        raise errors.unknown_name("board", name, _launchers)
    return _launchers[name]


def get(name: str) -> Board:
    """Return the description of a board."""
    return _launcher(name).board


def why_not(name: str) -> str:
    """Return why a board cannot be started here, or an empty text."""
    return _launcher(name).why_not()


def version(name: str) -> str:
    """Return the version of a board's emulator as it was found here, or an empty text."""
    return _launcher(name).version()


@dataclass
class RunningBoard:
    """An emulated board that runs, until `stop` or the end of a ``with`` block."""

    board: Board
    url: str
    facts: dict[str, str]
    process: subprocess.Popen[str]
    _stderr: IO[str] = field(repr=False)

    def go(self) -> None:
        """Tell the board that its line is open: from now on nothing that it sends is lost."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):  # it has died: the line says so
                self.process.stdin.write("go\n")
                self.process.stdin.flush()

    def last_words(self) -> str:
        """Return what its process has said so far, such as why the emulator ended."""
        position = self._stderr.tell()
        self._stderr.seek(0)
        said = self._stderr.read().strip()
        self._stderr.seek(position)
        return said

    def stop(self, timeout: float = 5.0) -> int:
        """End the board and return its exit code."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            with contextlib.suppress(OSError):  # it has died before: the exit code says so
                self.process.stdin.close()
        for end in (self.process.terminate, self.process.kill):
            try:
                self.process.wait(timeout)
                break
            except subprocess.TimeoutExpired:
                end()
        code = self.process.wait()
        for stream in (self.process.stdout, self._stderr):
            if stream is not None:
                stream.close()
        return code

    def __enter__(self) -> RunningBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _first_line(process: subprocess.Popen[str], timeout: float) -> str:
    """Return what it says first; an empty text if that is nothing, or not in time."""
    lines: list[str] = []
    stdout = process.stdout
    assert stdout is not None
    reader = threading.Thread(target=lambda: lines.append(stdout.readline()), daemon=True)
    reader.start()
    reader.join(timeout)
    if lines and not lines[0]:  # the end of its output: it is about to be gone
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
    return lines[0] if lines else ""


def start(board: str, model: Path | None, *, timeout: float = 60.0, **options: Any) -> RunningBoard:
    """Start an emulated board with a model in its flash.

    Parameters
    ----------
    board
        Its name.
    model
        A GGUF file; None if the image needs none.
    timeout
        Seconds until it must have said where it is.
    **options
        All boards: n_ctx, transport (``pty``, ``socket``), boot, tap, image (firmware to run instead of the prebuilt
        one); ``wasm`` and ``host`` also: ram, flash.

    Raises
    ------
    ModelError
        The model is missing, truncated, foreign or not supported.
    DeviceError
        The emulator is missing or did not start.
    """
    launcher = _launcher(board)
    reason = launcher.why_not()
    if reason:
        raise errors.DeviceError(f"The board {board!r} cannot be started here: {reason}")
    command = launcher.command(Path(model) if model is not None else None, options)
    stderr = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - RunningBoard closes it
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
        start_new_session=True,  # Ctrl-C is the capture's to handle: it stops the board after the reader
    )
    running = RunningBoard(launcher.board, "", {}, process, stderr)
    try:
        line = _first_line(process, timeout)
        answer = json.loads(line) if line.strip() else {}
        if "url" not in answer:
            _fail(board, answer, process, stderr)
    except BaseException:
        process.kill()
        running.stop()
        raise
    running.url = answer["url"]
    running.facts = answer["facts"]
    return running


def _fail(board: str, answer: dict[str, str], process: subprocess.Popen[str], stderr: IO[str]) -> None:
    if "error" in answer:
        kind: type[errors.EdgeprofError] = getattr(errors, answer.get("kind", ""), errors.DeviceError)
        raise kind(answer["error"])
    if process.poll() is None:
        raise errors.DeviceError(
            f"The board {board!r} did not start in time. Is this machine very busy? Try again, or start it by "
            f"hand to see what it says: python -m edgeprof.boards.{board} --model FILE.gguf"
        )
    stderr.seek(0)
    last = stderr.read().strip().splitlines()[-1:] or ["it said nothing"]
    raise errors.DeviceError(f"The board {board!r} did not start (exit code {process.returncode}): {last[0]}")


# The boards that come with edgeprof register themselves; whoever adds one does the same.
from edgeprof.boards import catalog  # noqa: E402

for _own in catalog.LAUNCHERS:
    register(_own)
