"""The board ``lx106``: the ESP8266's core in QEMU, which counts its instructions. It stands for the ESP family.

Debian's QEMU has no ESP32. One instruction takes 32 ns of virtual time (``shift=5``), from which the port recovers the
exact count. The console is QEMU's semihosting, which has been seen to lose a byte when it is flooded with requests (one
request in some ten thousand); a capture asks one thing at a time.
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
