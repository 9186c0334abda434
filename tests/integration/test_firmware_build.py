"""The committed images: rebuilt byte for byte, laid out as said, and the same fuel in every version of wasmtime."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from firmware_host import tiny_model

from edgeprof import boards
from edgeprof.errors import DeviceError, UsageError
from edgeprof.firmware import image, path
from edgeprof.firmware.build import Built, build, build_program, compiler_of, note
from edgeprof.firmware.uf2 import RP2040_FAMILY, from_uf2, to_uf2

OLDEST, NEWEST = "30.0.0", "50.0.1"


pytestmark = pytest.mark.emulators  # and their cross compilers

MANIFEST = json.loads(path("prebuilt", "manifest.json").read_text())
BARE = [target for target in MANIFEST if target != "wasm"]
FLASH = {
    "stm32f405": (0x0800_0000, 1 << 20), "rp2040": (0x1000_0000, 2 << 20), "rv32imac": (0x8000_0000, 4 << 20),
    "lx106": (0x5000_0000, 4 << 20),
}  # fmt: skip
RAM = {
    "stm32f405": (0x2000_0000, 128 << 10), "rp2040": (0x2000_0000, 264 << 10), "rv32imac": (0x8080_0000, 400 << 10),
    "lx106": (0x3FFC_0000, 256 << 10),
}  # fmt: skip


def need_compiler(target: str) -> None:
    """Skip, or fail in CI, unless the very compiler is here that the committed image was built with."""
    try:
        found = compiler_of(target)
    except UsageError as error:
        found = str(error)
    wanted = MANIFEST[target]["compiler"]
    if found != wanted:
        reason = f"needs {wanted} to rebuild {target}; found: {found}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.mark.slow
@pytest.mark.parametrize("target", MANIFEST)
def test_a_rebuild_is_identical_wherever_it_is_made(tmp_path, monkeypatch, target):
    need_compiler(target)
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(tmp_path / "global"))
    monkeypatch.setenv("ZIG_LOCAL_CACHE_DIR", str(tmp_path / "local"))
    copy = tmp_path / "another place"
    shutil.copytree(path(), copy)
    built = build(target, tmp_path / "out", root=copy)
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == sorted(built.files)
    for name in built.files:
        assert (tmp_path / "out" / name).read_bytes() == path("prebuilt", name).read_bytes(), name
    assert MANIFEST[target] == built.as_json()


def test_a_build_is_noted_beside_the_others(tmp_path):
    built = Built("wasm", "wasm", {"wasm.wasm": (3, "ab")}, "cc 1", ("-O2",), "cd")
    note(built, tmp_path / "manifest.json")
    note(replace(built, target="other"), tmp_path / "manifest.json")
    written = json.loads((tmp_path / "manifest.json").read_text())
    assert list(written) == ["other", "wasm"]
    assert written["wasm"]["files"] == {"wasm.wasm": {"bytes": 3, "sha256": "ab"}}


def elf(target: str) -> Any:
    return ELFFile(io.BytesIO(image(target).read_bytes()))


@pytest.mark.parametrize("target", BARE)
def test_an_image_lies_where_the_board_has_flash_and_ram(target):
    board = MANIFEST[target]["board"]
    (flash, flash_bytes), (ram, ram_bytes) = FLASH[board], RAM[board]
    assert (flash_bytes, ram_bytes) == (boards.get(board).flash_bytes, boards.get(board).ram_bytes)
    image_file = elf(target)
    loaded = [s for s in image_file.iter_segments() if s["p_type"] == "PT_LOAD" and s["p_filesz"]]
    assert min(s["p_paddr"] for s in loaded) == flash
    assert max(s["p_paddr"] + s["p_filesz"] for s in loaded) < flash + flash_bytes // 4  # the rest is the model's
    symbols = {s.name: s["st_value"] for s in image_file.get_section_by_name(".symtab").iter_symbols()}
    assert symbols["link_flash_end"] == flash + flash_bytes
    assert symbols["link_ram_end"] == ram + ram_bytes
    assert symbols["link_stack_bottom"] == ram  # so that running over it is a fault, and harms no data
    assert symbols["link_bss_end"] < ram + ram_bytes // 4
    assert symbols["link_model"] % 64 == 0
    assert not [s.name for s in image_file.iter_sections() if s.name.startswith((".debug", ".comment", ".note"))]


@pytest.mark.parametrize("target", BARE)
def test_flat_images_hold_what_the_elf_loads(target):
    loaded = [s for s in elf(target).iter_segments() if s["p_type"] == "PT_LOAD" and s["p_filesz"]]
    start = min(s["p_paddr"] for s in loaded)
    flat = bytearray(max(s["p_paddr"] + s["p_filesz"] for s in loaded) - start)
    for s in loaded:
        flat[s["p_paddr"] - start : s["p_paddr"] - start + s["p_filesz"]] = s.data()
    if target == "rp2040":
        address, content = from_uf2(path("prebuilt", "rp2040.uf2").read_bytes())
        assert address == start and not any(content[len(flat) :])
    else:
        content = path("prebuilt", f"{target}.bin").read_bytes()
    assert content[: len(flat)] == flat and len(content) - len(flat) < 256


def test_uf2_comes_back():
    for size in (1, 255, 256, 257, 5000):
        content = bytes(range(256)) * 20
        content = content[:size]
        packed = to_uf2(content, 0x1000_0000, RP2040_FAMILY)
        assert len(packed) == -(-size // 256) * 512
        address, back = from_uf2(packed)
        assert (address, back[:size]) == (0x1000_0000, content) and not any(back[size:])
        first = struct.unpack_from("<8I", packed)
        assert first == (0x0A324655, 0x9E5D5157, 0x2000, 0x1000_0000, 256, 0, -(-size // 256), 0xE48BFF56)
        assert struct.unpack_from("<I", packed, 508) == (0x0AB16F30,)


@pytest.mark.parametrize("harm", ["short", "magic", "order", "gap", "size"])
def test_a_damaged_uf2_is_refused(harm):
    data = bytearray(to_uf2(bytes(600), 0x1000_0000, RP2040_FAMILY))
    if harm == "short":
        del data[-1]
    else:
        at, value = {"magic": (512, 0), "order": (512 + 20, 2), "gap": (512 + 12, 0x1000_0200), "size": (16, 500)}[harm]
        struct.pack_into("<I", data, at, value)
    with pytest.raises(ValueError, match="block"):
        from_uf2(bytes(data))


@pytest.mark.slow
@pytest.mark.parametrize("target", [t for t in BARE if t == MANIFEST[t]["board"]])
def test_what_is_larger_than_the_board_is_not_linked(tmp_path, target):
    need_compiler(target)
    ram, flash = RAM[target][1], FLASH[target][1]
    harmless = tmp_path / "harmless.c"
    program = '#include "board.h"\nint main(void) { board_write(big, board_init()->n_ctx); return 0; }\n'
    harmless.write_text("#include <stdint.h>\nstatic uint8_t big[16] = {1};\n" + program)
    build_program(target, [harmless], tmp_path / "fits.elf")
    for what, declaration in {
        "RAM": f"static uint8_t big[{ram}];",
        "flash": f"static const uint8_t big[{flash}] = {{1}};",
    }.items():
        source = tmp_path / f"{what}.c"
        source.write_text(f"#include <stdint.h>\n{declaration}\n" + program)
        said = f"do(es)? not fit into the board's {what}|will not fit in region .{what.lower()}."
        with pytest.raises(DeviceError, match=said):
            build_program(target, [source], tmp_path / f"{what}.elf")


@pytest.mark.slow
def test_the_linker_script_of_the_copy_is_taken(tmp_path):
    need_compiler("rp2040")
    copy = tmp_path / "firmware"
    shutil.copytree(path(), copy)
    script = copy / "ports" / "rp2040" / "link.ld"
    script.write_text(script.read_text().replace("LENGTH = 264K", "LENGTH = 8K"))
    with pytest.raises(DeviceError, match="do not fit into the board's RAM|will not fit in region"):
        build("rp2040", tmp_path / "out", root=copy)


def test_only_the_first_webassembly_is_used():
    """Later instructions have changed their price in fuel, and an import beyond the four would be a dependency."""
    content = image("wasm").read_bytes()
    assert content[:8] == b"\0asm\1\0\0\0"
    assert b"wasi" not in content
    assert "-mcpu=mvp" in MANIFEST["wasm"]["flags"]
    wasmtime = pytest.importorskip("wasmtime")
    config = wasmtime.Config()
    config.wasm_bulk_memory = False
    module = wasmtime.Module(wasmtime.Engine(config), content)
    assert sorted(i.name for i in module.imports) == ["available", "read", "ticks", "write"]


def test_an_unknown_board_is_not_built(tmp_path):
    with pytest.raises(UsageError, match="Did you mean 'wasm'"):
        build("wasn", tmp_path / "x")


def test_a_missing_compiler_is_named_with_its_package(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for target in BARE:
        with pytest.raises(UsageError, match=r"needs \S+-gcc, which is not on PATH.*apt-get install gcc-"):
            build(target, tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
@pytest.mark.parametrize("target", ["wasm", "stm32f405"])
def test_a_broken_source_is_a_sentence(tmp_path, target):
    need_compiler(target)
    copy = tmp_path / "firmware"
    shutil.copytree(path(), copy)
    (copy / "app" / "main.c").write_text("int main(void) { return x; }\n")
    with pytest.raises(DeviceError, match=f"firmware of {target} was not built"):
        build(target, tmp_path / "x", root=copy)
    assert list((tmp_path / "x").iterdir()) == []


def installer() -> list[str]:
    """Return the command that installs packages: pip, or uv where the environment has no pip."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install"]
    return ["uv", "pip", "install", "--python", sys.executable]


MEASURE = """
import sys
from firmware_host import Host
from edgeprof import boards
with boards.start("wasm", sys.argv[1]) as running:
    host = Host(running.url)
    passes, totals = host.generate("abcd ab", 30, temperature=1.0, seed=2)
    passes += host.score([[1, 5, 6, 7, 8]])
    print(running.facts["emulator_version"], [(p.start, p.ticks, p.next, p.nll) for p in passes])
    host.close()
"""


@pytest.mark.slow
@pytest.mark.nightly
def test_oldest_and_newest_wasmtime_burn_the_same_fuel(tmp_path):
    model = tiny_model(tmp_path / "tiny.gguf", kind="Q8_0", kinds={"ffn_up.weight": "F16"}, ff=128)
    seen = {}
    for version in (OLDEST, NEWEST):
        target = tmp_path / version
        # Older releases import importlib_resources, which newer ones do not need.
        wanted = ["--no-deps", "--target", str(target), f"wasmtime=={version}", "importlib_resources"]
        subprocess.run([*installer(), "-q", *wanted], check=True)
        paths = [str(target), str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(model)], env=environment, capture_output=True, text=True, check=True
        )
        found, passes = done.stdout.split(" ", 1)
        assert found == version
        seen[version] = passes
    assert seen[OLDEST] == seen[NEWEST]
