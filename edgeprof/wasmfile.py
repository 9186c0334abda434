"""A WebAssembly module's sections and functions, with the bytes that they take of the file and of linear memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgeprof.errors import UsageError

__all__ = ["MAGIC", "parts"]

MAGIC = b"\x00asm"
_HEADER_BYTES = 8
_NAMES = (
    "custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data",
    "datacount", "tag",
)  # fmt: skip
_CUSTOM, _IMPORT, _CODE, _DATA = 0, 2, 10, 11
_FUNCTION_NAMES, _DATA_NAMES = 1, 9
_I32_CONST, _GLOBAL_GET, _END = 0x41, 0x23, 0x0B


class _DamagedError(Exception):
    """Said with the position that was being read."""


class _Reader:
    """A stretch of the module; what would go beyond its end is damage."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data, self.at, self.end = data, at, end

    def byte(self) -> int:
        if self.at >= self.end:
            raise _DamagedError(f"it ends in the middle of something at byte {self.at:,}")
        self.at += 1
        return self.data[self.at - 1]

    def leb(self, *, signed: bool = False) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value - (1 << shift) if signed and byte & 0x40 else value
            if shift > 63:
                raise _DamagedError(f"a number before byte {self.at:,} has no end")

    def part(self, n: int) -> _Reader:
        if n > self.end - self.at:
            raise _DamagedError(f"{n:,} bytes should follow at byte {self.at:,}, and {self.end - self.at:,} are there")
        self.at += n
        return _Reader(self.data, self.at - n, self.at)

    def name(self) -> str:
        inner = self.part(self.leb())
        return self.data[inner.at : inner.end].decode("utf-8", "replace")


def parts(content: bytes, where: str) -> list[dict[str, Any]]:
    """Return the parts of a module in the order of the file, as :func:`edgeprof.sections.sections_of` does.

    ``flash_bytes`` add up to the size of the file: a section counts with its own header, and the module's is the part
    ``header``. Of RAM a module says only what its data segments take: stack and ``.bss`` are the linker's secret.

    Parameters
    ----------
    content
        The file's bytes.
    where
        What messages call it.

    Raises
    ------
    UsageError
        The module is damaged or of another version.
    """
    if content[4:_HEADER_BYTES] != b"\x01\x00\x00\x00":
        raise UsageError(
            f"{where} is WebAssembly of another version ({content[4:_HEADER_BYTES].hex(' ') or 'cut off'}): a module "
            "of version 1 was wanted. Build it again as a core module."
        )
    try:
        return list(_rows(content))
    except _DamagedError as error:
        raise UsageError(f"The WebAssembly module {where} is damaged or cut off: {error}. Build it again.") from error


def _rows(content: bytes) -> Iterator[dict[str, Any]]:
    yield _row("header", None, "other", None, _HEADER_BYTES, 0)
    found = list(_split(content))
    functions: dict[int, str] = {}
    data: dict[int, str] = {}
    imported = 0
    for number, name, _, body in found:
        if number == _CUSTOM and name == "name":
            functions, data = _symbol_names(body)
        elif number == _IMPORT:
            imported = _imported_functions(body)
    for number, name, size, body in found:
        if number == _CODE:
            symbols, kind = list(_functions(body, imported, functions)), "code"
        elif number == _DATA:
            symbols, kind = list(_segments(body, data)), "data"
        else:
            symbols, kind = [], "other"
        rest = size - sum(row["flash_bytes"] for row in symbols)
        ram = sum(row["ram_bytes"] for row in symbols if row["symbol"] is None)
        rest += sum(row["flash_bytes"] for row in symbols if row["symbol"] is None)
        yield from (row for row in symbols if row["symbol"] is not None)
        if rest:
            yield _row(name, None, kind, None, rest, ram)


def _row(section: str, symbol: str | None, kind: str, address: int | None, flash: int, ram: int) -> dict[str, Any]:
    return {
        "section": section, "symbol": symbol, "kind": kind, "address": address, "flash_bytes": flash, "ram_bytes": ram,
    }  # fmt: skip


def _split(content: bytes) -> Iterator[tuple[int, str, int, _Reader]]:
    """Yield each section's number, name, size with its header, and body (of custom ones: behind the name)."""
    module = _Reader(content, _HEADER_BYTES, len(content))
    while module.at < module.end:
        start = module.at
        number = module.byte()
        if number >= len(_NAMES):
            raise _DamagedError(f"a section of the unknown number {number} is at byte {start:,}")
        body = module.part(module.leb())
        yield number, body.name() if number == _CUSTOM else _NAMES[number], module.at - start, body


def _imported_functions(body: _Reader) -> int:
    count = 0
    for _ in range(body.leb()):
        body.name()
        body.name()
        kind = body.byte()
        if kind == 0:
            body.leb()
            count += 1
        elif kind == 1:
            body.byte()
            _limits(body)
        elif kind == 2:
            _limits(body)
        elif kind == 3:
            body.part(2)
        else:
            raise _DamagedError(f"an import of the unknown kind {kind} is before byte {body.at:,}")
    return count


def _limits(body: _Reader) -> None:
    flags = body.byte()
    body.leb()
    if flags & 1:
        body.leb()


def _functions(body: _Reader, imported: int, names: dict[int, str]) -> Iterator[dict[str, Any]]:
    for index in range(body.leb()):
        start = body.at
        body.part(body.leb())
        yield _row("code", names.get(imported + index), "code", None, body.at - start, 0)


def _segments(body: _Reader, names: dict[int, str]) -> Iterator[dict[str, Any]]:
    for index in range(body.leb()):
        start, flags, address = body.at, body.leb(), None
        if flags == 2:
            body.leb()
        if flags != 1:
            address = _offset(body)
        size = body.leb()
        body.part(size)
        name = names.get(index)
        kind = "rodata" if name and name.startswith(".rodata") else "data"
        yield _row("data", name, kind, address, body.at - start, 0 if flags == 1 else size)


def _offset(body: _Reader) -> int | None:
    """Read the expression that says where a segment goes; None where only the linker of modules knows it."""
    operation, address = body.byte(), None
    if operation == _I32_CONST:
        address = body.leb(signed=True) & 0xFFFFFFFF
    elif operation == _GLOBAL_GET:
        body.leb()
    else:
        raise _DamagedError(f"the place of a data segment is neither number nor global, before byte {body.at:,}")
    if body.byte() != _END:
        raise _DamagedError(f"the place of a data segment has no end, before byte {body.at:,}")
    return address


def _symbol_names(body: _Reader) -> tuple[dict[int, str], dict[int, str]]:
    """Return the names of functions and of data segments, by index, of the custom section ``name``."""
    functions: dict[int, str] = {}
    data: dict[int, str] = {}
    while body.at < body.end:
        kind = body.byte()
        inner = body.part(body.leb())
        into = {_FUNCTION_NAMES: functions, _DATA_NAMES: data}.get(kind)
        if into is not None:
            into.update((inner.leb(), inner.name()) for _ in range(inner.leb()))
    return functions, data
