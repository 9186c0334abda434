"""Firmware images: sums are exact, aliases count once, and what is damaged says so."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from edgeprof.errors import UsageError
from edgeprof.firmware import image as prebuilt
from edgeprof.sections import as_columns, condense, image_facts, sections_of

FLASH, RAM = 0x08000000, 0x20000000

SOURCE = r"""
typedef unsigned char u8;
typedef unsigned u32;
const u32 table[16] = {1, 2, 3};
u32 variable[5] = {7, 8};
u8 buffer[300];
__attribute__((noinline)) u32 add(u32 a, u32 b) { return a + b + table[a & 15]; }
__attribute__((section(".fast"), noinline)) u32 fast(u32 a) { return a * 3 + variable[2]; }
void _start(void) {
    for (;;) { variable[0] += add(1, variable[1]) + fast(2); buffer[variable[0] % 300] = (u8)variable[0]; }
}
void also_start(void) __attribute__((alias("_start")));
void (*const hooks[2])(void) __attribute__((section(".init_array"), used)) = {_start, _start};
__asm__(".section .text\n.balign 4\n"
        ".globl outer\n.type outer, %function\nouter: .space 40\n.size outer, 40\n"
        ".globl inner\n.type inner, %function\n.set inner, outer + 8\n.size inner, 8\n"
        ".globl across\n.type across, %function\n.set across, outer + 32\n.size across, 24\n.space 16\n"
        ".space 12\n");
"""

SCRIPT = """
ENTRY(_start)
MEMORY { flash (rx) : ORIGIN = 0x08000000, LENGTH = 64K  ram (rwx) : ORIGIN = 0x20000000, LENGTH = 16K }
SECTIONS {
  .text : { *(.text*) *(.rodata*) } >flash
  .init_array : { KEEP(*(.init_array*)) } >flash
  .fast : { *(.fast*) } >ram AT>flash
  .data : { *(.data*) *(.sdata*) } >ram AT>flash
  .bss (NOLOAD) : { *(.bss*) *(.sbss*) *(COMMON) } >ram
  .stack (NOLOAD) : { . = ALIGN(8); . += 1024; } >ram
  /DISCARD/ : { *(.eh_frame*) *(.note*) *(.comment) *(.ARM.exidx*) }
}
"""

COMPILERS = {
    "arm-none-eabi-gcc": ["-mcpu=cortex-m3", "-mthumb"],
    "riscv64-unknown-elf-gcc": ["-march=rv32imc", "-mabi=ilp32"],
    "gcc": ["-no-pie", "-fno-pic", "-fcf-protection=none", "-m64"],
}
ELF = sys.platform == "linux"  # elsewhere, what is called gcc makes something else
FOUND = [name for name in COMPILERS if shutil.which(name) and (ELF or name != "gcc")]
DROPPED = ["-fno-asynchronous-unwind-tables", "-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments"]


@pytest.fixture(scope="module", params=FOUND or ["none"])
def compile_with(request, tmp_path_factory):
    """Return a function that compiles the source and returns the image."""
    if not FOUND:
        pytest.skip("needs a C compiler for ELF: apt-get install gcc-arm-none-eabi" if ELF else "only on Linux")
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "t.c").write_text(SOURCE, encoding="utf-8")
    (folder / "t.ld").write_text(SCRIPT, encoding="utf-8")

    def build(name: str, *flags: str) -> Path:
        out = folder / name
        command = [request.param, *COMPILERS[request.param], "-O1", "-ffreestanding", "-fno-builtin", "-nostdlib"]
        linking = [] if "-c" in flags else ["-static", "-T", "t.ld"]
        subprocess.run([*command, *DROPPED, *linking, *flags, "t.c", "-o", out.name], cwd=folder, check=True)
        return out

    return build


@pytest.fixture(scope="module")
def elf(compile_with) -> Path:
    return compile_with("firmware.elf")


def headers(path: Path) -> dict[str, tuple[int, int, int]]:
    """Return (type, size, address) of each section that is allocated, read with nothing of edgeprof's."""
    data = path.read_bytes()
    wide = data[4] == 2
    at, size, count, names = (*struct.unpack_from("<Q", data, 40), *struct.unpack_from("<HHH", data, 58)) if wide else (
        *struct.unpack_from("<I", data, 32), *struct.unpack_from("<HHH", data, 46)
    )  # fmt: skip
    rows = [struct.unpack_from("<IIQQQQ" if wide else "<IIIIII", data, at + i * size) for i in range(count)]
    start = rows[names][4]

    def text(offset: int) -> str:
        return data[start + offset : data.index(0, start + offset)].decode()

    return {text(n): (kind, length, address) for n, kind, flags, address, _, length in rows if flags & 2 and length}


def total(rows, column: str, **wanted) -> int:
    return sum(r[column] for r in rows if all(r[k] == v for k, v in wanted.items()))


def named(rows, symbol: str) -> dict:
    (row,) = [r for r in rows if r["symbol"] == symbol]
    return row


def test_sums_are_the_sections_sizes(elf):
    rows = sections_of(elf)
    found = headers(elf)
    assert {r["section"] for r in rows} == set(found)
    for name, (kind, size, _) in found.items():
        in_file = kind != 8  # NOBITS
        in_ram = name in (".fast", ".data", ".bss", ".stack")
        in_flash = in_file and name not in (".bss", ".stack")
        assert total(rows, "flash_bytes", section=name) == (size if in_flash else 0), name
        assert total(rows, "ram_bytes", section=name) == (size if in_ram else 0), name
        assert all(r["flash_bytes"] + r["ram_bytes"] > 0 for r in rows)


def test_symbols_have_the_sizes_of_the_source(elf):
    rows = sections_of(elf)
    expected = {
        "table": (".text", "rodata", 64, 0),
        "hooks": (".init_array", "rodata", 2 * (8 if elf.read_bytes()[4] == 2 else 4), 0),
        "variable": (".data", "data", 20, 20),
        "buffer": (".bss", "bss", 0, 300),
    }
    for symbol, wanted in expected.items():
        row = named(rows, symbol)
        assert (row["section"], row["kind"], row["flash_bytes"], row["ram_bytes"]) == wanted
    assert named(rows, "add")["kind"] == "code"
    assert named(rows, "add")["address"] % 2 == 0  # without Thumb's mark
    assert FLASH <= named(rows, "add")["address"] < FLASH + 65536
    assert named(rows, "buffer")["address"] >= RAM
    assert total(rows, "ram_bytes", kind="stack") == headers(elf)[".stack"][1] >= 1024


def test_code_that_is_copied_to_ram_takes_of_both(elf):
    row = named(sections_of(elf), "fast")
    assert row["kind"] == "code"
    assert row["flash_bytes"] == row["ram_bytes"] > 0


def test_an_alias_counts_once(elf):
    rows = sections_of(elf)
    counted = Counter(r["symbol"] for r in rows)
    assert counted["_start"] + counted["also_start"] == 1
    assert (named(rows, "outer")["flash_bytes"], counted["inner"]) == (40, 0)
    assert named(rows, "across")["flash_bytes"] == 16  # of its 24 bytes 8 are outer's
    assert named(rows, "across")["address"] == named(rows, "outer")["address"] + 40
    places = sorted((r["address"], r["flash_bytes"]) for r in rows if r["symbol"] and r["section"] == ".text")
    assert all(a + n <= b for (a, n), (b, _) in itertools.pairwise(places))


def test_what_no_symbol_covers_is_the_rest(elf):
    (rest,) = [r for r in sections_of(elf) if r["section"] == ".text" and r["symbol"] is None]
    assert rest["flash_bytes"] >= 12
    assert rest["address"] == headers(elf)[".text"][2]


def test_a_stripped_image_has_the_same_sums(compile_with, elf):
    rows = sections_of(compile_with("stripped.elf", "-s"))
    assert {r["symbol"] for r in rows} == {None}
    for column in ("flash_bytes", "ram_bytes"):
        assert total(rows, column) == total(sections_of(elf), column)


def test_a_board_s_ram_can_be_said(elf):
    rows = sections_of(elf, ram_ranges=[(FLASH, 65536)])
    assert total(rows, "flash_bytes", section=".text") == 0
    assert total(rows, "ram_bytes", section=".text") == headers(elf)[".text"][1]
    assert total(rows, "ram_bytes", section=".bss") == 0


def test_condensing_keeps_the_sums(elf):
    rows = sections_of(elf)
    short = condense(rows, 24)
    assert {r["symbol"] for r in short if r["symbol"]} == {
        r["symbol"] for r in rows if r["symbol"] and max(r["flash_bytes"], r["ram_bytes"]) >= 24
    }
    assert "variable" not in {r["symbol"] for r in short}
    for column in ("flash_bytes", "ram_bytes"):
        for name in headers(elf):
            assert total(short, column, section=name) == total(rows, column, section=name)
    assert len([r for r in short if r["symbol"] is None]) == len(
        {(r["section"], r["kind"]) for r in short if not r["symbol"]}
    )
    assert [r["symbol"] for r in rows] == [r["symbol"] for r in sections_of(elf)]  # what was given is as it was
    assert len(json.dumps(as_columns(short))) < len(json.dumps(short))


def test_an_object_file_is_no_image(compile_with):
    with pytest.raises(UsageError, match=r"t\.o is an ELF without segments .*what the linker makes"):
        sections_of(compile_with("t.o", "-c"))


def test_a_cut_image_is_damaged(elf, tmp_path):
    content = elf.read_bytes()
    cut = tmp_path / "cut.elf"
    for n in [4, 5, 16, 40, 52, 64, 100, len(content) // 2, len(content) - 1]:
        cut.write_bytes(content[:n])
        with pytest.raises(UsageError, match=r"The ELF .*cut\.elf is damaged.*(Link it again|copy it again)"):
            sections_of(cut)


@pytest.mark.slow
def test_a_wrong_byte_is_never_another_error(elf, tmp_path):
    content = elf.read_bytes()
    changed = tmp_path / "changed.elf"
    rng = random.Random(3)
    for _ in range(200):
        data = bytearray(content)
        for _ in range(rng.choice([1, 4])):
            at = rng.choice([rng.randrange(64), rng.randrange(len(data)), rng.randrange(len(data) - 600, len(data))])
            data[at] = rng.randrange(256)
        changed.write_bytes(data)
        try:
            rows = sections_of(changed)
        except UsageError:
            continue
        assert all(0 <= r["flash_bytes"] < 2**63 and 0 <= r["ram_bytes"] < 2**63 for r in rows)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b"GGUF\3\0\0\0", "begins with b'GGUF'"), (b"\x00asm\x02\0\0\0", "of another version")],
)
def test_what_is_no_image_says_what_it_is(tmp_path, content, said):
    file = tmp_path / "x.bin"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        sections_of(file)


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match=r"none\.elf cannot be read"):
        sections_of(tmp_path / "none.elf")
    with pytest.raises(UsageError, match="cannot be read"):
        sections_of(tmp_path)


# ---- WebAssembly ----


def leb(n: int) -> bytes:
    out = b""
    while True:
        n, low = n >> 7, n & 0x7F
        if not n:
            return out + bytes([low])
        out += bytes([low | 0x80])


def part(number: int, body: bytes) -> bytes:
    return bytes([number]) + leb(len(body)) + body


def vector(*items: bytes) -> bytes:
    return leb(len(items)) + b"".join(items)


def text(word: str) -> bytes:
    return leb(len(word)) + word.encode()


def function(n: int) -> bytes:
    return leb(n) + bytes(n - 1) + b"\x0b"


NAMES = (
    text("name")
    + part(1, vector(leb(1) + text("main"), leb(3) + text("longer")))
    + part(9, vector(leb(0) + text(".rodata")))
)
MODULE = (
    b"\x00asm\x01\0\0\0"
    + part(1, vector(b"\x60\0\0"))
    + part(2, vector(text("env") + text("write") + b"\x00\x00", text("env") + text("memory") + b"\x02\x01\x01\x02"))
    + part(3, vector(b"\0", b"\0", b"\0"))
    + part(10, vector(function(20), function(5), function(200)))
    + part(11, vector(b"\x00\x41\x80\x08\x0b" + leb(50) + bytes(50), b"\x01" + leb(9) + bytes(9)))
    + part(0, NAMES)
)


def test_functions_of_a_module_by_name(tmp_path):
    file = tmp_path / "m.wasm"
    file.write_bytes(MODULE)
    rows = sections_of(file)
    assert total(rows, "flash_bytes") == len(MODULE)
    assert named(rows, "main")["flash_bytes"] == 21  # a length of one byte, and the body
    assert named(rows, "longer")["flash_bytes"] == 202
    assert total(rows, "flash_bytes", section="code", symbol=None) == 2 + 1 + 1 + 6  # number, size, count, function 2
    data = named(rows, ".rodata")
    assert (data["kind"], data["address"], data["ram_bytes"], data["flash_bytes"]) == ("rodata", 1024, 50, 56)
    assert total(rows, "ram_bytes") == 50  # the passive segment is not in memory yet


def test_a_cut_module_is_damaged_or_ends_with_a_section(tmp_path):
    file = tmp_path / "m.wasm"
    whole = 0
    for n in range(4, len(MODULE)):
        file.write_bytes(MODULE[:n])
        try:
            rows = sections_of(file)
        except UsageError:
            continue
        whole += 1
        assert total(rows, "flash_bytes") == n
    assert whole == 6  # behind the header and behind each section but the last


def test_a_wrong_byte_of_a_module_is_never_another_error(tmp_path):
    file = tmp_path / "m.wasm"
    rng = random.Random(4)
    for _ in range(500):
        data = bytearray(MODULE)
        data[rng.randrange(8, len(data))] = rng.randrange(256)
        file.write_bytes(data)
        try:
            rows = sections_of(file)
        except UsageError:
            continue
        assert total(rows, "flash_bytes") == len(data)


@pytest.mark.parametrize("path", sorted(prebuilt("wasm").parent.glob("*.[ew][la]*")), ids=lambda p: p.name)
def test_prebuilt_images(path):
    digest, columns = image_facts(path)
    assert len(digest) == 64
    assert sum(columns["flash_bytes"]) > 20_000
    assert len({len(values) for values in columns.values()}) == 1
    if path.suffix == ".wasm":
        assert sum(columns["flash_bytes"]) == path.stat().st_size
        return
    found = headers(path)
    assert sum(columns["ram_bytes"]) == sum(found.get(name, (0, 0))[1] for name in (".data", ".bss", ".stack"))
    assert {"code", "bss", "stack"} <= set(columns["kind"])
    assert "session_forward" in columns["symbol"]
