"""Nothing that a board can send makes the decoder give way, and nothing makes it remember without end."""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from fakeboard import token_record
from integration import fuzz_many
from integration.fuzz_many import STATE_BYTES, run

from edgeprof import wire
from edgeprof.decode import decode_port
from edgeprof.decode_state import PortState


def test_the_fuzzer_gets_past_the_checksums() -> None:
    rng = random.Random(4)
    pieces = [p for _ in range(60) for p in wire.Splitter().feed(fuzz_many._frames(rng))]
    frames = [p.frame for p in pieces if p.frame is not None]
    assert len(frames) > 500
    assert {wire.Type(t) for t in (f.type for f in frames) if t in list(wire.Type)} == set(wire.Type)
    assert any(f.t0 > 2**63 for f in frames) and any(f.n == 0 for f in frames)


def test_the_fuzzer_would_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode_pairs(body: bytes, n: int) -> dict[str, str]:
        return {"n_ctx": str(int(body[:1].decode() or 0))}

    monkeypatch.setattr(wire, "decode_pairs", decode_pairs)
    with pytest.raises(AssertionError, match="stream [0-9]+: "):
        run(20, 1)


ENDLESS: dict[str, Callable[[int], bytes]] = {
    "noise": lambda k: random.Random(k).randbytes(1 << 16).replace(b"\0", b"\1"),
    "a line without an end": lambda k: b"x" * (1 << 16),
    "a line held low": lambda k: bytes(1 << 16),
    "lines": lambda k: b"position,decode_ms\n7,52.25\n" * 150,
    "ever other names": lambda k: b"".join(
        wire.encode_frame(1, wire.encode_pairs({f"key {k} {i}": "v" * 250}), n=1, boot=1, seq=200 * k + i)
        for i in range(200)
    ),
    "a run without a begin": lambda k: b"".join(
        wire.encode_frame(0x10, token_record(0, 1, i, 1) * 30, n=30, boot=1, run=1, seq=60 * k + i) for i in range(60)
    ),
    "ever other runs": lambda k: b"".join(
        wire.encode_frame(0x10, token_record(0, 1, i, 1), n=1, boot=1, run=200 * k + i & 0xFFFF, seq=200 * k + i)
        for i in range(200)
    ),
    "ever other boots": lambda k: b"".join(
        wire.encode_frame(0x20, boot=(20 * k + i) & 0xFFFF, seq=2**31) for i in range(20)
    ),
    "every second frame lost": lambda k: b"".join(
        wire.encode_frame(0x20, boot=1, seq=2 * (200 * k + i)) for i in range(200)
    ),
    "gaps of a billion": lambda k: b"".join(wire.encode_frame(0x20, boot=1, seq=(k * 9 + i) << 20) for i in range(9)),
}  # fmt: skip


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("kind", ENDLESS)
def test_what_never_ends_needs_no_more_memory(kind: str) -> None:
    """Eight segments; what the decoder keeps between them, and behind which byte, is bounded."""
    reads = (np.array([0], np.int64), np.array([0], np.int64))
    state, sent, offset, peak, left = PortState(), b"", 0, 0, []
    tracemalloc.start()
    try:
        for segment in range(8):
            for part in range(6):
                sent += ENDLESS[kind](6 * segment + part)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            _, state = decode_port([sent], state, capture_id="c", port=0, facts={}, reads=reads)
            peak = max(peak, tracemalloc.get_traced_memory()[1] - before)
            sent, offset = sent[state.offset - offset :], state.offset
            left.append(len(sent))
            assert len(json.dumps(state.to_json())) < STATE_BYTES
    finally:
        tracemalloc.stop()
    assert max(left) < 2 << 20, "it waits for ever longer stretches"
    assert peak < 100 << 20


@pytest.mark.once
@pytest.mark.slow
def test_a_minute_of_fuzzing() -> None:
    begin = time.process_time()
    done = run(60, 31)
    # A hundred in a minute, of the time that it got: others may be at work beside it.
    assert done["counts"]["streams"] > 100 * (time.process_time() - begin) / 60
    assert done["counts"]["through Parquet"] > 10 and done["counts"]["compared"] > 3
    assert done["memory_grew_kib"] is None or done["memory_grew_kib"] < 200_000


@pytest.mark.nightly
def test_ten_minutes_of_fuzzing() -> None:
    done = run(600, 32, go_on=True)
    assert done["failures"] == []
    assert done["memory_grew_kib"] < 400_000
