"""Ending a capture from outside: the first signal in good order, the second at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from capturing import wait_for

import edgeprof
from edgeprof.care import verify

pytestmark = [pytest.mark.alone, pytest.mark.slow]


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM)])
def test_a_second_signal_ends_at_once_and_loses_nothing(tmp_path: Path, board: Any, numbers: tuple[int, int]) -> None:
    one = board("--stream", "100000", "--wait", "--bytes-per-second", "100000", "--tap", str(tmp_path / "tap"))
    out = tmp_path / "data"
    command = [sys.executable, "-m", "edgeprof", "capture", one.url, "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(out.glob("capture=*/journal/port-00/*.wire")), "an open port")
    one.go()
    wait_for(lambda: int(edgeprof.open(out).captures["bytes_read"].iloc[0]) > 30_000, "bytes")
    (folder,) = out.iterdir()
    sealing = list(folder.glob("segment=*"))
    process.send_signal(numbers[0])
    time.sleep(0.02)
    process.send_signal(numbers[1])
    began = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - began < 5
    assert process.returncode in (130, -signal.SIGTERM), said
    # Reader and sealer close the capture by themselves.
    wait_for(lambda: not (folder / "journal").exists() and not list(folder.glob("*.lock")), "a closed capture")
    assert sealing == []
    assert verify(out) == []
    assert int(edgeprof.open(out).captures["bytes_read"].iloc[0]) > 30_000
