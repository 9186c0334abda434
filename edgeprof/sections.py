"""What a firmware image takes of flash and RAM, part by part: an ELF's sections and symbols, or a WebAssembly module's.

Sums are exact: a byte counts for one symbol only, whatever aliases it has, and what no symbol covers is a row of its
own, without a name. WebAssembly is read by :mod:`edgeprof.wasmfile`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeprof.errors import UsageError

__all__ = ["LEAST_BYTES", "as_columns", "condense", "image_facts", "sections_of"]

LEAST_BYTES = 16
"""Smaller symbols are not kept one by one: see :func:`condense`."""

COLUMNS = ("section", "symbol", "kind", "address", "flash_bytes", "ram_bytes")
_ALLOC, _WRITE, _EXEC, _TLS = 0x2, 0x1, 0x4, 0x400
_TABLES_OF_CODE = ("SHT_INIT_ARRAY", "SHT_FINI_ARRAY", "SHT_PREINIT_ARRAY")
_BINDINGS = {"STB_GLOBAL": 0, "STB_WEAK": 1}
_SYMBOLS = ("STT_FUNC", "STT_OBJECT", "STT_NOTYPE", "STT_GNU_IFUNC", "STT_LOOS")
_LARGEST = 2**63 - 1


def sections_of(image: Path, *, ram_ranges: Sequence[tuple[int, int]] = ()) -> list[dict[str, Any]]:
    """Return the parts of an image, in order of address.

    What is RAM and what is flash is read off an ELF's segments: a segment that is not loaded where it runs, or that
    holds variables, runs in RAM; what is loaded to any other place lies in flash. So ``.data`` takes of both, ``.bss``
    of RAM alone, and code that is copied to RAM takes of both.

    Parameters
    ----------
    image
        A linked ELF, or a WebAssembly module.
    ram_ranges
        Pairs of first address and length in bytes, for a board whose RAM cannot be told from its segments; they
        alone decide then.

    Returns
    -------
    list of dict
        Each with ``section``, ``symbol`` (None: the rest of the section), ``kind``, ``address``, ``flash_bytes`` and
        ``ram_bytes``, as in table ``sections``.

    Raises
    ------
    UsageError
        The file cannot be read, is no firmware image, or is damaged.
    """
    return _parts(image, _content(image), ram_ranges)


def image_facts(image: Path) -> tuple[str, dict[str, list[Any]]]:
    """Return the SHA-256 of an image and its parts, condensed, as the columns that a capture keeps.

    Raises
    ------
    UsageError
        As of :func:`sections_of`.
    """
    content = _content(image)
    return hashlib.sha256(content).hexdigest(), as_columns(condense(_parts(image, content, ())))


def condense(rows: Iterable[Mapping[str, Any]], least: int = LEAST_BYTES) -> list[dict[str, Any]]:
    """Return the rows with the symbols below ``least`` bytes added to their section's rest; sums stay what they are."""
    kept: list[dict[str, Any]] = []
    rest: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if row["symbol"] is not None and max(row["flash_bytes"], row["ram_bytes"]) >= least:
            kept.append(dict(row))
            continue
        key = (row["section"], row["kind"])
        if key not in rest:
            rest[key] = dict(row) | {"symbol": None}
            kept.append(rest[key])
            continue
        one = rest[key]
        one["flash_bytes"] += row["flash_bytes"]
        one["ram_bytes"] += row["ram_bytes"]
        if row["address"] is not None:
            one["address"] = min(one["address"], row["address"])
    return kept


def as_columns(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return rows as columns, which is shorter in JSON."""
    rows = list(rows)
    return {name: [row[name] for row in rows] for name in COLUMNS}


def _content(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except OSError as error:
        raise UsageError(f"The firmware image {image} cannot be read: {error.strerror or error}.") from error


def _parts(image: Path, content: bytes, ram_ranges: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    from edgeprof import wasmfile

    if content[:4] == wasmfile.MAGIC:
        return wasmfile.parts(content, str(image))
    if content[:4] != b"\x7fELF":
        found = f"begins with {content[:4]!r}" if content else "is empty"
        raise UsageError(
            f"{image} {found}: a firmware image is a linked ELF (as the linker writes it, before objcopy) or a "
            "WebAssembly module. Give the .elf that the flashed .bin or .hex was made from."
        )
    return _elf_parts(image, content, ram_ranges)


@dataclass(frozen=True, slots=True)
class _Segment:
    """A part of the image that is loaded: where it runs, where it is loaded, and whether it runs in RAM."""

    at: int
    load: int
    size: int
    ram: bool

    def holds(self, address: int, size: int) -> bool:
        return self.at <= address and address + size <= self.at + self.size


@dataclass(frozen=True, slots=True)
class _Section:
    index: int
    name: str
    type: str
    flags: int
    at: int
    size: int

    @property
    def in_file(self) -> bool:
        return self.type != "SHT_NOBITS"

    @property
    def kind(self) -> str:
        for word in ("stack", "heap"):
            if word in self.name.lower():
                return word
        if self.flags & _EXEC:
            return "code"
        if not self.in_file:
            return "bss"
        return "data" if self.flags & _WRITE and self.type not in _TABLES_OF_CODE else "rodata"


@dataclass(frozen=True, slots=True)
class _Symbol:
    at: int
    size: int
    name: str
    object: bool
    binding: int


def _elf_parts(image: Path, content: bytes, ram_ranges: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(io.BytesIO(content))
        sections = _sections(elf, len(content))
        segments = _segments(elf, sections)
        symbols = _symbols(elf, {s.index for s in sections}) if segments else {}
    except UsageError as error:
        raise UsageError(f"The ELF {image} is damaged: {error}. Link it again, or copy it again.") from error
    except (
        ELFError, ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise UsageError(
            f"The ELF {image} is damaged or cut off ({len(content):,} bytes; {str(error) or type(error).__name__}). "
            "Link it again, or copy it again."
        ) from error
    if not segments:
        raise UsageError(
            f"{image} is an ELF without segments that are loaded (an object file or a library): a firmware image is "
            "what the linker makes of those. Give that file."
        )
    ram = list(ram_ranges) or [(s.at, s.size) for s in segments if s.ram]
    rows: list[dict[str, Any]] = []
    for section in sorted(sections, key=lambda s: (s.at, s.index)):
        home = next((s for s in segments if s.holds(section.at, section.size)), None)
        if home is None:  # of no segment: nothing loads it
            continue
        in_ram = _within(section.at, ram)
        in_flash = section.in_file and not _within(section.at - home.at + home.load, ram)
        rows += [
            {
                "section": section.name, "symbol": name, "kind": kind, "address": at,
                "flash_bytes": size if in_flash else 0, "ram_bytes": size if in_ram else 0,
            }
            for name, kind, at, size in _pieces(section, symbols.get(section.index, ()))
        ]  # fmt: skip
    return rows


def _within(address: int, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(first <= address < first + length for first, length in ranges)


def _sections(elf: Any, length: int) -> list[_Section]:
    """Return the sections that take memory while the firmware runs."""
    found = []
    for index, section in enumerate(elf.iter_sections()):
        h = section.header
        thread_template = h.sh_flags & _TLS and h.sh_type == "SHT_NOBITS"
        if not h.sh_flags & _ALLOC or not h.sh_size or thread_template:
            continue
        if h.sh_addr + h.sh_size > _LARGEST:
            raise UsageError(f"section {section.name!r} has {h.sh_size:,} bytes at {h.sh_addr:#x}")
        one = _Section(index, section.name, str(h.sh_type), h.sh_flags, h.sh_addr, h.sh_size)
        if one.in_file and h.sh_offset + h.sh_size > length:
            raise UsageError(
                f"section {one.name!r} ends at byte {h.sh_offset + h.sh_size:,} of the file, which has {length:,}"
            )
        found.append(one)
    return found


def _segments(elf: Any, sections: Sequence[_Section]) -> list[_Segment]:
    found = []
    for segment in elf.iter_segments("PT_LOAD"):
        h = segment.header
        if not h.p_memsz:
            continue
        one = _Segment(h.p_vaddr, h.p_paddr, h.p_memsz, ram=False)
        variables = any(
            s.flags & _WRITE and s.type not in _TABLES_OF_CODE and one.holds(s.at, s.size) for s in sections
        )
        found.append(replace(one, ram=one.at != one.load or variables))
    return found


def _symbols(elf: Any, wanted: set[int]) -> dict[int, list[_Symbol]]:
    """Return functions and objects that have a size, by the index of their section."""
    found: dict[int, list[_Symbol]] = {}
    table = elf.get_section_by_name(".symtab")
    if table is None:
        return found
    thumb = elf["e_machine"] == "EM_ARM"
    for symbol in table.iter_symbols():
        kind, index, size = symbol["st_info"]["type"], symbol["st_shndx"], symbol["st_size"]
        if not size or not symbol.name or index not in wanted or kind not in _SYMBOLS:
            continue
        at = symbol["st_value"] & ~1 if thumb and kind == "STT_FUNC" else symbol["st_value"]
        binding = _BINDINGS.get(symbol["st_info"]["bind"], 2)
        found.setdefault(index, []).append(_Symbol(at, size, symbol.name, kind == "STT_OBJECT", binding))
    return found


def _pieces(section: _Section, symbols: Iterable[_Symbol]) -> Iterator[tuple[str | None, str, int, int]]:
    """Yield name, kind, address and size of each symbol, then what is left of the section."""
    end, left = section.at + section.size, section.size
    cursor = section.at
    # Of several names for one place the longest, then the most public one is told; the others are aliases of it.
    for symbol in sorted(symbols, key=lambda s: (s.at, -s.size, s.binding, s.name)):
        first, last = max(symbol.at, cursor), min(symbol.at + symbol.size, end)
        if first >= last:
            continue
        constant = symbol.object and section.kind == "code"
        yield symbol.name, "rodata" if constant else section.kind, first, last - first
        cursor, left = last, left - (last - first)
    if left:
        yield None, section.kind, section.at, left
