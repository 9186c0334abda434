"""Emulated boards that are killed, restarted or given what is not for them: nothing stays behind, and words say why."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from firmware_host import MODELS, Host, alive, board, children, needs_board, tiny_model, until

import edgeprof
from edgeprof import boards, wire
from edgeprof.boards import RunningBoard
from edgeprof.capture import Source, capture
from edgeprof.driver import Evaluation, Generation
from edgeprof.errors import DeviceError
from edgeprof.firmware import image, path

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.emulators]

MICROCONTROLLERS = [n for n in boards.names() if boards.get(n).emulator not in ("", "wasmtime")]
every_microcontroller = pytest.mark.parametrize("name", MICROCONTROLLERS)
LONG = Evaluation("long", "-", [5 + i % 40 for i in range(20_000)], 1)  # a thousand windows


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf", kind="Q8_0", layers=1, context=20)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder where the board's process puts its temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def emulator_of(running: RunningBoard) -> int:
    (pid,) = until(lambda: children(running.process.pid), "the emulator")
    return pid


@every_microcontroller
def test_an_emulator_killed_in_the_middle_of_a_run(name, tiny, tmp_path, temporary):
    needs_board(name)
    jobs = [Generation("first", "ab", 2), LONG]
    killed: list[int] = []

    def kill(progress: list[Any]) -> None:
        if progress[0].passes > 25 and not killed:
            killed.append(emulator_of(running))
            os.kill(killed[0], signal.SIGKILL)

    with boards.start(name, tiny) as running:
        source = Source(running.url, name, opened=running.go, last_words=running.last_words)
        result = capture([source], tmp_path / "out", jobs, idle_seconds=20, on_progress=kill)
        assert until(lambda: running.process.poll() is not None, "the end of the board's process")
        assert running.process.returncode == DeviceError.exit_code
    assert killed and not alive(killed[0])
    assert result.failed[name].startswith(f"{name} went away: ")
    assert f". The board '{name}' stopped: the emulator ended with code -9" in result.failed[name]
    dataset = edgeprof.open(tmp_path / "out")
    assert dataset.runs["status"].tolist() == ["ok", "timeout"]
    assert dataset.runs["passes_received"].iloc[1] == len(dataset.tokens.query("phase == 'score'")) > 0
    assert "disconnected" in dataset.table("events")["kind"].tolist()
    assert list(temporary.iterdir()) == []


@every_microcontroller
def test_a_killed_board_leaves_no_emulator(name, tiny, temporary):
    needs_board(name)
    with boards.start(name, tiny) as running:
        running.go()
        emulator = emulator_of(running)
        until(lambda: list(temporary.iterdir()) == [], "the files to be loaded")
        running.process.kill()
        until(lambda: not alive(emulator), "the end of the emulator")
    assert running.process.returncode == -signal.SIGKILL


@every_microcontroller
@pytest.mark.parametrize("when", ["at once", "told to go", "in a run"])
def test_stopping_leaves_nothing(name, when, tiny, temporary):
    needs_board(name)
    with boards.start(name, tiny) as running:
        pids: list[int] = []
        if when == "told to go":  # perhaps before the emulator has started, perhaps while it loads its files
            running.go()
        elif when == "in a run":
            pids.append(start_a_run(running))
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < 4.5  # it was not killed
    until(lambda: not any(map(alive, pids)), "the end of the emulator")
    assert list(temporary.iterdir()) == []
    until(lambda: not [f for f in Path("/proc").glob("[0-9]*/cmdline") if uses(f, temporary)], "the end of all")


def start_a_run(running: RunningBoard) -> int:
    host = Host(running.url)
    host.hello()
    host.port.write(wire.run_request(99, "ab", 10, label="p"))
    host.wait(lambda f: f.type == wire.Type.RUN_BEGIN)
    host.close()
    return emulator_of(running)


def uses(cmdline: Path, folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.fsencode(folder) in cmdline.read_bytes()
    return False


@contextlib.contextmanager
def relay() -> Iterator[tuple[str, Any]]:
    """Offer a port behind which one board after the other can stand, as behind a real one."""
    outer, slave = os.openpty()
    import tty  # not on Windows

    tty.setraw(slave)
    stop = threading.Event()

    def carry(url: str, until_gone: threading.Event) -> None:
        inner = os.open(url, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        os.set_blocking(outer, False)
        while not (stop.is_set() or until_gone.is_set()):
            for source, target in ((inner, outer), (outer, inner)):
                with contextlib.suppress(OSError):
                    os.write(target, os.read(source, 1024))
            time.sleep(0.002)
        os.close(inner)

    threads: list[threading.Thread] = []

    def put(url: str) -> threading.Event:
        gone = threading.Event()
        threads.append(threading.Thread(target=carry, args=(url, gone)))
        threads[-1].start()
        return gone

    try:
        yield os.ttyname(slave), put
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        os.close(outer)
        os.close(slave)


def test_a_board_that_comes_back_with_another_boot(tiny, tmp_path):
    name = "rv32imac"
    needs_board(name)
    with contextlib.ExitStack() as stack:
        url, put = stack.enter_context(relay())
        first = stack.enter_context(boards.start(name, tiny, boot=1))
        gone = put(first.url)
        done: list[str] = []

        def restart(progress: list[Any]) -> None:
            if progress[0].passes > 25 and not done:
                done.append("reset")
                gone.set()
                first.stop()
                second = stack.enter_context(boards.start(name, tiny, boot=2))
                put(second.url)
                second.go()

        result = capture([Source(url, name)], tmp_path / "out", [LONG], idle_seconds=4, on_progress=restart)
    dataset = edgeprof.open(tmp_path / "out")
    assert done and dataset.runs["status"].iloc[0] == "reset"
    assert dataset.runs["passes_received"].iloc[0] > 25
    assert "reset" in dataset.table("events")["kind"].tolist()
    assert result.failed or result.outcomes[name].refused  # the rest of the text was not scored, and that is said


# ---- images that are not for the board ----


def without_sections(content: bytes) -> bytes:
    """Return a 32-bit ELF without its table of sections, which is all that `strip` leaves of the symbols."""
    return content[:32] + bytes(4) + content[36:48] + bytes(4) + content[52:]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("rp2040", r"not for the board 'stm32f405': its flash begins at 0x10000000, that of the board at 0x08000000"),
        ("rv32imac", r"not for the board 'stm32f405': it is for EM_RISCV, wanted was EM_ARM"),
        ("stripped", r"has no symbol 'link_flash_end': it was stripped, or not linked with edgeprof's ports/layout.ld"),
        ("text", r"is no ELF file, or a damaged one"),
        ("empty", r"is no ELF file, or a damaged one"),
        ("bin", r"is no ELF file, or a damaged one"),
        ("missing", r"cannot be read: No such file"),
        ("folder", r"cannot be read: Is a directory"),
    ],
)
def test_an_image_that_is_not_for_the_board(given, words, tiny, tmp_path, temporary):
    needs_board("stm32f405")
    file = tmp_path / "given.elf"
    if given in ("rp2040", "rv32imac"):
        file = image(given)
    elif given == "folder":
        file.mkdir()
    elif given != "missing":
        contents = {
            "stripped": without_sections(image("stm32f405").read_bytes()),
            "text": b"int main(void) { return 0; }\n",
            "empty": b"",
            "bin": path("prebuilt", "stm32f405.bin").read_bytes(),
        }
        file.write_bytes(contents[given])
    with pytest.raises(DeviceError, match=words) as caught:
        boards.start("stm32f405", tiny, image=file)
    assert str(file) in str(caught.value)
    assert "`edgeprof firmware build stm32f405` makes one" in str(caught.value)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("name", ["wasm", "host", "rp2040"])
def test_an_image_of_another_kind(name, tiny, tmp_path):
    needs_board(name)
    for file in (tmp_path / "missing", image("stm32f405"), tmp_path / "text"):
        if file.name == "text":
            file.write_text("hello")
        with pytest.raises(DeviceError, match=str(file)):
            boards.start(name, tiny, image=file)


def test_the_variant_for_simd_runs(tiny):
    needs_board("stm32f405")
    with board(tiny, "stm32f405", image=image("stm32f405-simd")) as host, board(tiny, "stm32f405") as plain:
        assert (host.hello()["kernel_variant"], plain.hello()["kernel_variant"]) == ("m4-simd", "c99")
        passes = [[(p.next, p.nll) for p in h.generate("ab", 5)[0]] for h in (host, plain)]
    assert passes[0] == passes[1]


def test_a_model_in_a_folder_with_odd_characters(tmp_path, monkeypatch):
    needs_board("stm32f405")
    folder = tmp_path / "a b,c=d'é"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    model = tiny_model(folder / "m,x=1.gguf", kind="Q8_0", layers=1)
    copy = folder / "firm,ware.elf"
    copy.write_bytes(image("stm32f405").read_bytes())
    with board(model, "stm32f405", image=copy) as host:
        assert host.generate("ab", 2)[1]["status"] == 0


def test_a_model_larger_than_the_flash_says_so_and_not_that_it_is_damaged(tmp_path):
    needs_board("stm32f405")
    with board(MODELS / "fable-1.2m-F16.gguf", "stm32f405") as host:
        said = host.hello()
    assert said["fits"] == "0"
    assert int(said["flash_needed_bytes"]) > int(said["flash_bytes"])
