"""What the processes that play boards share: their options, their first words, their end."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from edgeprof.boards import get
from edgeprof.boards.line import Line, open_line
from edgeprof.errors import DeviceError, EdgeprofError, ModelError

__all__ = ["LARGEST_MODEL", "Started", "base_facts", "main", "parser", "read_model"]

LARGEST_MODEL = 1 << 30


class Started:
    """A board that is ready: its line, the facts that it announces, and what it does until its end.

    ``end`` is called before the process ends, whyever that is.
    """

    def __init__(
        self, line: Line, facts: dict[str, str], run: Callable[[], None], end: Callable[[], None] = lambda: None
    ) -> None:
        self.line, self.facts, self.run, self.end = line, facts, run, end


def parser(board: str, *, sizes: bool = False) -> argparse.ArgumentParser:
    """Return the parser of a board's process."""
    spec = get(board)
    made = argparse.ArgumentParser(prog=f"python -m edgeprof.boards.{board}", description=spec.description)
    made.add_argument("--model", type=Path, help="a GGUF file")
    made.add_argument("--image", type=Path, help="firmware to run instead of the prebuilt one")
    made.add_argument("--n-ctx", type=int, default=spec.n_ctx, help="positions in the KV cache")
    made.add_argument("--transport", choices=("auto", "pty", "socket"), default="auto")
    made.add_argument("--boot", type=int, default=1, help="number of this boot, 1 to 65535")
    made.add_argument("--tap", type=Path, help="append all bytes to this file before they are sent")
    made.add_argument("--ram", type=int, default=spec.ram_bytes, help="bytes of RAM" if sizes else argparse.SUPPRESS)
    made.add_argument(
        "--flash", type=int, default=spec.flash_bytes, help="bytes of flash" if sizes else argparse.SUPPRESS
    )
    return made


def read_model(file: Path | None, board: str) -> bytes:
    """Return a model's bytes; none without a file."""
    if file is None:
        return b""
    try:
        if file.stat().st_size > LARGEST_MODEL:
            raise ModelError(f"{file} has {file.stat().st_size} bytes: too large for the board {board!r}.")
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"The model {file} cannot be read: {error.strerror or error}.") from error


def base_facts(firmware: bytes, model: bytes) -> dict[str, str]:
    """Return the digests of what runs."""
    facts = {"firmware_sha256": hashlib.sha256(firmware).hexdigest()}
    if model:
        facts["model_sha256"] = hashlib.sha256(model).hexdigest()
    return facts


def _follow_stdin(line: Line, end: Callable[[], None]) -> None:
    """End with standard input; whatever comes on it before says that the line is open."""

    def wait() -> None:
        try:
            while os.read(0, 4096):
                line.go()
        except OSError:
            pass
        end()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def main(
    board: str, start: Callable[[argparse.Namespace, Line], Started], argv: list[str] | None, *, sizes: bool = False
) -> int:
    """Run the process of a board: announce it in one line of JSON, be it, return an exit code.

    Parameters
    ----------
    board
        Its name.
    start
        Checks everything and prepares the board; whatever it raises is announced instead.
    argv
        The command line; None is the process's own.
    sizes
        True if RAM and flash can be chosen.
    """
    made = parser(board, sizes=sizes)
    args = made.parse_args(argv)
    if (
        not 1 <= args.boot <= 65535
        or not 1 <= args.n_ctx <= 65535
        or not 0 <= args.ram <= LARGEST_MODEL
        or not 0 <= args.flash < 2**32
    ):
        made.error("--boot and --n-ctx must be from 1 to 65535, --ram from 0 to 2**30, --flash from 0 to 2**32 - 1")
    try:
        started = start(args, open_line(args.transport))
    except EdgeprofError as error:
        print(json.dumps({"error": str(error), "kind": type(error).__name__}), flush=True)
        return error.exit_code

    def leave(*_: object) -> None:
        started.end()
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)
    if not sys.stdin.isatty():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for whoever started us; our end is that of stdin
    _follow_stdin(started.line, started.end)
    print(json.dumps({"url": started.line.url, "facts": started.facts}), flush=True)
    started.line.wait()
    try:
        started.run()
    except Exception as error:  # a trap, a dead emulator, a line that is gone: one sentence for whoever started us
        print(f"The board {board!r} stopped: {(str(error).strip() or repr(error)).splitlines()[-1]}", file=sys.stderr)
    started.end()
    return DeviceError.exit_code
