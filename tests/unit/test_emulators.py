"""Which emulators are found, which are too old, and which firmware images are taken."""

from __future__ import annotations

import json
import random
import stat
from pathlib import Path
from typing import Any

import pytest

from edgeprof import boards
from edgeprof.boards import emulators
from edgeprof.boards.flash import model_block, read_image
from edgeprof.errors import DeviceError, UsageError
from edgeprof.firmware import image

FLASH = {"stm32f405": ("EM_ARM", 0x0800_0000), "rp2040": ("EM_ARM", 0x1000_0000),
         "rv32imac": ("EM_RISCV", 0x8000_0000), "lx106": ("EM_XTENSA", 0x5000_0000)}  # fmt: skip
QEMU = {"stm32f405": "arm", "rv32imac": "riscv32", "lx106": "xtensa"}


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder all of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(emulators, "_node_modules", lambda node: [tmp_path / "node_modules"])
    return folder


def program(file: Path, says: str) -> None:
    file.write_text(f"#!/bin/sh\necho '{says}'\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("name", QEMU)
def test_qemu_that_is_missing_or_too_old(name, bin_folder):
    qemu = f"qemu-system-{QEMU[name]}"
    assert boards.why_not(name).startswith(f"{qemu} is not on PATH. Debian: apt-get install qemu-system-")
    assert boards.version(name) == ""
    program(bin_folder / qemu, "QEMU emulator version 6.2.0 (Debian 1:6.2+dfsg-2)")
    why = boards.why_not(name)
    assert "QEMU 6.2.0 is too old: 7.2 or newer is needed. Debian: apt-get install" in why
    assert boards.version(name) == "6.2.0"
    with pytest.raises(DeviceError, match=rf"board '{name}' cannot be started here: QEMU 6\.2\.0 is too old"):
        boards.start(name, Path("m.gguf"))


@pytest.mark.parametrize(
    ("says", "version", "usable"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)", "7.2.22", True),
        ("QEMU emulator version 10.0.0", "10.0.0", True),
        ("QEMU emulator version 9.0", "9.0", True),
        ("QEMU emulator version 7.1.9", "7.1.9", False),
        ("nothing of the kind", "", False),
    ],
)
def test_versions_of_qemu(says, version, usable, bin_folder):
    program(bin_folder / "qemu-system-arm", says)
    found = emulators.qemu("arm")
    assert (found.version, found.problem == "") == (version, usable)
    if not version:
        assert "QEMU of unknown version is too old" in found.problem


@pytest.mark.parametrize("content", [None, "", "[]", "{}", "[1", '{"version": null}', "\udcff"])
def test_rp2040js_that_is_not_there(content, bin_folder, tmp_path):
    assert "node is not on PATH" in boards.why_not("rp2040")
    program(bin_folder / "node", "v20.0.0")
    if content is not None:
        file = tmp_path / "node_modules" / "rp2040js" / "package.json"
        file.parent.mkdir(parents=True)
        file.write_bytes(content.encode(errors="surrogateescape"))
    why = boards.why_not("rp2040")
    assert "rp2040js" in why and "npm install --global rp2040js" in why and "NODE_PATH" in why
    with pytest.raises(DeviceError, match="rp2040js"):
        boards.start("rp2040", Path("m.gguf"))


@pytest.mark.parametrize(("version", "usable"), [("1.3.9", False), ("1.4.1", True), ("1.10.0", True), (2.5, True)])
def test_versions_of_rp2040js(version, usable, bin_folder, tmp_path):
    program(bin_folder / "node", "v20.0.0")
    file = tmp_path / "node_modules" / "rp2040js" / "package.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"version": version}))
    found = emulators.rp2040js()
    assert (found.version, found.problem == "") == (str(version), usable)
    if not usable:
        assert f"rp2040js {version} is too old: 1.4 or newer is needed" in found.problem


def test_node_path_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("NODE_PATH", str(tmp_path))
    assert emulators._node_modules("/usr/bin/node")[0] == tmp_path


def test_without_a_compiler_there_is_no_host(bin_folder):
    assert "cc is not on PATH. Debian: apt-get install gcc" in boards.why_not("host")


@pytest.mark.parametrize("name", boards.names())
def test_options_are_checked(name, monkeypatch):
    monkeypatch.setattr(type(boards._launchers[name]), "why_not", lambda _: "")
    sizes = name in ("host", "wasm")
    for option in ("rom", *(() if sizes else ("ram", "flash"))):
        with pytest.raises(UsageError, match=option):
            boards.start(name, Path("m.gguf"), **{option: 1})
    command = boards._launchers[name].command(Path("m.gguf"), {"n_ctx": 5, "image": None, "boot": 3})
    assert command[1:] == ["-m", f"edgeprof.boards.{name}", "--model", "m.gguf", "--n-ctx", "5", "--boot", "3"]


# ---- images ----


def given(name: str, content: bytes, folder: Path) -> Any:
    file = folder / "given.elf"
    file.write_bytes(content)
    return read_image(file, name, *FLASH[name])


@pytest.mark.parametrize("name", FLASH)
def test_an_image_says_where_its_model_goes(name, tmp_path):
    content = image(name).read_bytes()
    read = given(name, content, tmp_path)
    assert read.content == content
    assert read.flash_end == FLASH[name][1] + boards.get(name).flash_bytes
    end = max(address + len(data) for address, data in read.segments)
    assert read.model_at % 64 == 0 and 0 <= read.model_at - end < 64
    room = read.flash_end - read.model_at - 64
    small, large = (model_block(read, bytes([7]) * n, 5, 9) for n in (100, room + 100))
    assert small[:20] == b"EPDM" + b"".join(n.to_bytes(4, "little") for n in (100, 100, 5, 9))
    assert len(small) == 164 and small[20:64] == bytes(44)
    assert large[:12] == b"EPDM" + (room + 100).to_bytes(4, "little") + room.to_bytes(4, "little")
    assert len(large) == 64 + room  # and no byte behind the flash


@pytest.mark.slow
@pytest.mark.parametrize("name", FLASH)
def test_damage_is_a_sentence(name, tmp_path):
    """Each damage is either refused or harmless: no other exception, and nothing that lies outside of the flash."""
    content = image(name).read_bytes()
    rng = random.Random(name)
    tables = int.from_bytes(content[32:36], "little")  # where the sections' headers begin
    refused: list[str] = []
    for turn in range(150):
        harmed = bytearray(content)
        if turn % 5 == 0:
            del harmed[rng.randrange(len(harmed)) :]
        first, last = ((0, 52), (52, 300), (tables, len(content)), (0, len(content)))[turn % 4]
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(first, last)
            harmed[at : at + 1] = bytes([rng.randrange(256)])
        try:
            read = given(name, bytes(harmed), tmp_path)
        except DeviceError as error:
            refused.append(str(error))
            continue
        assert read.flash_end - FLASH[name][1] <= 1 << 26
        assert all(FLASH[name][1] <= a and a + len(d) <= read.flash_end for a, d in read.segments)
    assert len(refused) > 30
    assert all(f"`edgeprof firmware build {name}` makes one" in words for words in refused)
