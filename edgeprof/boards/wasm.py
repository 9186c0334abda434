"""The board ``wasm``: the reference firmware in wasmtime, whose clock is the fuel that its instructions burn.

``python -m edgeprof.boards.wasm --model FILE`` prints one line of JSON that says where the board is, and runs until its
standard input closes or it is terminated.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib.metadata
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, cast

from edgeprof.boards import get
from edgeprof.boards.line import Inbox, Line, open_line
from edgeprof.errors import DeviceError, EdgeprofError, ModelError
from edgeprof.firmware import image

__all__ = ["main"]

FUEL = 2**62
PAGE = 65536
LARGEST_MODEL = 1 << 30
DEFAULT_CONTEXT = 256


class Machine:
    """The firmware's instance: linear memory with RAM at the bottom and the flash, which holds the model, above it."""

    def __init__(self, firmware: bytes, model: bytes, ram_bytes: int, inbox: Inbox) -> None:
        import wasmtime

        config = wasmtime.Config()
        config.consume_fuel = True
        self._engine = wasmtime.Engine(config)
        module = wasmtime.Module(self._engine, firmware)
        self._store = wasmtime.Store(self._engine)
        self._store.set_fuel(FUEL)
        self._inbox = inbox
        linker = wasmtime.Linker(self._engine)
        i32, i64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()
        for name, arguments, results, function in (
            ("write", [i32, i32], [], self._write),
            ("read", [i32, i32], [i32], self._read),
            ("available", [], [i32], inbox.available),
            ("ticks", [], [i64], self._ticks),
        ):
            linker.define_func("env", name, wasmtime.FuncType(arguments, results), function)
        exports = cast(Any, linker.instantiate(self._store, module).exports(self._store))
        self._memory: Any = exports["memory"]
        self._main: Any = exports["board_main"]
        self._problem: Any = exports["model_problem"]
        have = self._memory.data_len(self._store)
        self._flash = -(-max(ram_bytes, have) // PAGE) * PAGE
        end = self._flash + len(model)
        self._memory.grow(self._store, -(-(end - have) // PAGE))
        if model:
            self._memory.write(self._store, model, self._flash)
        self._base = ctypes.addressof(self._memory.data_ptr(self._store).contents)  # it never grows again
        self._model_bytes = len(model)

    def _write(self, at: int, n: int) -> None:
        self._inbox.send(ctypes.string_at(self._base + (at & 0xFFFFFFFF), n))

    def _read(self, at: int, n: int) -> int:
        data = self._inbox.read(n)
        ctypes.memmove(self._base + (at & 0xFFFFFFFF), data, len(data))
        return len(data)

    def _ticks(self) -> int:
        return FUEL - self._store.get_fuel()

    def model_problem(self) -> str:
        """Return why the firmware cannot run this model, or an empty text."""
        at = self._problem(self._store, self._flash, self._model_bytes)
        return ctypes.string_at(self._base + at).decode("utf-8", "replace") if at else ""

    def run(self, ram_bytes: int, flash_bytes: int, image_bytes: int, n_ctx: int, boot: int) -> None:
        """Be the board. Does not return."""
        limit = 2**31 - 1
        self._main(
            self._store,
            self._flash,
            self._model_bytes,
            min(ram_bytes, limit),
            min(flash_bytes, limit),
            image_bytes,
            n_ctx,
            boot,
        )


def _read_model(file: Path) -> bytes:
    try:
        if file.stat().st_size > LARGEST_MODEL:
            raise ModelError(f"{file} has {file.stat().st_size} bytes: too large for the board 'wasm'.")
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"The model {file} cannot be read: {error.strerror or error}.") from error


def _end_with_stdin() -> None:
    def wait() -> None:
        try:
            while os.read(0, 4096):
                pass
        except OSError:
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def _start(args: argparse.Namespace) -> tuple[Machine, Line, dict[str, str], int]:
    model = _read_model(args.model)
    firmware = image("wasm").read_bytes()
    try:
        version = importlib.metadata.version("wasmtime")
    except importlib.metadata.PackageNotFoundError as error:
        raise DeviceError("The board 'wasm' needs wasmtime: pip install wasmtime.") from error
    line = open_line(args.transport)
    machine = Machine(firmware, model, args.ram, Inbox(line, args.tap))
    problem = machine.model_problem()
    if problem:
        raise ModelError(f"{args.model} cannot run on the board 'wasm': {problem}.")
    facts = {
        "emulator": "wasmtime",
        "emulator_version": version,
        "emulator_flags": "consume_fuel",
        "firmware_sha256": hashlib.sha256(firmware).hexdigest(),
        "model_sha256": hashlib.sha256(model).hexdigest(),
    }
    return machine, line, facts, len(firmware)


def _parser() -> argparse.ArgumentParser:
    board = get("wasm")
    parser = argparse.ArgumentParser(prog="python -m edgeprof.boards.wasm", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--n-ctx", type=int, default=DEFAULT_CONTEXT, help="positions in the KV cache")
    parser.add_argument("--ram", type=int, default=board.ram_bytes, help="bytes of RAM")
    parser.add_argument("--flash", type=int, default=board.flash_bytes, help="bytes of flash")
    parser.add_argument("--transport", choices=("auto", "pty", "socket"), default="auto")
    parser.add_argument("--boot", type=int, default=1, help="number of this boot, 1 to 65535")
    parser.add_argument("--tap", type=Path, help="append all bytes to this file before they are sent")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the board; return an exit code if it could not be started."""
    parser = _parser()
    args = parser.parse_args(argv)
    if (
        not 1 <= args.boot <= 65535
        or not 1 <= args.n_ctx <= 65535
        or not 0 <= args.ram <= LARGEST_MODEL
        or args.flash < 0
    ):
        parser.error("--boot and --n-ctx must be from 1 to 65535, --ram from 0 to 2**30, --flash not negative")
    try:
        machine, line, facts, image_bytes = _start(args)
    except EdgeprofError as error:
        print(json.dumps({"error": str(error), "kind": type(error).__name__}), flush=True)
        return error.exit_code
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if not sys.stdin.isatty():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for whoever started us; our end is that of stdin
    _end_with_stdin()
    print(json.dumps({"url": line.url, "facts": facts}), flush=True)
    line.wait()
    try:
        machine.run(args.ram, args.flash, image_bytes, args.n_ctx, args.boot)
    except Exception as error:  # a trap of wasmtime, or the line is gone: one sentence for whoever started us
        print(f"The board 'wasm' stopped: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
    return DeviceError.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
