"""The registry of boards, and what an emulated board says when it cannot start."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edgeprof import boards
from edgeprof.boards.line import LONGEST, Inbox, Pty, Socket, open_line
from edgeprof.errors import DeviceError, ModelError, UsageError
from edgeprof.firmware import image, path


def test_wasm_is_known():
    board = boards.get("wasm")
    assert "wasm" in boards.names()
    assert board.core == "wasm32"
    assert board.clock == "fuel"
    assert board.board_clock_hz == 240_000_000
    assert board.ram_bytes == 512 * 1024
    assert board.flash_bytes == 8 * 1024 * 1024
    assert board.emulator == "wasmtime"
    assert boards.why_not("wasm") == ""


def test_these_come_with_edgeprof():
    assert boards.names() == ["host", "lx106", "rp2040", "rv32imac", "stm32f405", "wasm"]


def test_every_board_is_described():
    for name in boards.names():
        board = boards.get(name)
        assert board.name == name
        assert board.clock in {"fuel", "instructions", "cycles", "device_timer", "host"}
        assert board.description
        assert min(board.board_clock_hz, board.ram_bytes, board.flash_bytes) > 0


def test_unknown_names_and_options():
    with pytest.raises(UsageError, match="Did you mean 'wasm'"):
        boards.get("wsam")
    with pytest.raises(UsageError, match="wasm"):
        boards.start("nothing", Path("x.gguf"))
    with pytest.raises(UsageError, match="option"):
        boards.start("wasm", Path("x.gguf"), rom=5)


@pytest.mark.slow
def test_a_further_board_can_be_registered(monkeypatch, tmp_path):
    script = tmp_path / "board.py"

    class Fake:
        board = boards.Board("fake", "none", "host", 1, 1, 1, "python", "For a test.")
        reason = ""

        def why_not(self) -> str:
            return self.reason

        def command(self, model: Path, options: dict[str, Any]) -> list[str]:
            return [sys.executable, str(script)]

    before = boards.names()
    monkeypatch.setattr(boards, "_launchers", dict(boards._launchers))
    boards.register(Fake())
    assert boards.names() == sorted([*before, "fake"])
    script.write_text('import sys\nprint(\'{"url": "loop://", "facts": {"a": "b"}}\', flush=True)\nsys.stdin.read()\n')
    with boards.start("fake", Path("m")) as running:
        assert (running.url, running.facts) == ("loop://", {"a": "b"})
        assert running.process.poll() is None
    assert running.process.returncode == 0
    script.write_text("raise SystemExit('the emulator is out of order')")
    with pytest.raises(DeviceError, match="out of order"):
        boards.start("fake", Path("m"))
    script.write_text("import time\ntime.sleep(60)")
    with pytest.raises(DeviceError, match="in time"):
        boards.start("fake", Path("m"), timeout=0.3)
    monkeypatch.setattr(Fake, "reason", "install it.")
    with pytest.raises(DeviceError, match="install it"):
        boards.start("fake", Path("m"))


@pytest.mark.slow
def test_a_board_that_will_not_stop_is_killed(tmp_path, monkeypatch):
    script = tmp_path / "board.py"
    script.write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        'print(\'{"url": "loop://", "facts": {}}\', flush=True)\ntime.sleep(60)\n'
    )
    launcher = boards._launchers["wasm"]
    monkeypatch.setattr(type(launcher), "command", lambda *_: [sys.executable, str(script)])
    running = boards.start("wasm", Path("m"))
    assert running.stop(timeout=0.2) < 0
    assert running.stop() < 0  # again does no harm


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"", "not a GGUF file"),
        (b"GGUF", "truncated"),
        (b"PK\x03\x04" + bytes(100), "not a GGUF file"),
        (b"GGUF\x02\0\0\0" + bytes(100), "version 3"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 100, "counts exceed"),
        (b"GGUF\x03\0\0\0" + bytes(16), "general.architecture"),
    ],
    ids=str,
)
def test_a_bad_model_is_a_sentence(tmp_path, content, words):
    model = tmp_path / "model.gguf"
    if content is not None:
        model.write_bytes(content)
    with pytest.raises(ModelError, match=words) as caught:
        boards.start("wasm", model)
    assert str(model) in str(caught.value)
    done = subprocess.run(
        [sys.executable, "-m", "edgeprof.boards.wasm", "--model", model],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr == ""
    assert json.loads(done.stdout)["kind"] == "ModelError"


def test_heavy_imports_are_the_child_s():
    heavy = "{'wasmtime', 'numpy', 'pandas', 'gguf'}"
    code = f"import sys, edgeprof.boards as b; b.get('wasm'); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_prebuilt_images_are_what_the_manifest_says():
    from hashlib import sha256

    from edgeprof.firmware.build import source_digest, targets

    manifest = json.loads(path("prebuilt", "manifest.json").read_text())
    assert sorted(manifest) == [t for t in targets() if t != "host"]  # that one is compiled where it runs
    noted = set()
    for target, entry in manifest.items():
        assert entry["target"] == target and entry["board"] in boards.names()
        assert image(target).name in entry["files"]
        for name, facts in entry["files"].items():
            content = path("prebuilt", name).read_bytes()
            assert facts == {"bytes": len(content), "sha256": sha256(content).hexdigest()}, name
            noted.add(name)
        again = f"rebuild: edgeprof firmware build {target} --out edgeprof/firmware/prebuilt"
        assert entry["source_sha256"] == source_digest(target), again
    assert {f.name for f in path("prebuilt").iterdir()} == noted | {"manifest.json"}


def test_stretches_do_not_depend_on_timing():
    class Chunks:
        url = ""

        def __init__(self, data: bytes, size: int) -> None:
            self.chunks = [data[i : i + size] for i in range(0, len(data), size)]

        def wait(self) -> None: ...

        def send(self, data: bytes) -> None: ...

        def receive(self, wait: bool) -> bytes:
            return self.chunks.pop(0) if self.chunks else b""

    data = b"\0" + b"a" * 70 + b"\0\0" + b"b" * 128 + b"\0c\0"
    seen = []
    for size in (1, 3, 64, 500):
        inbox = Inbox(Chunks(data, size))
        parts = []
        while sum(map(len, parts)) < len(data):
            inbox.available()
            parts.append(inbox.read(LONGEST))
        seen.append(parts)
        assert inbox.available() == 0
    assert all(parts == seen[0] for parts in seen)
    assert b"".join(seen[0]) == data
    assert [len(p) for p in seen[0]] == [1, 64, 7, 1, 64, 64, 1, 2]


def test_a_socket_waits_for_its_client():
    import socket

    line = Socket()
    done = threading.Thread(target=line.send, args=(b"hello",))
    done.start()
    time.sleep(0.05)
    assert done.is_alive()
    host, port = line.url.removeprefix("socket://").split(":")
    with socket.create_connection((host, int(port))) as client:
        assert client.recv(5) == b"hello"
        done.join()
        client.sendall(b"x")
        assert line.receive(wait=True) == b"x"
        assert line.receive(wait=False) == b""
    line._lost()
    line._server.close()


def test_without_ptys_there_is_the_socket(monkeypatch):
    import os

    monkeypatch.delattr(os, "openpty")
    line = open_line("auto")
    assert isinstance(line, Socket)
    line._server.close()
    with pytest.raises(DeviceError, match="socket"):
        open_line("pty")


def test_a_pty_is_raw():
    import os

    line = Pty()
    slave = os.open(line.url, os.O_RDWR | os.O_NOCTTY)
    every = bytes(range(256))
    line.send(every)
    got = b""
    while len(got) < 256:
        got += os.read(slave, 1000)
    assert got == every
    os.write(slave, every)
    got = b""
    while len(got) < 256:
        got += line.receive(wait=True)
    assert got == every
    for handle in (slave, line._slave, line._master):
        os.close(handle)
