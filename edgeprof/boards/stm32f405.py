"""The board ``stm32f405``: a Cortex-M4F with 1 MiB of flash in QEMU, which counts its instructions.

One instruction takes 8 ns of virtual time (``shift=3``); TIM2, divided by 8, counts them. QEMU's machine has more RAM
than the 128 KiB that the firmware is linked for.
"""

from __future__ import annotations

from edgeprof.boards.bare import main, qemu

EMULATION = qemu("stm32f405", "EM_ARM", 0x0800_0000, "arm", ("-M", "netduinoplus2", "-icount", "shift=3,sleep=off"))

if __name__ == "__main__":
    raise SystemExit(main(EMULATION))
