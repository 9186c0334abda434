"""What `edgeprof capture` says: what it came to, what comes next, and what happens while nobody watches."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cable import Cable
from capturing import wait_for
from fakeboard import FakeBoard

import edgeprof
from edgeprof.cli import main
from edgeprof.cli.captured import said_once

pytestmark = [pytest.mark.alone, pytest.mark.slow]


def said(capsys: Any, *words: object) -> tuple[int, str, str]:
    code = main(["capture", *map(str, words)])
    out = capsys.readouterr()
    return code, out.out, out.err


def recorded(tmp_path: Path, data: bytes) -> str:
    file = tmp_path / "recorded.wire"
    file.write_bytes(data)
    return f"replay:{file}"


def frames() -> bytes:
    parts: list[bytes] = []
    FakeBoard(parts.append).generate("a")
    return b"".join(parts)


@pytest.mark.parametrize(
    ("data", "what", "then"),
    [
        (frames(), "1 run, 11 passes", "edgeprof runs {out}"),
        (b"achieved tok/s: 3.5\nhello\n", "1 claim, 2 lines of text", "edgeprof export {out} claims"),
        (b"hello\n", "1 line of text", "edgeprof export {out} logs"),
        (b"", "no run and no text", "edgeprof doctor PORT, where nothing comes"),
    ],
)
def test_what_came_and_what_comes_next(tmp_path: Path, capsys: Any, data: bytes, what: str, then: str) -> None:
    out = tmp_path / "data"
    code, text, _ = said(capsys, recorded(tmp_path, data), "--out", out)
    assert code == 0
    assert re.fullmatch(
        rf"captured \S+ into {re.escape(str(out))} \({len(data):,} bytes: {what}\); next: "
        rf"{re.escape(then.format(out=out))}\n",
        text,
    )


def test_a_port_is_named_once(tmp_path: Path, capsys: Any) -> None:
    cable = Cable(tmp_path / "ttyUSB0")
    (tmp_path / "again").symlink_to(cable.path)
    code, _, err = said(capsys, cable.path, tmp_path / "again", "--out", tmp_path / "data")
    assert (code, "are the same port: name it once" in err) == (3, True)
    cable.pull()


def test_a_port_without_its_folder(tmp_path: Path, capsys: Any) -> None:
    code, _, err = said(capsys, "ttyUSB0", "--out", tmp_path / "data")
    assert code == 3
    assert "A serial port is given by its path (/dev/ttyUSB0, COM3)" in err
    code, _, err = said(capsys, "/dev/null", "--out", tmp_path / "data")
    assert (code, "/dev/null is no serial port" in err) == (4, True)


def test_a_cable_that_nobody_watches_is_in_the_log(tmp_path: Path) -> None:
    cable, out = Cable(tmp_path / "ttyUSB0"), tmp_path / "data"
    command = [sys.executable, "-m", "edgeprof", "capture", str(cable.path), "--out", str(out), "--seconds", "6"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(out.glob("capture=*/journal/port-00/*.wire")), "an open port")
    cable.pull()
    wait_for(lambda: "disconnected" in list(edgeprof.open(out).table("events")["kind"]), "the loss")
    cable.plug()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    gone, back = (line for line in err.splitlines() if re.match(r"edgeprof: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line))
    assert gone.endswith("went away and is looked for") and back.endswith("is back")


def test_what_is_kept_is_said_once(tmp_path: Path) -> None:
    texts = ["a said nothing; what came is kept", "b refused it. What came is kept.", "c: was it unplugged?"]
    assert said_once(texts, Path("d")) == "a said nothing. b refused it. c: was it unplugged? What came is kept in d."
