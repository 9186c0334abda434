"""A port found again: by what it is, not by what it is called."""

from __future__ import annotations

import termios
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from edgeprof import reconnect
from edgeprof.errors import DeviceError
from edgeprof.line_errors import line_errors, what_grew
from edgeprof.reconnect import Identity, find, identify, may_return, reopen
from edgeprof.transports import PortSettings


def entry(device: str, serial: str | None, vid: int | None = 0x303A, pid: int = 0x1001) -> Any:
    return SimpleNamespace(device=device, vid=vid, pid=pid, serial_number=serial)


A = Identity(0x303A, 0x1001, "A")


def test_who_a_port_is() -> None:
    listed = [entry("/dev/ttyUSB0", "A"), entry("/dev/ttyUSB1", None), entry("/dev/ttyS0", None, None)]
    assert identify("/dev/ttyUSB0", listed) == A
    assert [identify(p, listed) for p in ("/dev/ttyUSB1", "/dev/ttyS0", "/dev/ttyUSB9")] == [None] * 3


@pytest.mark.parametrize(
    ("listed", "where"),
    [
        ([entry("/dev/ttyUSB0", "A")], "/dev/ttyUSB0"),
        ([entry("/dev/ttyUSB0", "B"), entry("/dev/ttyUSB5", "A")], "/dev/ttyUSB5"),
        ([entry("/dev/ttyUSB0", "B")], None),  # another board took its name
        ([], None),
        ([entry("/dev/ttyUSB0", "A", pid=2)], None),
        ([entry("/dev/ttyACM0", "A"), entry("/dev/ttyUSB0", "A")], "/dev/ttyUSB0"),
        ([entry("/dev/ttyACM0", "A"), entry("/dev/ttyACM1", "A")], None),  # which of its two ports cannot be told
    ],
)
def test_where_a_device_is_now(listed: list[Any], where: str | None) -> None:
    assert find("/dev/ttyUSB0", A, listed) == where


def test_what_has_no_serial_number_is_where_its_name_is() -> None:
    assert find("/dev/ttyUSB0", None, [entry("/dev/ttyUSB0", "B")]) == "/dev/ttyUSB0"


def test_the_number_of_a_pty_is_given_to_the_next() -> None:
    assert not may_return("/dev/pts/3")
    assert may_return("/dev/ttyUSB0") and may_return("socket://10.0.0.1:5000")


def test_opening_again_tries_and_waits_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    tried: list[tuple[str, bool]] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0)
            return len(pauses) > 50

    def open_port(url: str, settings: PortSettings) -> str:
        tried.append((url, settings.reset))
        if len(tried) < 9:
            # While a device comes and goes pyserial raises this as well, and TypeError.
            raise [DeviceError("not yet"), termios.error(5, "Input/output error"), TypeError("int(None)")][
                len(tried) % 3
            ]
        return "port"

    got: list[Any] = []
    monkeypatch.setattr(reconnect, "open_port", open_port)
    reopen("/dev/ttyUSB0", PortSettings(reset=True), None, Stop(), got.append)
    assert got == ["port"]
    assert tried == [("/dev/ttyUSB0", False)] * 9  # and does not reset the board, whatever was asked at the start
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0])


def test_another_board_under_the_name_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    from serial.tools import list_ports

    now = [[entry("/dev/ttyUSB0", "B")]] * 3 + [[entry("/dev/ttyUSB0", "B"), entry("/dev/ttyUSB1", "A")]]
    monkeypatch.setattr(list_ports, "comports", lambda: now.pop(0))
    monkeypatch.setattr(reconnect, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(reconnect, "open_port", lambda url, settings: url)
    got: list[Any] = []
    reopen("/dev/ttyUSB0", PortSettings(), A, threading.Event(), got.append)
    assert (got, now) == (["/dev/ttyUSB1"], [])


def test_what_the_driver_lost_in_words() -> None:
    before = {"frame": 0, "overrun": 5, "parity": 0, "brk": 1, "buf_overrun": 0}
    assert what_grew(before, before) == ""
    assert what_grew(before, before | {"overrun": 7, "frame": 1}) == (
        "1 framing errors (another baud rate?), 2 bytes lost in the UART"
    )


def test_what_has_no_counters_has_none(tmp_path: Any) -> None:
    with (tmp_path / "file").open("w") as file:
        assert line_errors(file.fileno()) is None
