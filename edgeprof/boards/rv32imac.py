"""The board ``rv32imac``: a RISC-V core without floating point in QEMU, which counts its instructions (``minstret``).

It has the instruction set and the sizes of an ESP32-C3, and is not one.
"""

from __future__ import annotations

from edgeprof.boards.bare import main, qemu

EMULATION = qemu(
    "rv32imac",
    "EM_RISCV",
    0x8000_0000,
    "riscv32",
    ("-M", "virt", "-icount", "shift=0,sleep=off"),
    ("-m", "32M", "-bios", "none"),
)

if __name__ == "__main__":
    raise SystemExit(main(EMULATION))
