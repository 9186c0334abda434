"""What lies in the flash of a board without an operating system: a firmware image (ELF), and a model behind it.

The image says by its symbols where its flash begins and ends and where the model is expected (``ports/layout.ld``).
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeprof.errors import DeviceError

__all__ = ["Image", "model_block", "read_image"]

_HEADER = struct.Struct("<IIIII44x")
_MAGIC = 0x4D445045
LARGEST_FLASH = 1 << 26


@dataclass(frozen=True)
class Image:
    """A firmware image: its file's bytes, where the flash ends, where the model belongs, and what is loaded where."""

    content: bytes
    flash_end: int
    model_at: int
    segments: tuple[tuple[int, bytes], ...]


def read_image(file: Path, board: str, machine: str, flash_start: int) -> Image:
    """Return a firmware image after checking that it is for a board.

    Parameters
    ----------
    file
        An ELF that was linked with ``ports/layout.ld``.
    board
        The board's name, for messages.
    machine
        What the ELF header must say, such as ``EM_ARM``.
    flash_start
        Where the board's flash begins.

    Raises
    ------
    DeviceError
        It cannot be read, is no ELF, or was made for another board.
    """
    from elftools.elf.elffile import ELFFile

    cure = f"`edgeprof firmware build {board}` makes one, and without an image of your own the prebuilt one is taken."
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DeviceError(f"The firmware image {file} cannot be read: {error.strerror or error}. {cure}") from error
    try:
        elf = ELFFile(io.BytesIO(content))
        found = elf["e_machine"]
        table: Any = elf.get_section_by_name(".symtab")
        symbols = {s.name: s["st_value"] for s in table.iter_symbols()} if table else {}
        segments = tuple(
            (s["p_paddr"], s.data()) for s in elf.iter_segments() if s["p_type"] == "PT_LOAD" and s["p_filesz"]
        )
    except Exception as error:  # pyelftools raises nearly anything on damage
        raise DeviceError(f"{file} is no ELF file, or a damaged one ({error}). {cure}") from error
    if found != machine:
        raise DeviceError(f"{file} is not for the board {board!r}: it is for {found}, wanted was {machine}. {cure}")
    try:
        image = Image(content, symbols["link_flash_end"], symbols["link_model"], segments)
    except KeyError as error:
        why = f"{file} has no symbol {error}: it was stripped, or not linked with edgeprof's ports/layout.ld. {cure}"
        raise DeviceError(why) from None
    first = min((address for address, _ in segments), default=0)
    if first != flash_start:
        raise DeviceError(
            f"{file} is not for the board {board!r}: its flash begins at {first:#010x}, "
            f"that of the board at {flash_start:#010x}. {cure}"
        )
    parts = [(address, len(data)) for address, data in segments]
    for address, size in [*parts, (image.model_at, _HEADER.size)]:
        if not flash_start <= address <= address + size <= image.flash_end <= flash_start + LARGEST_FLASH:
            raise DeviceError(f"{file} is damaged: {size} bytes at {address:#010x} are not in the flash. {cure}")
    return image


def model_block(image: Image, model: bytes, n_ctx: int, boot: int) -> bytes:
    """Return what goes to ``image.model_at``: a header, and of the model as much as there is room for."""
    there = max(image.flash_end - image.model_at - _HEADER.size, 0)
    part = model[:there]
    return _HEADER.pack(_MAGIC, len(model), len(part), n_ctx, boot) + part
