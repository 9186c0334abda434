"""A long stream through journal and sealer in one process, and what memory that took.

``python tests/flood.py FOLDER --bytes N --warm-up N --segment N`` prints JSON: resident bytes behind the warm-up, and
the most that was seen afterwards. What is sealed is deleted as it goes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from fakeboard import FakeBoard, make_capture

from edgeprof import journal, seal, wire

READ_BYTES = 4096
PASSES_A_RUN = 30_000


def resident_bytes() -> int:
    """Return what this process has in memory (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def stream() -> Iterator[bytes]:
    """Yield samples, passes and lines without end, about 64 kB at a time: 100 samples to a pass."""
    parts: list[bytes] = []
    board = FakeBoard(parts.append)
    board.hello()
    samples = [bytes((i * 37 + j * j) % 251 for j in range(500)) for i in range(64)]
    number = 0
    while True:
        board.begin(kind="generate", prompt_id=f"p{board.run % 100}", n_prompt=30, n_generate=PASSES_A_RUN)
        for _ in range(PASSES_A_RUN // 30):
            for _ in range(12):
                number += 1
                said = wire.POWER.pack(1000, 3300, 1)
                board.frame(wire.Type.POWER, said + samples[number % 64], 250, t0=2500 * number, dt=10)
            board.tokens(number % 60_000, 30, 1)
            if number % 5 == 0:
                parts.append(b"a line of text, the %dth\r\n" % number)
            if number % 9 == 0:
                yield b"".join(parts)
                parts.clear()
        board.end()


class Most:
    """The most memory that was seen, looked at in a thread: what matters is the peak within a seal."""

    def __init__(self) -> None:
        self.bytes, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.bytes = max(self.bytes, resident_bytes())

    def __enter__(self) -> Most:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def flood(folder: Path, n_bytes: int, segment: int, source: Iterator[bytes]) -> int:
    """Append so many bytes and seal them, a segment each so many; return the rows that were sealed."""
    writer, written, since, rows = journal.PortWriter(folder, 0), 0, 0, 0
    while written < n_bytes:
        part = next(source)
        for begin in range(0, len(part), READ_BYTES):
            writer.append(part[begin : begin + READ_BYTES], 1000 * writer.offset)
        written, since = written + len(part), since + len(part)
        if since >= segment or written >= n_bytes:
            seal.seal(folder, keep_wire=False)
            since = 0
            last = seal.load_manifests(folder)[-1]
            rows += sum(e["rows"] for e in last["files"])
            for old in folder.glob("segment=*"):
                if int(old.name.partition("=")[2]) < last["segment"]:
                    shutil.rmtree(old)
    writer.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bytes", type=int, required=True)
    parser.add_argument("--warm-up", type=int, required=True)
    parser.add_argument("--segment", type=int, default=64 << 20)
    args = parser.parse_args()
    folder, source = make_capture(args.folder, "c", [b""]), stream()
    with Most() as most:
        flood(folder, args.warm_up, args.segment, source)
        before = max(most.bytes, resident_bytes())
    with Most() as most:
        rows = flood(folder, args.bytes, args.segment, source)
    print(json.dumps({"rows": rows, "warm_bytes": before, "most_bytes": most.bytes}))


if __name__ == "__main__":
    main()
