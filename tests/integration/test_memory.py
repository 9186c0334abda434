"""Memory stays flat however long the stream is, and whatever it is made of."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakeboard import FakeBoard

from edgeprof.decode import decode_port
from edgeprof.decode_state import PortState, Rows
from edgeprof.tables import build

FLOOD = Path(__file__).parents[1] / "flood.py"
MIB, CHUNK = 1 << 20, 1 << 20
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: resident memory is read from /proc")


def flood(folder: Path, n_bytes: int, warm_up: int, segment: int) -> dict[str, int]:
    sizes = ["--bytes", str(n_bytes), "--warm-up", str(warm_up), "--segment", str(segment)]
    done = subprocess.run([sys.executable, str(FLOOD), str(folder), *sizes], check=True, capture_output=True, text=True)
    told: dict[str, int] = json.loads(done.stdout)
    return told


@LINUX
@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize(
    "segment",
    [
        pytest.param(20_000_000, id="in many segments"),
        pytest.param(10**9, id="in one segment", marks=pytest.mark.nightly),
    ],
)
def test_memory_does_not_grow_with_what_is_sealed(tmp_path: Path, segment: int) -> None:
    told = flood(tmp_path, 260_000_000, 40_000_000, segment)
    assert told["rows"] > 100_000_000
    assert told["most_bytes"] - told["warm_bytes"] < 64 * MIB


@LINUX
@pytest.mark.nightly
def test_memory_does_not_grow_over_ten_gigabytes(tmp_path: Path) -> None:
    told = flood(tmp_path, 9_000_000_000, 1_000_000_000, 64 * MIB)
    assert told["rows"] > 3_600_000_000
    assert told["most_bytes"] - told["warm_bytes"] < 64 * MIB


def tables_of(chunks: Iterable[bytes]) -> tuple[dict[str, int], PortState, list[dict[str, Any]], int]:
    """Decode, and return the rows of each table, the state, the passes and the peak of memory in bytes."""
    counts: dict[str, int] = {}
    passes: list[dict[str, Any]] = []

    def take(rows: Rows) -> None:
        for (name, _), table in build(rows, "c").items():
            counts[name] = counts.get(name, 0) + len(table)
            if name == "tokens":
                passes.extend(table.to_pylist())

    reads = (np.zeros(1, np.int64), np.zeros(1, np.int64))
    tracemalloc.start()
    try:
        _, state = decode_port(
            chunks, PortState(), capture_id="c", port=0, facts={}, reads=reads, final=True, take=take
        )  # fmt: skip
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return counts, state, passes, peak


def a_run() -> bytes:
    parts: list[bytes] = []
    board = FakeBoard(parts.append)
    board.generate("p", 4, 8)
    return b"".join(parts)


def line_noise() -> Iterable[bytes]:
    noise = random.Random(5)
    for _ in range(55):  # a minute at 921,600 baud, ten bits a byte
        yield noise.randbytes(100_000)


STREAMS = {
    "10 MB without a newline": (lambda: (b"x" * CHUNK for _ in range(10)), {"logs"}),
    "1 GB of zeros": (lambda: (bytes(CHUNK) for _ in range(1000)), set()),
    "a minute of line noise": (line_noise, set()),
}


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("kind", STREAMS)
def test_what_is_no_frame_takes_no_memory_and_the_next_frame_is_found(kind: str) -> None:
    make, tables = STREAMS[kind]

    def chunks() -> Iterable[bytes]:
        yield a_run()[:-70]
        yield from make()
        yield b"\0"
        # As a board that has been reset: nothing of what it sends counts as sent before.
        parts: list[bytes] = []
        FakeBoard(parts.append, boot=8).generate("p", 4, 8)
        yield b"".join(parts)

    counts, state, passes, peak = tables_of(chunks())
    assert peak < 48 * MIB
    assert [p["position"] for p in passes[-11:]] == list(range(11))
    assert {p["run_id"] for p in passes[-11:]} == {"c/0-0002"}
    assert (state.boot, state.lost) == (8, 0)
    assert tables <= set(counts)
    assert set(counts) <= {"logs", "runs", "tokens", "events", "claims"}
