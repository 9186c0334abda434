"""How each board's firmware is compiled: which compiler, with which flags."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgeprof.firmware.uf2 import RP2040_FAMILY

__all__ = ["COMMON", "RECIPES", "Recipe"]

WASM_STACK = 8192

COMMON = ("-std=c99", "-ffp-contract=off", "-fno-builtin", "-g0", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
"""Every board's. Without contraction each core rounds in the same places."""


@dataclass(frozen=True)
class Recipe:
    """How one target is built.

    Attributes
    ----------
    board
        The folder below ``ports/``.
    compiler, package
        What is called, and Debian's package that has it.
    flags, libraries
        For compiling and linking, in front of and behind the sources.
    shared
        Files of ``ports/`` that this port takes part of.
    bare
        Linked with the port's ``link.ld``.
    uf2_family, flash_start
        If the flat image is UF2: its family, and where the flash begins.
    """

    board: str
    compiler: str
    package: str
    flags: tuple[str, ...]
    libraries: tuple[str, ...] = ()
    shared: tuple[str, ...] = ("bare.c", "memory.c")
    bare: bool = True
    uf2_family: int | None = None
    flash_start: int = 0


# No start files, no libc: libgcc only. What a program does not use is dropped; no notes, no build id.
_BARE = (
    "-O2",
    "-ffreestanding",
    "-fno-common",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-tree-loop-distribute-patterns",  # or memcpy would be made to call itself
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    "-nostdlib",
    "-nostartfiles",
    "-Wl,--gc-sections",
    "-Wl,--build-id=none",
    "-Wl,--strip-debug",  # of libgcc: its symbols stay
    "-Wl,--no-warn-rwx-segments",
)
_M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")

_STM32F405 = Recipe("stm32f405", "arm-none-eabi-gcc", "gcc-arm-none-eabi", (*_M4, *_BARE), ("-lgcc",))

RECIPES: dict[str, Recipe] = {
    "wasm": Recipe(
        "wasm",
        "ziglang",
        "",
        (
            "-target",
            "wasm32-freestanding",
            "-O3",
            # Plain WebAssembly 1.0: later instructions have changed their price in fuel between versions of wasmtime.
            "-mcpu=mvp",
            # Loop strength reduction knows nothing of offsets in loads, and turns each into an addition.
            "-mllvm",
            "-disable-lsr",
            "-nostdlib",
            f"-DSTACK_BYTES={WASM_STACK}",
            "-Wl,--no-entry",
            f"-Wl,-z,stack-size={WASM_STACK}",
            "-Wl,--strip-all",
        ),
        shared=("memory.c",),
        bare=False,
    ),
    "stm32f405": _STM32F405,
    "stm32f405-simd": replace(
        _STM32F405, flags=(*_STM32F405.flags, "-DLLM_KERNELS_SIMD", '-DKERNEL_VARIANT="m4-simd"')
    ),
    "rp2040": Recipe(
        "rp2040",
        "arm-none-eabi-gcc",
        "gcc-arm-none-eabi",
        ("-mcpu=cortex-m0plus", "-mthumb", *_BARE),
        ("-lgcc",),
        uf2_family=RP2040_FAMILY,
        flash_start=0x1000_0000,
    ),
    "rv32imac": Recipe(
        "rv32imac",
        "riscv64-unknown-elf-gcc",
        "gcc-riscv64-unknown-elf",
        ("-march=rv32imac", "-mabi=ilp32", "-mcmodel=medany", *_BARE),
        ("-lgcc",),
    ),
    "host": Recipe(
        "host", "cc", "gcc", ("-O2", "-Dmain=board_program"), shared=(), bare=False
    ),  # its own main calls the program's
    "lx106": Recipe("lx106", "xtensa-lx106-elf-gcc", "gcc-xtensa-lx106", ("-mlongcalls", *_BARE), ("-lgcc",)),
}
"""Targets by name: a board, or ``board-variant``."""
