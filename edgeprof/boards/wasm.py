"""The board ``wasm``: the reference firmware in wasmtime, whose clock is the fuel that its instructions burn.

``python -m edgeprof.boards.wasm --model FILE`` prints one line of JSON that says where the board is, and runs until its
standard input closes or it is terminated.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
from pathlib import Path
from typing import Any, cast

from edgeprof.boards.line import Inbox, Line
from edgeprof.boards.process import Started, base_facts, read_model
from edgeprof.boards.process import main as process_main
from edgeprof.errors import DeviceError, ModelError
from edgeprof.firmware import image

__all__ = ["check_model", "main"]

FUEL = 2**62
PAGE = 65536


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
        self._problem: Any = exports.get("model_problem")
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
        at = self._problem(self._store, self._flash, self._model_bytes) if self._problem else 0
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


def check_model(model: bytes, file: Path | None, board: str) -> None:
    """Raise unless the reference firmware can run a model: the same C code as on every board says so.

    Raises
    ------
    ModelError
        It cannot, with the firmware's reason.
    """
    if not model:
        return

    class Silent:
        url = ""

        def go(self) -> None: ...

        def wait(self) -> None: ...

        def send(self, data: bytes) -> None: ...

        def receive(self, wait: bool) -> bytes:
            return b""

    problem = Machine(image("wasm").read_bytes(), model, 0, Inbox(Silent())).model_problem()
    if problem:
        raise ModelError(f"{file} cannot run on the board {board!r}: {problem}.")


def _start(args: argparse.Namespace, line: Line) -> Started:
    model = read_model(args.model, "wasm")
    file = args.image or image("wasm")
    cure = "`edgeprof firmware build wasm` makes one, and without an image of your own the prebuilt one is taken."
    try:
        firmware = file.read_bytes()
    except OSError as error:
        raise DeviceError(f"The firmware image {file} cannot be read: {error.strerror or error}. {cure}") from error
    try:
        version = importlib.metadata.version("wasmtime")
    except importlib.metadata.PackageNotFoundError as error:
        raise DeviceError("The board 'wasm' needs wasmtime: pip install wasmtime.") from error
    try:
        machine = Machine(firmware, model, args.ram, Inbox(line, args.tap))
    except Exception as error:  # wasmtime's own for what is no module or needs other imports; KeyError for an export
        why = str(error).strip().splitlines()[0]
        raise DeviceError(f"{file} is no firmware for the board 'wasm' ({why}). {cure}") from error
    problem = machine.model_problem() if args.model else ""
    if problem:
        raise ModelError(f"{args.model} cannot run on the board 'wasm': {problem}.")
    facts = {
        "emulator": "wasmtime",
        "emulator_version": version,
        "emulator_flags": "consume_fuel",
        **base_facts(firmware, model),
    }
    return Started(line, facts, lambda: machine.run(args.ram, args.flash, len(firmware), args.n_ctx, args.boot))


def main(argv: list[str] | None = None) -> int:
    """Run the board; return an exit code if it could not be started."""
    return process_main("wasm", _start, argv, sizes=True)


if __name__ == "__main__":
    raise SystemExit(main())
