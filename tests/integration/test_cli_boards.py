"""`edgeprof boards`: what can be used here, what cannot and why, and the check that CI makes."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from handmade import harmful
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from edgeprof import boards
from edgeprof.boards import emulators
from edgeprof.cli import main

OF_A_BOARD = {field.name for field in dataclasses.fields(boards.Board)} | {"usable", "version", "why_not"}
OF_A_PORT = {"port", "description", "kind", "maker", "usb_id", "serial_number", "usable", "why_not"}


@pytest.fixture
def cli(capsys):
    """Run a command line in this process; return its code and what it said."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["boards", *words])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine without emulators and without a compiler."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("NODE_PATH", raising=False)


def plug(monkeypatch, *entries: ListPortInfo) -> None:
    monkeypatch.setattr(list_ports, "comports", lambda: list(entries))


def pico(device: str, product: str = "Board in FS mode") -> ListPortInfo:
    made = ListPortInfo(device, skip_link_detection=True)
    made.vid, made.pid, made.serial_number, made.description = 0x2E8A, 0x000A, "E66118604B5A7829", product
    return made


@pytest.fixture
def device():
    """A file that this user may open, in place of a port; with a short path, for tables cut long ones."""
    with tempfile.TemporaryDirectory(prefix="tty") as folder:
        path = Path(folder, "ttyACM0")
        path.touch()
        yield str(path)


def test_all_boards_are_listed_with_what_was_found(cli):
    code, out, err = cli()
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line for line in out.splitlines() if line.split()}
    for name in boards.names():
        assert boards.get(name).core in lines[name]
        assert lines[name].endswith("no" if boards.why_not(name) else "yes")
        assert boards.version(name) in lines[name]


def test_json_has_everything_of_a_board(cli):
    code, out, _ = cli("--json")
    found = json.loads(out)
    assert code == 0 and [b["name"] for b in found] == boards.names()
    for board in found:
        assert set(board) == OF_A_BOARD
        assert board["usable"] is (board["why_not"] == "")
        assert board["install"] == dict(boards.get(board["name"]).install)


def test_what_is_missing_is_named_with_what_to_install(cli, bare):
    code, out, err = cli()
    assert (code, err) == (0, "")
    for words in (
        "qemu-system-arm is not on PATH", "apt-get install qemu-system-arm\n", "qemu-system-xtensa is not on PATH",
        "node is not on PATH", "npm install --global rp2040js@1.4.1", "cc is not on PATH", "brew install qemu",
    ):  # fmt: skip
        assert words in out, words
    assert not harmful(out.replace("\n", ""))
    found = {b["name"]: b for b in json.loads(cli("--json")[1])}
    assert {name for name, b in found.items() if b["usable"]} == {"wasm"}
    assert all(b["version"] == "" and b["install"] for b in found.values() if not b["usable"])


def test_every_board_says_how_to_get_what_it_takes():
    oldest = ".".join(map(str, emulators.OLDEST_RP2040JS))
    for name in boards.names():
        install = boards.get(name).install
        assert {"debian", "macos", "conda"} <= set(install) or set(install) == {"pip"}
        assert all(command.strip() == command and "\n" not in command for command in install.values())
    assert f"rp2040js@{oldest}" in boards.get("rp2040").install["debian"]


def test_only_what_is_available(cli, bare, monkeypatch):
    plug(monkeypatch)
    code, out, _ = cli("--available")
    assert code == 0 and "wasm" in out and "stm32f405" not in out and "apt-get" not in out
    assert out.endswith("\nNo serial port is attached.\n")
    assert json.loads(cli("--available", "--json")[1])["ports"] == []


def test_ports_are_listed_and_only_programs_see_serial_numbers(cli, monkeypatch, device):
    plug(monkeypatch, pico(device))
    code, out, _ = cli("--available")
    assert code == 0
    for words in (device, "Board in FS mode", "2e8a:000a", "Raspberry Pi", "raspberry-pi"):
        assert words in out
    assert "E66118604B5A7829" not in out
    found = json.loads(cli("--available", "--json")[1])
    assert set(found) == {"boards", "ports"}
    assert all(set(b) == OF_A_BOARD and b["usable"] for b in found["boards"])
    (port,) = found["ports"]
    assert set(port) == OF_A_PORT
    assert (port["port"], port["kind"], port["serial_number"]) == (device, "raspberry-pi", "E66118604B5A7829")


def test_a_device_s_words_reach_no_terminal_as_they_are(cli, monkeypatch, device):
    plug(monkeypatch, pico(device, "\x1b[2J\u202egood\nbye"))
    out = cli("--available")[1]
    assert "good" in out and not harmful(out.replace("\n", "")) and "\nbye" not in out
    assert "\x1b" not in cli("--available", "--json")[1]
    assert not harmful(cli("--require", "espressif")[2].strip())


def test_what_is_required_and_there(cli, monkeypatch, device):
    plug(monkeypatch, pico(device))
    assert cli("--require", "wasm", "raspberry-pi", device)[0] == 0
    assert json.loads(cli("--require", "wasm", "--json")[1])[0]["name"] == boards.names()[0]


def test_what_is_required_and_missing_ends_with_4(cli, bare, monkeypatch, device):
    plug(monkeypatch, pico(device))
    code, out, err = cli("--require", "wasm", "stm32f405", "espressif", "/dev/ttyNONE")
    assert code == 4 and "wasm" in out  # the list is there for whoever reads the log
    assert err.startswith("edgeprof: The board 'stm32f405' cannot be used here: qemu-system-arm is not on PATH")
    assert "No port of the kind 'espressif' is attached. Attached serial ports: " in err
    assert "The port /dev/ttyNONE is not attached." in err
    assert "'wasm'" not in err and err.count("\n") == 1
    code, out, err = cli("--require", "stm32f405", "--available", "--json")
    assert code == 4 and set(json.loads(out)) == {"boards", "ports"} and err


def test_a_port_that_may_not_be_opened_is_not_there(cli, monkeypatch, device):
    plug(monkeypatch, pico(device))
    monkeypatch.setattr("edgeprof.ports.why_not_open", lambda _: "Its group is dialout: join it.")
    code, out, err = cli("--require", "raspberry-pi")
    assert code == 4 and f"{device} may not be opened. Its group is dialout: join it." in err
    code, out, _ = cli("--available")
    assert code == 0 and f"{device}: Its group is dialout: join it." in out
    monkeypatch.setattr("edgeprof.ports.why_not_open", lambda _: None)
    assert cli("--require", "raspberry-pi")[0] == 0
    assert "not known" in cli("--available")[1]


def test_an_unknown_name_is_wrong_use(cli):
    code, out, err = cli("--require", "espresif")
    assert (code, out) == (3, "") and "Did you mean 'espressif'?" in err


@pytest.mark.parametrize("words", [[], ["--available"], ["--available", "--json"]])
def test_it_is_quick_and_loads_nothing_heavy(words):
    code = (
        f"import sys\nfrom edgeprof.cli import main\nmain(['boards', *{words}])\n"
        "print(sorted({'numpy', 'pandas', 'pyarrow', 'matplotlib', 'wasmtime'} & set(sys.modules)), file=sys.stderr)"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert time.monotonic() - began < 10  # a fraction of a second; a busy machine is forgiven
