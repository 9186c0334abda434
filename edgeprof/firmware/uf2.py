"""UF2: a flash image in 512-byte blocks that each say where they go, as boot loaders with a USB drive take it.

Format: https://github.com/microsoft/uf2 (version 1.0).
"""

from __future__ import annotations

import struct

__all__ = ["RP2040_FAMILY", "from_uf2", "to_uf2"]

RP2040_FAMILY = 0xE48BFF56
_MAGIC = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
_HEADER, _PAYLOAD, _BLOCK = struct.Struct("<8I"), 256, 512
_HAS_FAMILY = 0x2000


def to_uf2(image: bytes, address: int, family: int) -> bytes:
    """Return an image that begins at a flash address as UF2, padded with zeros to whole blocks."""
    count = -(-len(image) // _PAYLOAD)
    blocks = []
    for n in range(count):
        part = image[n * _PAYLOAD : (n + 1) * _PAYLOAD].ljust(_PAYLOAD, b"\0")
        head = _HEADER.pack(*_MAGIC[:2], _HAS_FAMILY, address + n * _PAYLOAD, _PAYLOAD, n, count, family)
        blocks.append((head + part).ljust(_BLOCK - 4, b"\0") + struct.pack("<I", _MAGIC[2]))
    return b"".join(blocks)


def from_uf2(data: bytes) -> tuple[int, bytes]:
    """Return the address and the bytes of a UF2 file without gaps; ValueError if it is none."""
    if not data or len(data) % _BLOCK:
        raise ValueError(f"{len(data)} bytes are no whole blocks of {_BLOCK}")
    start, image = 0, b""
    for n in range(len(data) // _BLOCK):
        block = data[n * _BLOCK : (n + 1) * _BLOCK]
        first, second, _, address, size, number, _, _ = _HEADER.unpack_from(block)
        if (first, second, *struct.unpack_from("<I", block, _BLOCK - 4)) != _MAGIC or number != n:
            raise ValueError(f"block {n} is no UF2 block")
        start = start if n else address
        if address != start + len(image) or size > _BLOCK - _HEADER.size - 4:
            raise ValueError(f"block {n} does not follow the one before it")
        image += block[_HEADER.size : _HEADER.size + size]
    return start, image
