"""The journal: pieces, offsets, torn indices."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path

import pytest

from edgeprof import journal


def write(capture: Path, chunks: list[bytes], **limits: float) -> bytes:
    writer = journal.PortWriter(capture, 0, **limits)
    for i, chunk in enumerate(chunks):
        writer.append(chunk, 1000 + i)
    writer.close()
    return b"".join(chunks)


def read(capture: Path, offset: int = 0, end: int | None = None) -> bytes:
    return b"".join(journal.read_from(capture, 0, offset, end))


def test_what_was_appended_is_read(tmp_path: Path) -> None:
    data = write(tmp_path, [b"abc", b"\0\xff", b"d" * 5000])
    assert read(tmp_path) == data
    assert journal.stream_end(tmp_path, 0) == len(data)
    assert journal.read_index(tmp_path, 0) == [(0, 1000), (3, 1001), (5, 1002)]
    assert [offset for offset, _ in journal.pieces(tmp_path, 0)] == [0]


def test_pieces_and_offsets(tmp_path: Path) -> None:
    noise = random.Random(1)
    chunks = [noise.randbytes(noise.randint(1, 300)) for _ in range(60)]
    data = write(tmp_path, chunks, piece_bytes=1000)
    starts = [offset for offset, _ in journal.pieces(tmp_path, 0)]
    assert len(starts) > 5
    assert {b - a >= 1000 for a, b in itertools.pairwise(starts)} == {True}
    for offset in (0, 1, 999, 1000, starts[3] - 1, starts[3], starts[3] + 1, len(data) - 1, len(data), len(data) + 5):
        assert read(tmp_path, offset) == data[offset:]
        for end in (offset, offset + 1, starts[4], len(data)):
            assert read(tmp_path, offset, end) == data[offset : max(end, offset)]
    began = [sum(map(len, chunks[:i])) for i in range(len(chunks))]
    assert [o for o, _ in journal.read_index(tmp_path, 0)] == began
    assert journal.read_index(tmp_path, 0, began[30] + 1)[0] == (began[30], 1030)
    assert journal.read_index(tmp_path, 0, began[30])[0] == (began[30], 1030)


def test_pieces_by_time(tmp_path: Path) -> None:
    writer = journal.PortWriter(tmp_path, 0, piece_seconds=0)
    writer.append(b"a", journal.time.monotonic_ns())
    writer.append(b"b", journal.time.monotonic_ns())
    writer.close()
    assert [offset for offset, _ in journal.pieces(tmp_path, 0)] == [0, 1, 2]
    assert read(tmp_path) == b"ab"


def test_a_long_read_comes_in_chunks(tmp_path: Path) -> None:
    data = write(tmp_path, [b"x" * (journal.CHUNK + 1)])
    assert [len(c) for c in journal.read_from(tmp_path, 0, 0)] == [journal.CHUNK, 1]
    assert read(tmp_path, 0, journal.CHUNK) == data[:-1]


@pytest.mark.parametrize("torn", range(1, 16))
def test_a_torn_index_entry_is_left_out(tmp_path: Path, torn: int) -> None:
    data = write(tmp_path, [b"abc", b"def"])
    index = journal.pieces(tmp_path, 0)[0][1].with_suffix(".idx")
    os.truncate(index, 16 + torn)
    assert journal.read_index(tmp_path, 0) == [(0, 1000)]
    assert read(tmp_path) == data
    assert journal.indexed_end(tmp_path, 0) == 0


def test_bytes_without_an_index_are_bytes(tmp_path: Path) -> None:
    data = write(tmp_path, [b"abc"])
    journal.pieces(tmp_path, 0)[0][1].with_suffix(".idx").unlink()
    assert read(tmp_path) == data
    assert journal.read_index(tmp_path, 0) == []
    assert journal.indexed_end(tmp_path, 0) == 0


def test_another_writer_goes_on_behind(tmp_path: Path) -> None:
    first = write(tmp_path, [b"abc", b"def"])
    index = journal.pieces(tmp_path, 0)[0][1].with_suffix(".idx")
    os.truncate(index, 20)
    second = write(tmp_path, [b"ghi"])
    assert read(tmp_path) == first + second
    assert journal.read_index(tmp_path, 0) == [(0, 1000), (6, 1000)]


def test_an_empty_journal(tmp_path: Path) -> None:
    assert read(tmp_path) == b""
    assert journal.stream_end(tmp_path, 0) == 0
    assert journal.read_index(tmp_path, 0) == []
    assert journal.read_events(tmp_path) == []


def test_bytes_that_were_taken_away_are_missed(tmp_path: Path) -> None:
    data = write(tmp_path, [b"a" * 10] * 5, piece_bytes=10)
    journal.pieces(tmp_path, 0)[0][1].unlink()
    with pytest.raises(FileNotFoundError):
        read(tmp_path, 5)
    assert read(tmp_path, 10) == data[10:]


def test_a_full_disk_keeps_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = journal.PortWriter(tmp_path, 0)
    writer.append(b"abc", 1)
    real, left = os.write, [2]

    def full(fd: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(28, "No space left on device")
        n = min(left[0], len(data))
        left[0] -= n
        return real(fd, bytes(data)[:n])

    monkeypatch.setattr(journal.os, "write", full)
    with pytest.raises(OSError, match="No space"):
        writer.append(b"defg", 2)
    monkeypatch.undo()
    assert writer.offset == 5
    assert read(tmp_path) == b"abcde"
    assert journal.read_index(tmp_path, 0) == [(0, 1)]
    writer.close()


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = journal.PortWriter(tmp_path, 0)
    real = os.write
    monkeypatch.setattr(journal.os, "write", lambda fd, data: real(fd, bytes(data)[: 3 if len(data) != 16 else 16]))
    writer.append(b"0123456789", 1)
    monkeypatch.undo()
    writer.close()
    assert read(tmp_path) == b"0123456789"


def test_events_come_back_without_a_torn_line(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    journal.append_event(tmp_path, {"kind": "timeout", "detail": "zwölf\n"})
    journal.append_event(tmp_path, {"kind": "disconnected"})
    with (tmp_path / "journal" / "events.jsonl").open("a") as file:
        file.write('{"kind": "tor')
    assert [e["kind"] for e in journal.read_events(tmp_path)] == ["timeout", "disconnected"]
    assert journal.read_events(tmp_path)[0]["detail"] == "zwölf\n"


def test_bytes_and_their_times_are_synced(tmp_path, monkeypatch):
    writer = journal.PortWriter(tmp_path, 0, piece_bytes=4)
    names = []
    original = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (names.append(str(Path(f"/proc/self/fd/{fd}").readlink())), original(fd))
    )
    writer.append(b"abcd", 1)
    writer.append(b"ef", 2)
    assert names == []  # whoever reads does not wait for a disk, not even where a piece is full
    writer.sync()
    assert {name.rsplit("/", 1)[1] for name in names} == {f"{n:020d}.{e}" for n in (0, 4) for e in ("wire", "idx")} | {
        "port-00"
    }
    names.clear()
    writer.sync()
    assert names == []
    writer.close()


def test_the_times_of_reads_are_followed_over_pieces(tmp_path):
    writer = journal.PortWriter(tmp_path, 0, piece_bytes=10)
    tail, found = journal.IndexTail(tmp_path, 0), []
    for number in range(7):
        writer.append(b"abcd", 100 + number)
        if number % 2:
            found += tail.read()
    assert tail.read() == [(24, 106)]
    assert [*found, (24, 106)] == journal.read_index(tmp_path, 0)
    assert tail.read() == []
    index = journal.pieces(tmp_path, 0)[-1][1].with_suffix(".idx")
    with index.open("ab") as file:
        file.write(b"half an e")  # an entry that is being written
    assert tail.read() == []
    with index.open("ab") as file:
        file.write(b"ntry...")
    assert len(tail.read()) == 1
    tail.close()
    writer.close()
