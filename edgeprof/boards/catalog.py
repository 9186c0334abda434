"""The boards that come with edgeprof, and what each needs to be started here."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprof import errors
from edgeprof.boards import emulators

if TYPE_CHECKING:
    from edgeprof.boards import Board

__all__ = ["LAUNCHERS"]

KIB, MIB = 1024, 1024 * 1024
_QEMU = {
    "macos": "brew install qemu",
    "conda": "# not available (conda-forge has QEMU for user programs only): use your system's",
}
_RP2040JS = "npm install --global rp2040js@1.4.1"


@dataclass(frozen=True)
class _Own:
    """A board whose process is ``python -m edgeprof.boards.<name>``, with options of the same names."""

    board: Board
    found: Callable[[], emulators.Found]
    sizes: bool = False

    def version(self) -> str:
        return self.found().version

    def why_not(self) -> str:
        return self.found().problem

    def command(self, model: Path | None, options: dict[str, Any]) -> list[str]:
        known = {"n_ctx", "transport", "boot", "tap", "image"} | ({"ram", "flash"} if self.sizes else set())
        command = [sys.executable, "-m", f"edgeprof.boards.{self.board.name}"]
        for key, value in ({"model": model} | options).items():
            if key not in known | {"model"}:
                raise errors.unknown_name(f"option of the board {self.board.name}", key, known)
            if value is not None:
                command += [f"--{key.replace('_', '-')}", str(value)]
        return command


def _wasmtime() -> emulators.Found:
    if importlib.util.find_spec("wasmtime"):
        return emulators.python_package("wasmtime")
    return emulators.Found(problem="pip install wasmtime.")


def _boards() -> list[_Own]:
    from edgeprof.boards import Board

    return [
        _Own(
            Board(
                name="wasm",
                core="wasm32",
                clock="fuel",
                board_clock_hz=240_000_000,
                ram_bytes=512 * KIB,
                flash_bytes=8 * MIB,
                emulator="wasmtime",
                description="The reference firmware in WebAssembly; a tick is a unit of fuel, about an instruction.",
                install={"pip": "pip install wasmtime"},
            ),
            _wasmtime,
            sizes=True,
        ),
        _Own(
            Board(
                name="stm32f405",
                core="Cortex-M4F",
                clock="instructions",
                board_clock_hz=168_000_000,
                ram_bytes=128 * KIB,
                flash_bytes=1 * MIB,
                emulator="QEMU",
                description="STM32F405 in QEMU (netduinoplus2); a tick is an instruction.",
                n_ctx=128,
                install={"debian": "apt-get install qemu-system-arm", **_QEMU},
            ),
            lambda: emulators.qemu("arm"),
        ),
        _Own(
            Board(
                name="rp2040",
                core="Cortex-M0+",
                clock="cycles",
                board_clock_hz=125_000_000,
                ram_bytes=264 * KIB,
                flash_bytes=2 * MIB,
                emulator="rp2040js",
                description="Raspberry Pi Pico in rp2040js; a tick is a cycle of the core, no waits for the flash.",
                install={
                    "debian": f"apt-get install nodejs npm && {_RP2040JS}",
                    "macos": f"brew install node && {_RP2040JS}",
                    "conda": f"conda install -c conda-forge nodejs && {_RP2040JS}",
                },
            ),
            emulators.rp2040js,
        ),
        _Own(
            Board(
                name="rv32imac",
                core="RV32IMAC",
                clock="instructions",
                board_clock_hz=160_000_000,
                ram_bytes=400 * KIB,
                flash_bytes=4 * MIB,
                emulator="QEMU",
                description="The instruction set of an ESP32-C3 in QEMU (virt), with its sizes; not the chip.",
                install={"debian": "apt-get install qemu-system-misc  # Debian 13: qemu-system-riscv", **_QEMU},
            ),
            lambda: emulators.qemu("riscv32"),
        ),
        _Own(
            Board(
                name="lx106",
                core="Xtensa lx106",
                clock="instructions",
                board_clock_hz=80_000_000,
                ram_bytes=256 * KIB,
                flash_bytes=4 * MIB,
                emulator="QEMU",
                description="The core of an ESP8266 in QEMU (sim), which stands for the ESP family; not the chip.",
                install={"debian": "apt-get install qemu-system-misc", **_QEMU},
            ),
            lambda: emulators.qemu("xtensa"),
        ),
        _Own(
            Board(
                name="host",
                core="this machine",
                clock="host",
                board_clock_hz=1_000_000_000,
                ram_bytes=64 * MIB,
                flash_bytes=1024 * MIB,
                emulator="",
                description="The same C compiled for this machine: a clock that is time, and really noisy.",
                install={
                    "debian": "apt-get install gcc",
                    "macos": "xcode-select --install",
                    "conda": "# not available: use your system's compiler",
                },
            ),
            emulators.compiler,
            sizes=True,
        ),
    ]


LAUNCHERS = _boards()
