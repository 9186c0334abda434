"""Kept wire bytes as a port."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pyarrow as pa
import pytest
from fakeboard import FakeBoard, append_reads, make_capture

import edgeprof
from edgeprof import replay, seal, sealer
from edgeprof.capture import Source, capture
from edgeprof.errors import StorageError, UsageError
from edgeprof.journal import CHUNK, PortWriter
from edgeprof.replay import Replay, open_replay, parse
from edgeprof.same import differences
from edgeprof.transports import PortSettings, open_port


def stream(runs: int = 3, boot: int = 7) -> bytes:
    sent: list[bytes] = []
    board = FakeBoard(sent.append, boot)
    board.hello()
    for i in range(runs):
        board.generate(f"p{i}", 4, 8)
        sent.append(b"a line of text\r\n")
    return b"".join(sent)


def all_of(port: Replay) -> bytes:
    found: list[tuple[bytes, int]] = []
    with contextlib.suppress(EOFError):  # else it does not end
        while True:
            found += port.take(1.0)
    times = [t for _, t in found]
    assert times == sorted(times)
    return b"".join(data for data, _ in found)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A data set with one closed capture of three segments."""
    data = stream(30)
    folder = make_capture(tmp_path / "data", "c", [data[:2000]])
    for cut in (2000, 4000):
        seal.seal(folder)
        writer = PortWriter(folder, 0)
        append_reads(writer, data[cut : cut + 2000] if cut == 2000 else data[cut:])
        writer.close()
    sealer.finish(folder)
    assert len(list(folder.glob("segment=*"))) == 3
    return tmp_path / "data"


def test_a_file_of_wire_bytes_in_bounded_chunks(tmp_path):
    data = stream() + bytes(2 * CHUNK)
    (tmp_path / "wire?.bin").write_bytes(data)
    port = open_port(f"replay:{tmp_path}/wire?.bin", PortSettings())
    assert isinstance(port, Replay)
    assert max(len(part) for part, _ in port.take(1.0)) <= CHUNK
    assert all_of(open_replay(f"replay:{tmp_path}/wire?.bin")) == data
    assert (port.write(b"x"), port.happened()) == (0, [])
    port.close()
    with pytest.raises(EOFError):
        port.take(1.0)


def test_a_closed_capture_however_it_is_named(closed):
    whole = stream(30)
    assert all_of(open_replay(f"replay:{closed}")) == whole
    assert all_of(open_replay(f"replay:{closed}/capture=c?port=0")) == whole
    parts = [all_of(open_replay(f"replay:{path}")) for path in sorted(closed.glob("*/*/wire-*.zst"))]
    assert len(parts) == 3
    assert b"".join(parts) == whole


def test_what_is_sealed_and_what_is_not_yet(tmp_path):
    data = stream(30)
    folder = make_capture(tmp_path / "data", "c", [data[:3000]])
    assert all_of(open_replay(f"replay:{folder}")) == data[:3000]
    assert seal.seal(folder)
    writer = PortWriter(folder, 0)
    append_reads(writer, data[3000:])
    writer.close()
    assert all_of(open_replay(f"replay:{folder}")) == data


@pytest.mark.slow
def test_capturing_a_replay_gives_the_same(closed, tmp_path):
    result = capture([Source(f"replay:{closed}", "again")], tmp_path / "again")
    assert result.failed == {}
    one, other = edgeprof.open(closed), edgeprof.open(tmp_path / "again")
    assert len(one.runs) == 30
    assert differences(one, other) == []
    assert list(other.table("logs")["text"]) == ["a line of text"] * 30
    assert one.captures["wire_sha256"][0] == other.captures["wire_sha256"][0]
    assert differences(other, edgeprof.open(make_capture(tmp_path / "third", "c", [stream(29)]).parent)) != []


@pytest.mark.slow
def test_the_original_pace(tmp_path):
    data = stream()
    folder = make_capture(tmp_path / "data", "c", [b""])
    writer = PortWriter(folder, 0)
    cuts = [(0, 1000), (1000, 1001), (1001, len(data))]
    for (start, end), ms in zip(cuts, (500, 700, 900), strict=True):
        writer.append(data[start:end], ms * 1_000_000)
    writer.close()
    for speed, factor in ((1, 1.0), (4, 0.25)):
        port, came = open_replay(f"replay:{folder}?speed={speed}"), []
        began = time.monotonic()
        while len(came) < 3:
            came += [(part, t / 1e9 - began) for part, t in port.take(0.05)]
        assert [part for part, _ in came] == [data[a:b] for a, b in cuts]
        for (_, seconds), due in zip(came, (0.0, 0.2, 0.4), strict=True):
            assert due * factor <= seconds + 0.001
        assert came[-1][1] < 30
        assert all_of(port) == b""
    port = open_replay(f"replay:{folder}?speed=0.01")
    port.take(0.0)
    began = time.monotonic()
    assert port.take(0.1) == []
    assert 0.1 <= time.monotonic() - began + 0.001


def test_a_kept_file_has_its_own_pace(closed):
    path = sorted(closed.glob("*/*/wire-*.zst"))[1]
    port = open_replay(f"replay:{path}?speed=1000")
    first = port.take(0.0)
    assert first[0][0] + all_of(port) == pa.input_stream(str(path), compression="zstd").read()
    next(iter(closed.glob("*/*/wire-0001-p00.idx.npy"))).unlink()
    assert all_of(open_replay(f"replay:{path}"))
    with pytest.raises(UsageError, match="no read times.*leave out speed"):
        open_replay(f"replay:{path}?speed=1")


def test_two_ports_and_two_captures_must_be_named(tmp_path):
    folder = make_capture(tmp_path / "data", "c", [stream(1), stream(2, boot=8)])
    with pytest.raises(UsageError, match="2 ports.*port=0 to 1"):
        open_replay(f"replay:{folder}")
    assert all_of(open_replay(f"replay:{folder}?port=1")) == stream(2, boot=8)
    sealer.finish(folder)
    assert all_of(open_replay(f"replay:{folder}?port=1&speed=1000")) == stream(2, boot=8)
    with pytest.raises(UsageError, match="no port 2"):
        open_replay(f"replay:{folder}?port=2")
    make_capture(tmp_path / "data", "d", [stream(1)])
    with pytest.raises(UsageError, match=r"2 captures.*capture=c, capture=d"):
        open_replay(f"replay:{tmp_path}/data")


def test_a_capture_without_wire_bytes(tmp_path):
    folder = make_capture(tmp_path / "data", "c", [stream()])
    sealer.finish(folder, keep_days=0)
    with pytest.raises(StorageError, match="did not keep its wire bytes"):
        open_replay(f"replay:{folder}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match="no capture"):
        open_replay(f"replay:{tmp_path}/empty")


def test_damage_is_said(closed):
    path = min(closed.glob("*/*/wire-*.zst"))
    path.write_bytes(b"not zstd at all")
    port = open_replay(f"replay:{path}")
    with pytest.raises(StorageError, match="cannot be read to its end"):
        port.take(1.0)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?speed=fast", "speed is a number"), ("?speed=0", "more than 0"), ("?speed=inf", "more than 0"),
        ("?speed=nan", "more than 0"), ("?port=x", "a whole one"), ("?sped=1", "Did you mean 'speed'"),
        ("?speed=1", "no read times"), ("x", "no file or folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_replayed(tmp_path, query, message):
    (tmp_path / "w.bin").write_bytes(b"x")
    with pytest.raises(UsageError, match=message):
        open_replay(f"replay:{tmp_path}/w.bin{query}")


def test_no_file_at_all():
    with pytest.raises(UsageError, match="no file or folder"):
        parse("replay:")
    assert replay.parse("replay:.").path == Path()


@pytest.mark.slow
def test_what_cannot_be_read_to_its_end_is_an_error(tmp_path: Path) -> None:
    import os

    import pyarrow as pa

    whole = tmp_path / "wire-0000-p00.zst"
    with pa.CompressedOutputStream(str(whole), "zstd") as out:
        out.write(os.urandom(3_000_000))
    cut = tmp_path / "cut.zst"
    cut.write_bytes(whole.read_bytes()[:2_000_000])
    from edgeprof.capture import Source, capture

    result = capture([Source(f"replay:{cut}", "cut")], tmp_path / "data")
    assert "cannot be read to its end" in result.failed["cut"]


@pytest.mark.slow
def test_many_that_end_at_once(tmp_path: Path) -> None:
    from edgeprof.capture import Source, capture

    small = tmp_path / "small.wire"
    small.write_bytes(b"a line\n")
    result = capture([Source(f"replay:{small}", f"b{n}") for n in range(20)], tmp_path / "data")
    assert result.failed == {}
    import edgeprof

    assert list(edgeprof.open(tmp_path / "data").table("logs")["text"]) == ["a line"] * 20
