"""The wire: frames to bytes and back, and what damage does to them."""

from __future__ import annotations

import itertools
import random
import struct
import tracemalloc
import zlib

import pytest
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st

from edgeprof import wire
from edgeprof.errors import UsageError

U16, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
TEXT = b"boot: 3 models found\r\n"


@st.composite
def frames(draw: st.DrawFn) -> wire.Frame:
    """Draw any valid frame, of a known type or not."""
    type_ = draw(st.sampled_from([*wire.Type, 0x42]))
    size = wire.RECORD_BYTES.get(type_)
    n = 1 if type_ == wire.Type.RUN_END else draw(st.integers(0, 8)) if size else draw(U16)
    body = draw(st.binary(min_size=n * size, max_size=n * size) if size else st.binary(max_size=600))
    if type_ == wire.Type.POWER:
        n %= wire.POWER_SAMPLES + 1
        body = (body + b"\1\2\3\0" * 200)[: 8 + 2 * n]
    if type_ == wire.Type.LOGITS:
        body = (body + bytes(8))[: 8 + 4 * ((max(len(body), 8) - 8) // 4)]
        n = (len(body) - 8) // 4
    return wire.Frame(type_, draw(U16), draw(U16), n, draw(U32), draw(U64), draw(U32), body)


def encode(f: wire.Frame) -> bytes:
    return wire.encode_frame(f.type, f.body, n=f.n, boot=f.boot, run=f.run, seq=f.seq, t0=f.t0, dt=f.dt)


def split(data: bytes, *cuts: int, finish: bool = True) -> list[wire.Piece]:
    splitter = wire.Splitter()
    edges = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    pieces = [p for a, b in itertools.pairwise(edges) for p in splitter.feed(data[a:b])]
    return pieces + (list(splitter.finish()) if finish else [])


def short_stream() -> tuple[bytes, list[wire.Frame]]:
    """Return six frames of different types with text between two of them."""
    made = [
        wire.Frame(wire.Type.HELLO, 1, 0, 1, 0, 5, 0, wire.encode_pairs({"board": "fake"})),
        wire.Frame(wire.Type.RUN_BEGIN, 1, 1, 1, 1, 9, 0, wire.encode_pairs({"kind": "score"})),
        wire.Frame(wire.Type.TOKENS, 1, 1, 2, 2, 9, 1, bytes(range(60))),
        wire.Frame(wire.Type.MEMORY, 1, 1, 1, 3, 9, 1, b"\0" * 20),
        wire.Frame(wire.Type.HEARTBEAT, 1, 0, 0, 4, 2**63, 0, b""),
        wire.Frame(wire.Type.RUN_END, 1, 1, 1, 5, 9, 0, b"\xff" * 40),
    ]
    parts = [encode(f) for f in made]
    return b"".join([*parts[:3], TEXT, *parts[3:]]), made


@given(frames())
def test_every_frame_comes_back(frame: wire.Frame) -> None:
    data = encode(frame)
    assert data.count(0) == 2
    assert data[0] == data[-1] == 0
    assert [p.frame for p in split(data)] == [frame]


def test_layout_is_that_of_the_protocol() -> None:
    data = wire.encode_frame(0x20, b"", n=0, boot=0x0201, run=0x0403, seq=0x08070605, t0=9, dt=10)
    payload = cobs.decode(data[1:-1])
    assert payload[:24] == b"\x20\x01\x01\x02\x03\x04\x00\x00\x05\x06\x07\x08" + struct.pack("<QI", 9, 10)
    assert len(payload) == 28


@given(st.lists(st.one_of(frames().map(encode), st.just(TEXT), st.binary(max_size=50)), max_size=6), st.data())
def test_how_a_stream_is_cut_makes_no_difference(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    whole = split(stream)
    assert split(stream, *cuts) == whole
    assert split(stream, *range(len(stream))) == whole
    ends = [p.end for p in whole]
    assert ends == sorted(set(ends))
    for piece in whole:
        assert stream[piece.start : piece.start + len(piece.data)] == piece.data
        assert piece.end - piece.start - len(piece.data) in (0, 1)


@pytest.mark.slow
@given(st.binary(min_size=4000, max_size=15000), st.lists(st.integers(0, 15000), max_size=5))
def test_long_stretches_are_cut_alike(noise: bytes, cuts: list[int]) -> None:
    stream = noise.replace(b"\0", b"x") + b"\0" + noise
    assert split(stream, *cuts) == split(stream)


def damaged(stream: bytes, kind: str, at: int, value: int) -> tuple[bytes, range]:
    """Return a stream with one fault, and the original offsets that it touches."""
    if kind == "flip":
        return stream[:at] + bytes([stream[at] ^ value]) + stream[at + 1 :], range(at, at + 1)
    if kind == "drop":
        return stream[:at] + stream[at + 1 :], range(at, at + 1)
    if kind == "double":
        return stream[:at] + stream[at : at + 1] + stream[at:], range(at, at + 1)
    return stream[:at] + bytes([value]) + stream[at:], range(max(at - 1, 0), at + 1)


def check_damage(stream: bytes, sent: list[wire.Frame], kind: str, at: int, value: int) -> None:
    broken, touched = damaged(stream, kind, at, value)
    pieces = split(broken)
    got = [p.frame for p in pieces if p.frame is not None]
    # Nothing that was not sent is taken for a frame, in the order in which it was sent.
    assert [f for f in sent if f in got] == got
    # Every frame of which no byte was touched is there.
    spans = {p.frame.seq: range(p.start - 1, p.end) for p in split(stream) if p.frame is not None}
    for frame in sent:
        if not set(spans[frame.seq]) & set(touched):
            assert frame in got, (kind, at, value)
    # And every byte is accounted for: in a frame, in text, in damage, or a zero.
    assert sum(len(p.data) for p in pieces) == len(broken) - broken.count(0)


def test_every_flipped_bit_of_a_short_stream() -> None:
    stream, sent = short_stream()
    for at in range(len(stream)):
        for bit in range(8):
            check_damage(stream, sent, "flip", at, 1 << bit)


def test_every_dropped_doubled_and_inserted_byte_of_a_short_stream() -> None:
    stream, sent = short_stream()
    for at in range(len(stream)):
        check_damage(stream, sent, "drop", at, 0)
        check_damage(stream, sent, "double", at, 0)
        for value in (0, 1, 0x41, 0xFF):
            check_damage(stream, sent, "insert", at, value)


@given(
    st.lists(frames(), min_size=1, max_size=5, unique_by=lambda f: f.seq),
    st.sampled_from(["flip", "drop", "double", "insert"]),
    st.integers(0, 2**32),
    st.integers(1, 255),
)
def test_no_fault_makes_a_frame(sent: list[wire.Frame], kind: str, at: int, value: int) -> None:
    stream = b"".join(map(encode, sent))
    check_damage(stream, sent, kind, at % len(stream), value)


@pytest.mark.parametrize("change", ["version", "crc", "records", "short"])
def test_a_payload_that_does_not_fit_is_damage(change: str) -> None:
    body = b"\0" * 30
    n = 2 if change == "records" else 1
    payload = struct.pack("<BBHHHIQI", 0x10, 2 if change == "version" else 1, 0, 1, n, 0, 0, 0) + body
    crc = zlib.crc32(payload) ^ (change == "crc")
    payload += struct.pack("<I", crc)
    if change == "short":
        payload = payload[:20]
    piece = cobs.encode(payload)
    assert wire.decode_frame(piece) is None
    assert [p.kind for p in split(b"\0" + piece + b"\0")] == [wire.Kind.DAMAGE]


@pytest.mark.parametrize(("n", "size"), [(0, 0), (2, 80), (1, 39), (65535, 40)])
def test_a_run_end_has_one_record(n: int, size: int) -> None:
    assert [p.frame for p in split(wire.encode_frame(wire.Type.RUN_END, b"\1" * size, n=n))] == [None]


@pytest.mark.parametrize(
    ("n", "size", "good"),
    [(0, 8, True), (250, 508, True), (251, 510, False), (250, 506, False), (250, 507, False), (1, 8, False),
     (0, 0, False), (0, 7, False), (65535, 8 + 2 * 65535 % 65536, False), (2030, 4068, False)],
)  # fmt: skip
def test_a_power_frame_holds_its_samples_and_at_most_250(n: int, size: int, good: bool) -> None:
    body = (b"\1\2" * 3000)[:size] if size < 4069 else b""
    (piece,) = split(wire.encode_frame(wire.Type.POWER, body, n=n, dt=5))
    assert piece.kind is (wire.Kind.FRAME if good else wire.Kind.DAMAGE)


@pytest.mark.parametrize(
    ("n", "size", "good"),
    [(0, 8, True), (240, 968, True), (1014, 4064, True), (1, 8, False), (0, 7, False), (1, 11, False), (1, 13, False),
     (65535, 8, False)],
)  # fmt: skip
def test_a_logits_frame_holds_as_many_as_it_says(n: int, size: int, good: bool) -> None:
    (piece,) = split(wire.encode_frame(wire.Type.LOGITS, b"\1\2" * (size // 2) + b"\3" * (size % 2), n=n))
    assert piece.kind is (wire.Kind.FRAME if good else wire.Kind.DAMAGE)


def test_what_a_power_frame_says_before_its_samples() -> None:
    body = struct.pack("<IHBB", 610_000, 3300, 2, 0)
    assert body == b"\xd0\x4e\x09\x00\xe4\x0c\x02\x00"
    assert wire.decode_power(body + b"\1\2") == (610_000, 3300, 2)
    assert wire.decode_power(b"\0\0\0\0\xff\xff\0\0") == (0, None, 0)


def test_text_between_frames() -> None:
    stream, sent = short_stream()
    pieces = split("überall\n".encode() + stream + b"\x1b[31mred\x1b[0m\n\0\x07bell\0")
    assert [p.data for p in pieces if p.kind is wire.Kind.TEXT] == ["überall\n".encode(), TEXT, b"\x1b[31mred\x1b[0m\n"]
    assert [p.data for p in pieces if p.kind is wire.Kind.DAMAGE] == [b"\x07bell"]
    assert [p.frame for p in pieces if p.frame] == sent


def feed_megabytes(chunk: bytes, times: int) -> tuple[int, int, int]:
    """Return bytes in pieces, the longest piece, and the peak of memory."""
    splitter, total, longest = wire.Splitter(), 0, 0
    tracemalloc.start()
    for _ in range(times):
        for piece in splitter.feed(chunk):
            assert piece.frame is None
            total += len(piece.data)
            longest = max(longest, len(piece.data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    rest = [len(p.data) for p in splitter.finish()]
    assert splitter.consumed == len(chunk) * times
    return total + sum(rest), max(longest, *rest, 0), peak


@pytest.mark.parametrize("chunk", [b"x" * 65536, b"line\n" * 13107, b"\xff" * 65536, b"\0" * 65536])
def test_ten_megabytes_of_anything_take_no_memory(chunk: bytes) -> None:
    total, longest, peak = feed_megabytes(chunk, 160)
    assert total == (0 if chunk[0] == 0 else len(chunk) * 160)
    assert longest <= wire.MAX_ENCODED
    assert peak < 12e6  # the zeros of one chunk, split


def test_noise_makes_no_frame() -> None:
    noise = random.Random(5)
    for _ in range(40):
        total, longest, _ = feed_megabytes(noise.randbytes(65536), 1)
        assert longest <= wire.MAX_ENCODED
        assert total > 60000


def test_a_frame_behind_a_stretch_that_is_too_long_is_found() -> None:
    stream, sent = short_stream()
    assert [p.frame for p in split(b"y" * 20000 + stream) if p.frame] == sent
    # What ends a stretch that was too long is no frame, even if it would be one on its own.
    tail = stream[1 : stream.index(0, 1)]
    assert not [p for p in split(b"y" * wire.MAX_ENCODED + tail + b"\0") if p.frame]


def test_a_frame_is_at_most_4096_bytes() -> None:
    room = wire.MAX_PAYLOAD - 28
    assert split(wire.encode_frame(0x55, b"\xff" * room))[0].frame is not None
    with pytest.raises(ValueError, match="at most 4096"):
        wire.encode_frame(0x55, b"\xff" * (room + 1))


@given(st.dictionaries(st.text(max_size=40), st.text(max_size=60), max_size=8))
def test_pairs_come_back(pairs: dict[str, str]) -> None:
    assert wire.decode_pairs(wire.encode_pairs(pairs), len(pairs)) == pairs


@given(st.binary(max_size=300), U16)
def test_hostile_bodies_never_raise(body: bytes, n: int) -> None:
    pairs = wire.decode_pairs(body, n)
    assert sum(len(k.encode()) for k in pairs) <= 3 * len(body)
    assert len(wire.decode_reply(body)) == 3
    assert isinstance(wire.is_text(body), bool)


def test_pairs_that_are_cut_short_are_left_out() -> None:
    body = wire.encode_pairs({"a": "1", "b": "2"})
    assert wire.decode_pairs(body[:-1], 2) == {"a": "1"}
    assert wire.decode_pairs(body, 65535) == {"a": "1", "b": "2"}
    assert wire.decode_pairs(body, 1) == {"a": "1"}


def test_requests() -> None:
    frame = split(wire.run_request(513, "Once upon", 64, label="p1", temperature=0.5, seed=7))[0].frame
    assert frame is not None
    assert (frame.type, frame.run, frame.seq) == (0x82, 513, 513)
    assert frame.body == struct.pack("<HBBIf", 64, 1, 2, 7, 0.5) + b"p1Once upon"
    frame = split(wire.score_request(2, 1, 3, [1, 2, 300], 1, label="e"))[0].frame
    assert frame is not None
    assert frame.body == struct.pack("<HHHHBB2x", 1, 3, 3, 1, 1, 2) + b"e" + struct.pack("<HHH", 1, 2, 300)
    asked = split(wire.score_request(2, 1, 3, [1, 2, 300], 1, label="e", logits=True))[0].frame
    assert asked is not None
    assert asked.body == frame.body[:10] + b"\1" + frame.body[11:]  # what was padding in edgeprof 0.1
    frame = split(wire.score_request(2, 1, 3, [1, 70000], 1, label="e"))[0].frame
    assert frame is not None
    assert frame.body.endswith(struct.pack("<II", 1, 70000))
    assert all(wire.from_host(f) for f in [frame, split(wire.hello_request(1))[0].frame] if f)
    assert not wire.from_host(short_stream()[1][0])


@pytest.mark.parametrize(
    "make",
    [
        lambda: wire.run_request(1, "x" * 5000, 4, label="p"),
        lambda: wire.run_request(1, "x", 70000, label="p"),
        lambda: wire.run_request(1, "x", 4, label="p", seed=-1),
        lambda: wire.score_request(1, 0, 1, list(range(3000)), 1, label="p"),
        lambda: wire.score_request(1, 0, 1, [-1], 1, label="p"),
        lambda: wire.score_request(1, 0, 1, [2**40], 1, label="p"),
    ],
)
def test_what_does_not_fit_a_request_is_said(make) -> None:
    with pytest.raises(UsageError):
        make()
