"""The board ``lx106``: the ESP8266's core in QEMU, which counts its instructions. It stands for the ESP family.

Debian's QEMU has no ESP32. One instruction takes 32 ns of virtual time (``shift=5``), from which the port recovers the
exact count. The console is QEMU's semihosting, which was seen once to lose a request while it was flooded with
hundreds; why is not known. A capture asks one thing at a time, and ends with an error if that is lost.
"""

from __future__ import annotations

from edgeprof.boards.bare import main, qemu

EMULATION = qemu(
    "lx106",
    "EM_XTENSA",
    0x5000_0000,
    "xtensa",
    ("-M", "sim", "-cpu", "lx106", "-icount", "shift=5,sleep=off"),
    ("-semihosting",),
)

if __name__ == "__main__":
    raise SystemExit(main(EMULATION))
