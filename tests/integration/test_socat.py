"""A capture through a pair of ptys that socat holds together, until somebody cuts the cable."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cable import SocatCable
from injector import traffic
from integration.kill_many import Independent, passes, sealed_wire, wait_for

import edgeprof
from edgeprof.care import verify

pytestmark = [
    pytest.mark.alone,
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="only on systems with ptys"),
    pytest.mark.skipif(not shutil.which("socat"), reason="needs socat (apt-get install socat)"),
]

IN_FLIGHT = 3 * (1 << 16)
"""What two ptys and socat between them may hold, and no more."""


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[SocatCable]:
    one = SocatCable(tmp_path / "host", tmp_path / "board")
    yield one
    one.cut()


class Writer(threading.Thread):
    """Send a board's frames over the cable, paced, until there is no more or the cable is cut."""

    def __init__(self, cable: SocatCable, bytes_per_second: float) -> None:
        super().__init__(daemon=True)
        self.path, self.rate, self.sent = cable.board, bytes_per_second, bytearray()

    def run(self) -> None:
        port = os.open(self.path, os.O_RDWR | os.O_NOCTTY)
        try:
            for item in traffic(random.Random(8), 500):
                at = 0
                while at < len(item.data):
                    n = os.write(port, item.data[at : at + 512])
                    self.sent += item.data[at : at + n]
                    at += n
                    time.sleep(n / self.rate)
        except OSError:
            return
        finally:
            os.close(port)


@pytest.mark.parametrize(
    "bytes_per_second",
    [
        pytest.param(11_520, id="115,200 baud"),
        pytest.param(400_000, id="4 Mbaud", marks=pytest.mark.nightly),
    ],
)
def test_what_came_before_the_cable_was_cut_is_whole(tmp_path: Path, cable: SocatCable, bytes_per_second: int) -> None:
    out = tmp_path / "data"
    command = [sys.executable, "-m", "edgeprof", "capture", str(cable.host), "--out", str(out), "--seconds", "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            wait_for(lambda: list(out.glob("capture=*/journal/port-00/*.wire")), "the reader's journal")
            writer = Writer(cable, bytes_per_second)
            writer.start()
            wait_for(lambda: len(writer.sent) > 2 * bytes_per_second, "two seconds of data")
            # A live data set can be read.
            assert len(edgeprof.open(out).tokens) > 0
            cable.cut()
            writer.join(10)
            said = running.communicate(timeout=60)
        finally:
            running.kill()
    assert "Traceback" not in said[1]
    assert running.returncode in (0, 4), said
    assert verify(out) == []
    (capture,) = out.glob("capture=*")
    kept, sent = sealed_wire(capture), bytes(writer.sent)
    assert kept == sent[: len(kept)], "what is kept is not what was sent"
    assert len(sent) - len(kept) <= IN_FLIGHT
    assert len(kept) > bytes_per_second
    ds = edgeprof.open(out)
    assert list(ds.table("events", where={"kind": "disconnected"})["port"]) == [0]
    independent = Independent()
    independent.grow(kept)
    found = passes(ds)
    assert found == independent.rows and len(found) > 100
    assert int(ds.captures["bytes_read"].iloc[0]) == len(kept)
    assert {"ok"} <= set(ds.runs["status"]) <= {"ok", "timeout"}
    assert list(ds.runs["frames_lost"])[:-1] == [0] * (len(ds.runs) - 1)
