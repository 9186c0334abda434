"""Wire bytes that go after some days, and what room a capture needs."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from fakeboard import FakeBoard, make_capture

import edgeprof
from edgeprof.care import verify
from edgeprof.errors import UsageError
from edgeprof.keepwire import bytes_per_second, drop_old_wire, forecast, kept_days
from edgeprof.redecode import redecode
from edgeprof.seal import load_manifests, seal
from edgeprof.transports import PortSettings


@pytest.mark.parametrize("text", ["0", "-1", "week", "", "nan", "inf"])
def test_what_is_no_number_of_days(text: str) -> None:
    with pytest.raises(UsageError, match="`all`.*`none`.*days"):
        kept_days(text)


def stream() -> bytes:
    parts: list[bytes] = []
    board = FakeBoard(parts.append)
    for label in "abc":
        board.generate(label)
    return b"".join(parts)


def test_old_wire_bytes_go_and_nothing_else_does(tmp_path: Path) -> None:
    folder = make_capture(tmp_path, "c", [stream(), stream()])
    seal(folder)
    seal(folder, final=True)
    manifests = load_manifests(folder)
    assert len(manifests) == 2
    tokens = edgeprof.open(tmp_path).tokens
    old, new = (folder / f"segment={n:04d}" for n in (0, 1))
    os.utime(old / "manifest.json", (1000.0, 1000.0))
    os.utime(new / "manifest.json", (1000.0 + 86400 * 3, 1000.0 + 86400 * 3))
    now = 1000.0 + 86400 * 3.5
    assert drop_old_wire(folder, manifests, 4.0, now) == 0
    assert drop_old_wire(folder, manifests, 3.0, now) == 1
    assert drop_old_wire(folder, load_manifests(folder), 3.0, now) == 0
    assert not list(old.glob("wire-*"))
    assert len(list(new.glob("wire-*"))) == 4
    assert verify(tmp_path) == []
    assert edgeprof.open(tmp_path).tokens.equals(tokens)
    assert [o.code for o in redecode(tmp_path)] == [2]  # it says so, and leaves the tables alone


def test_dying_between_manifest_and_files_is_finished_by_the_next(tmp_path: Path, monkeypatch) -> None:
    folder = make_capture(tmp_path, "c", [stream()])
    seal(folder, final=True)

    def die(self: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "unlink", die)
    with pytest.raises(KeyboardInterrupt):
        drop_old_wire(folder, load_manifests(folder), 1.0, 1e12)
    monkeypatch.undo()
    assert [f for f in verify(tmp_path) if f.damage] == []
    assert len(edgeprof.open(tmp_path).runs) == 3
    drop_old_wire(folder, load_manifests(folder), 1.0, 1e12)
    assert verify(tmp_path) == []
    assert not list(tmp_path.rglob("wire-*"))


def test_a_forecast() -> None:
    ports = [PortSettings(baudrate=921600)] * 64
    assert bytes_per_second(PortSettings(baudrate=115200)) == 11520
    assert bytes_per_second(PortSettings(baudrate=110, parity="E", stopbits=2)) == 110 / 12
    text = forecast(ports, math.inf, 10**12)
    # 64 x 92.16 kB/s = 5.9 MB/s = 509.6 GB a day of wire bytes, and as much again for tables
    assert "At most 5,898.2 kB/s" in text and "1,019.2 GB a day" in text and "enough for 1.0 days" in text
    assert "509.6 GB a day with --keep-wire 0" in forecast(ports, 0.0, 10**12)
    assert "enough for 2.0 days" in forecast(ports, 0.0, 10**12)
    assert forecast([], math.inf, 10**12) == ""
    one = [PortSettings()]
    days = [
        float(forecast(one, k, 10**11).split("enough for ")[1].split()[0].replace(",", "")) for k in (0, 7, math.inf)
    ]
    assert days == sorted(days, reverse=True) and days[0] > days[1] > days[2]
