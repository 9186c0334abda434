"""The doctor on ports that do not talk, each for another reason."""

from __future__ import annotations

import contextlib
import os
import select
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakeboard import FakeBoard

from edgeprof import wire
from edgeprof.cli import main
from edgeprof.cli.doctor import dump
from edgeprof.doctor import Step, diagnose
from edgeprof.signs import printable_share, read_signs

pytestmark = [pytest.mark.alone, pytest.mark.once, pytest.mark.slow]

SPEEDS = {termios.B9600: 9600, termios.B115200: 115200, termios.B230400: 230400, termios.B921600: 921600}
Say = Callable[[bytes], None]


@contextlib.contextmanager
def device(answer: Callable[[bytes, Say], None] | None, *, prints: bytes = b"", baud: int = 0) -> Iterator[str]:
    """Run a device on a pty; at another baud rate than its own (if it has one) it sends and hears noise."""
    board, host = os.openpty()
    tty.setraw(host)
    going = True

    def right() -> bool:
        return not baud or SPEEDS.get(termios.tcgetattr(board)[4]) == baud

    def say(data: bytes) -> None:
        os.write(board, data if right() else bytes((b * 37 & 0xFF) ^ 0xE5 | 0x80 for b in data))

    def work() -> None:
        while going:
            if prints:
                say(prints)
            if select.select([board], [], [], 0.1)[0]:
                heard = os.read(board, 4096)
                if answer and right():
                    answer(heard, say)

    thread = threading.Thread(target=work)
    thread.start()
    yield os.ttyname(host)
    going = False
    thread.join()
    os.close(board)
    os.close(host)


def doctor(capsys: Any, url: str, *more: str) -> tuple[int, str]:
    code = main(["doctor", url, "--seconds", "0.6", *more])
    return code, capsys.readouterr().out


def edgeprof_board(heard: bytes, say: Say) -> None:
    board = FakeBoard(say)
    for piece in wire.Splitter().feed(heard):
        if piece.frame is not None and piece.frame.type == wire.Type.ASK_HELLO:
            board.hello(piece.frame.run)


def frames() -> bytes:
    parts: list[bytes] = []
    FakeBoard(parts.append).generate("a", 130, 20)
    return b"".join(parts)


def mlperf(lap: bytes) -> Callable[[bytes, Say], None]:
    def answer(heard: bytes, say: Say) -> None:
        for command in heard.split(b"%")[:-1]:
            said = {b"name": b"m-name-dut-[acme]\r\n", b"timestamp": lap}.get(command, b"e-[Unknown command: x]\r\n")
            say(said + b"m-ready\r\n")

    return answer


def python(heard: bytes, say: Say) -> None:
    say(heard.replace(b"\r", b"\r\n") + b">>> ")


def test_a_board_that_is_well(capsys: Any) -> None:
    with device(edgeprof_board) as url:
        code, said = doctor(capsys, url)
    assert code == 0
    assert "Found (edgeprof, 115200 baud): It speaks edgeprof's wire and answers" in said
    assert f"Next: edgeprof capture {url} --baud 115200 --out data --prompt" in said
    assert "> 00 " in said and "< 00 " in said and "board" in said  # the raw exchange, both ways


def test_a_board_at_another_baud_rate(capsys: Any) -> None:
    with device(edgeprof_board, prints=b"I am a line of text\n", baud=921600) as url:
        code, said = doctor(capsys, url)
    assert code == 0
    assert "Found (edgeprof, 921600 baud)" in said
    assert "--baud 921600 --out data" in said
    assert "115200 baud: listening" in said


def test_a_baud_rate_that_nobody_tries(capsys: Any) -> None:
    with device(None, prints=b"I am a line of text\n", baud=230400) as url:
        code, said = doctor(capsys, url, "--baud", "9600")
    assert code == 4
    assert "Found (noise, 9600 baud)" in said and "--baud" in said.split("Next:")[1]


def test_telemetry_only(capsys: Any) -> None:
    with device(None, prints=frames()) as url:
        code, said = doctor(capsys, url)
    assert code == 0
    assert "Found (edgeprof, sending only" in said and "it only sends" in said
    assert "--prompt" not in said.split("Next:")[1]


def test_a_console_that_turns_lf_into_crlf(capsys: Any) -> None:
    data = frames()
    assert b"\n" in data
    with device(None, prints=data.replace(b"\n", b"\r\n")) as url:
        code, said = doctor(capsys, url)
    # Frames that hold no LF are whole all the same: that makes it no better.
    assert code == 4
    assert "Found (LF to CRLF" in said and "stdio_set_translate_crlf" in said
    assert "Found (edgeprof, sending only" in said


def test_nothing_but_crlf_frames(capsys: Any) -> None:
    broken = b"\0".join(p.replace(b"\n", b"\r\n") for p in frames().split(b"\0") if b"\n" in p)
    with device(None, prints=b"\0" + broken + b"\0") as url:
        code, said = doctor(capsys, url)
    assert code == 4
    assert "Found (LF to CRLF, 115200 baud): Frames of edgeprof's wire are there" in said


@pytest.mark.parametrize(
    ("lap", "code", "kind"),
    [(b"m-lap-us-1234\r\n", 0, "Found (MLPerf Tiny,"), (b"", 4, "Found (MLPerf Tiny, energy mode,")],
)
def test_mlperf_tiny(capsys: Any, lap: bytes, code: int, kind: str) -> None:
    with device(mlperf(lap)) as url:
        found, said = doctor(capsys, url)
    assert found == code
    assert kind in said
    assert "--protocol mlperf-tiny" in said.split("Next:")[1]


@pytest.mark.parametrize(
    ("prints", "kind", "cure"),
    [
        (b"waiting for download\r\n", "boot loader", "GPIO0"),
        (b"rst:0x1 (POWERON_RESET),boot:0x3 (DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2))\r\n", "boot loader", "BOOT"),
        (b"Brownout detector was triggered\r\n\r\nets Jun  8 2016 00:22:57\r\n", "brown-out", "cable"),
        (b"Guru Meditation Error: Core  0 panic'ed (LoadProhibited).\r\n", "panic", "addr2line"),
        (b"rst:0x8 (TG1WDT_SYS_RST),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n", "restarts", "watchdog"),
        (b"\x1b[0;32mI (660) LLM: Free ram available: 2388432\x1b[0m\r\n", "known lines", "claims"),
        (b"hello from the shelf\r\n", "text", "logs"),
    ],
)  # fmt: skip
def test_what_a_board_prints(capsys: Any, prints: bytes, kind: str, cure: str) -> None:
    with device(None, prints=prints) as url:
        code, said = doctor(capsys, url)
    assert f"Found ({kind}, 115200 baud)" in said
    assert cure in said.split("Next:")[1]
    assert code == (0 if kind in ("known lines", "text") else 4)


def test_a_python_prompt(capsys: Any) -> None:
    with device(python) as url:
        code, said = doctor(capsys, url)
    assert (code, "Found (Python," in said) == (4, True)


def test_an_echo(capsys: Any) -> None:
    with device(lambda heard, say: say(heard)) as url:
        code, said = doctor(capsys, url)
    assert (code, "Found (echo," in said) == (4, True)


def test_silence(capsys: Any) -> None:
    began = time.monotonic()
    with device(None) as url:
        code, said = doctor(capsys, url)
    assert code == 4
    assert "Found (silence," in said and "TX and RX" in said
    assert "115200 baud, DTR held" in said and "3000000 baud" in said  # everything was tried
    assert time.monotonic() - began < 30


def test_no_port_and_wrong_use(capsys: Any) -> None:
    assert main(["doctor", "/dev/ttyNOTHING"]) == 4
    assert "There is no port /dev/ttyNOTHING. Attached serial ports:" in capsys.readouterr().err
    assert main(["doctor", "wasm"]) == 3
    assert "edgeprof capture wasm" in capsys.readouterr().err
    assert main(["doctor", "/dev/ttyNOTHING", "--baud", "0"]) == 3


def test_escapes_of_the_device_do_not_reach_the_terminal(capsys: Any) -> None:
    parts: list[bytes] = []
    FakeBoard(parts.append, pairs={"board": "\x1b]52;c;aGk=\x07evil\x1b[2J"}).hello()
    with device(None, prints=b"".join(parts) + b"\x1b[31mred\x1b[2J text\n") as url:
        code, said = doctor(capsys, url)
    assert code == 0
    assert "\x1b" not in said and "\x07" not in said


def test_rows_of_hex() -> None:
    assert dump(b"abc\0\xff") == [f"{'61 62 63 00 ff':<47}  abc.."]
    assert dump(b"") == []
    rows = dump(bytes(1000))
    assert len(rows) == 17 and rows[8] == "… 744 bytes …"


def test_the_better_setting_wins() -> None:
    noise = Step(115200, False, "listening", b"", bytes(range(128, 256)))
    text = Step(9600, False, "listening", b"", b"hello\nworld\n")
    assert diagnose([noise]).signs[0].kind == "noise"
    assert (diagnose([noise, text]).baudrate, diagnose([noise, text]).usable) == (9600, True)
    assert read_signs(b"") == []
    assert printable_share("größer\n".encode()) == 1.0
    assert printable_share(b"\xff\xfea") < 0.5
