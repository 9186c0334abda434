"""The board ``rp2040``: a Raspberry Pi Pico in rp2040js (npm), which counts the core's cycles.

What the emulator does not know: the waits of the flash behind its cache, and contention on the bus.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from edgeprof.boards import emulators
from edgeprof.boards.bare import Emulation, main
from edgeprof.boards.flash import Image

FLASH = 0x1000_0000


def _command(found: emulators.Found, folder: Path, image: Image, file: Path, block: bytes) -> list[str]:
    node = shutil.which("node")
    assert node is not None  # or it would not have been found
    flash = bytearray(image.flash_end - FLASH)
    for address, data in (*image.segments, (image.model_at, block)):
        flash[address - FLASH : address - FLASH + len(data)] = data
    (folder / "flash").write_bytes(flash)
    return [node, str(Path(__file__).with_name("rp2040.mjs")), found.path, str(folder / "flash")]


EMULATION = Emulation("rp2040", "EM_ARM", FLASH, "rp2040js", emulators.rp2040js, "125 MHz", _command)

if __name__ == "__main__":
    raise SystemExit(main(EMULATION))
