"""Attached serial ports as rows: whose they are, and whether they may be opened."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from edgeprof.ports import KINDS, Port, attached, port_rows, why_not_open


def entry(device: str, vid: int | None = None, pid: int | None = None, **more) -> ListPortInfo:
    """Return what pyserial lists for a device."""
    made = ListPortInfo(device, skip_link_detection=True)
    made.vid, made.pid = vid, pid
    for name, value in more.items():
        setattr(made, name, value)
    return made


def usable(_: str) -> str:
    return ""


def test_a_usb_port_is_told_by_its_vendor():
    board = entry("/dev/ttyACM0", 0x303A, 0x1001, description="USB JTAG/serial debug unit", serial_number="7C:DF:A1")
    assert port_rows([board], usable) == [
        Port(
            port="/dev/ttyACM0",
            description="USB JTAG/serial debug unit",
            kind="espressif",
            maker="Espressif",
            usb_id="303a:1001",
            serial_number="7C:DF:A1",
            usable=True,
            why_not="",
        )
    ]


@pytest.mark.parametrize(
    ("vid", "kind"),
    [
        (0x303A, "espressif"), (0x2E8A, "raspberry-pi"), (0x0483, "st"), (0x1915, "nordic"), (0x1366, "segger"),
        (0x1A86, "ch340"), (0x10C4, "cp210x"), (0x0403, "ftdi"), (0x2341, "arduino"), (0x2A03, "arduino"),
        (0x239A, "adafruit"), (0x2886, "seeed"),
    ],
)  # fmt: skip
def test_every_kind_has_its_vendor(vid, kind):
    (row,) = port_rows([entry("COM3", vid, 1)], usable)
    assert (row.kind, row.usb_id) == (kind, f"{vid:04x}:0001")
    assert row.maker and kind in KINDS


def test_what_is_not_known_is_empty():
    plain, foreign = port_rows([entry("/dev/ttyS0"), entry("/dev/ttyUSB0", 0x1234, None)], usable)
    assert (plain.description, plain.kind, plain.maker, plain.usb_id, plain.serial_number) == ("",) * 5
    assert (foreign.kind, foreign.usb_id) == ("", "1234:0000")


def test_ports_are_in_the_order_of_their_numbers():
    listed = [entry(f"/dev/ttyUSB{n}") for n in (10, 2, 0)]
    assert [p.port for p in port_rows(listed, usable)] == ["/dev/ttyUSB0", "/dev/ttyUSB2", "/dev/ttyUSB10"]


@pytest.mark.parametrize(("reason", "state"), [("", True), ("Its group is dialout.", False), (None, None)])
def test_why_not_says_whether(reason, state):
    (row,) = port_rows([entry("/dev/ttyUSB0")], lambda _: reason)
    assert (row.usable, row.why_not) == (state, reason or "")


def test_attached_asks_pyserial(monkeypatch, tmp_path):
    device = tmp_path / "ttyACM0"
    device.touch()
    monkeypatch.setattr(list_ports, "comports", lambda: [entry(str(device), 0x2E8A, 0x000A)])
    (row,) = attached()
    assert (row.port, row.kind) == (str(device), "raspberry-pi")
    assert row.usable is (True if os.name == "posix" else None)


@pytest.mark.skipif(os.name != "posix", reason="only on systems with permissions")
def test_who_may_not_open_a_port_is_told_the_group(monkeypatch):
    def look(mode: int, group: int = 20):
        monkeypatch.setattr(os, "access", lambda *_: False)
        monkeypatch.setattr(Path, "stat", lambda _: SimpleNamespace(st_mode=stat.S_IFCHR | mode, st_gid=group))
        return why_not_open("/dev/ttyUSB0")

    monkeypatch.setattr("grp.getgrgid", lambda n: SimpleNamespace(gr_name={20: "dialout"}[n]))
    assert look(0o660) == "Its group is dialout: sudo usermod -a -G dialout $USER, then log in again."
    assert "usermod -a -G 4711 " in look(0o660, 4711)  # a group without a name
    for mode in (0o600, 0o640, 0o620):
        assert look(mode).startswith("Only its owner")


@pytest.mark.skipif(os.name != "posix", reason="only on systems with permissions")
def test_a_port_that_is_gone_again(tmp_path):
    assert "No such file" in why_not_open(str(tmp_path / "ttyACM0"))


def test_without_permissions_it_is_not_known(monkeypatch):
    monkeypatch.setattr("edgeprof.ports.os.name", "nt")
    assert why_not_open("COM3") is None
