"""Tokens that firmware prints as text: when the host saw them, where a generation begins and ends, what is none."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from fakeboard import FakeBoard
from hypothesis import given
from hypothesis import strategies as st

from edgeprof import prints
from edgeprof.adapters import ADAPTERS, CLOSING, Claim, feed
from edgeprof.adapters.wrappers import log_begin
from edgeprof.decode import decode_port
from edgeprof.decode_state import PortState, Rows
from edgeprof.tables import build

RATE = b"achieved tok/s: 18.587000\r\n"
BOOT = b"\x1b[0;32mI (645) MAIN: Loading Model\x1b[0m\r\n"
STORY = [b"Once", b" upon", b" a", b" time"]
ESP32AI_END = (
    b"\r\n\r\n--- 4 tokens in 2.00 s ---\r\n", b"throughput: 2.00 tok/s   (490.0 ms/token)\r\n",
    b"profile ms/token: input 4.4 | attn 25.6 | ffn 6.9 | ple 8.5 | head 57.6\r\n",
)  # fmt: skip

Read = tuple[int, bytes]


def paced(*reads: bytes, begin: int = 0, step: int = 1000) -> list[Read]:
    """Return reads with the time of each [ns]."""
    return [(begin + step * n, data) for n, data in enumerate(reads, 1)]


def decode(
    reads: list[Read],
    cuts: tuple[int, ...] = (),
    facts: dict[str, Any] | None = None,
    *,
    clipped: bool = False,
    chunk: int = 1 << 20,
) -> tuple[dict[str, list[dict[str, Any]]], PortState]:
    """Decode in segments that end at ``cuts``; ``clipped`` as read times are that sealed segments kept."""
    stream = b"".join(data for _, data in reads)
    offsets = np.cumsum([0, *(len(data) for _, data in reads)])[:-1].astype(np.int64)
    times = np.array([t for t, _ in reads], np.int64)
    state, rows = PortState(), Rows()
    ends = [*sorted(cuts), len(stream)]
    for number, end in enumerate(ends):
        state = PortState.from_json(json.loads(json.dumps(state.to_json())))
        which = slice(max(int(np.searchsorted(offsets, state.offset, side="right")) - 1, 0), None)
        begins = np.maximum(offsets[which], state.offset) if clipped else offsets[which]
        part, state = decode_port(
            [stream[at : min(at + chunk, end)] for at in range(state.offset, end, chunk)], state, capture_id="c",
            port=3, facts=facts or {}, reads=(begins, times[which]), final=number == len(ends) - 1,
        )  # fmt: skip
        rows.extend(part)
    found: dict[str, list[dict[str, Any]]] = {}
    for (name, _), table in build(rows, "c").items():
        found.setdefault(name, []).extend(table.to_pylist())
    return found, state


def runs(*reads: bytes) -> list[list[int]]:
    """Return, for each run that the host saw, when its prints came, in reads."""
    found, _ = decode(paced(*reads))
    ids = [r["run_id"] for r in found.get("runs", [])]
    return [[r["t_host_ns"] // 1000 for r in found["tokens"] if r["run_id"] == run_id] for run_id in ids]


def test_a_generation_as_the_host_saw_it():
    found, _ = decode(paced(BOOT, *STORY, b"\n", RATE), facts={"model_sha256": "ab", "tags": {"desk": "1"}})
    (run,) = found["runs"]
    known = {k: v for k, v in run.items() if v is not None}
    assert known == {
        "capture_id": "c", "run_id": "c/3-0001", "port": 3, "kind": "generate", "clock": "host", "tick_hz": 1e9,
        "status": "ok", "model_sha256": "ab", "tags": '{"desk": "1"}',
    }  # fmt: skip
    common = {"capture_id": "c", "run_id": "c/3-0001", "phase": "unknown", "source": "host"}
    expected = [
        common | {"position": 0, "ticks_start": None, "ticks": None, "t_host_ns": 2000},
        common | {"position": 1, "ticks_start": 0, "ticks": 1000, "t_host_ns": 3000},
        common | {"position": 2, "ticks_start": 1000, "ticks": 1000, "t_host_ns": 4000},
        common | {"position": 3, "ticks_start": 2000, "ticks": 1000, "t_host_ns": 5000},
    ]
    assert [{k: r[k] for k in expected[0]} for r in found["tokens"]] == expected
    unknown = {"window", "token_id", "next_id", "scored", "nll", "top1_id", "n_batch"}
    assert {k for r in found["tokens"] for k in r if r[k] is None} == unknown | {"ticks_start", "ticks"}
    assert [(r["run_id"], r["value"]) for r in found["claims"]] == [("c/3-0001", 18.587)]
    assert [r["text"] for r in found["logs"]] == [BOOT.decode().rstrip(), "Once upon a time", RATE.decode().rstrip()]
    assert {r["run_id"] for r in found["logs"]} == {None}


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        # Where a run begins.
        ((*STORY, b"\n", RATE), [[1, 2, 3, 4]]),
        ((b"ready\n", *STORY, b"\n", RATE), [[1, 2, 3, 4, 5]]),  # nothing says that this is no token
        ((b"Free ram available: 2388432\r\n", *STORY, b"\n", RATE), [[2, 3, 4, 5]]),
        ((b"Free ram", b" available: 23", b"88432\r", b"\n", *STORY, b"\n", RATE), [[5, 6, 7, 8]]),
        ((b"\n", b"\r\n", *STORY, b"\n", RATE), [[3, 4, 5, 6]]),
        ((b"Once", b" upon\x1b[0;31mE (4712) i2c: bus busy\x1b[0m\n", b" a", b" time\n", RATE), [[3, 4]]),
        ((b"Once", b"\nE (4712) i2c: bus busy\n a", b" time\n", RATE), [[2, 3]]),
        ((b"Once\n", b'{"heap_bytes": 5}\n', b" a", b" time\n", RATE), [[3, 4]]),
        # A prompt for a command, or before the first token, is no token, however long it stood there.
        ((b">>> ", *STORY, b"\n", RATE), [[2, 3, 4, 5]]),
        ((b">>> Once", b" upon\n", RATE), [[1, 2]]),
        ((b">>", b"> Once", b" upon\n", RATE), [[2, 3]]),
        ((b"ready\n", b"set\n>>> ", *STORY, b"\n", RATE), [[3, 4, 5, 6]]),
        ((b"ready\n", b"set\n>>> Once", b" upon", b" a\n", RATE), [[2, 3, 4]]),
        ((b">>> ", b"Once", b" upon\x1b[0;32mI (98) LLM: achieved tok/s: 18.5\x1b[0m\n"), [[2, 3]]),
        ((*STORY, *ESP32AI_END[:2], b"cmd> ", *STORY, *ESP32AI_END), [[1, 2, 3, 4], [8, 9, 10, 11]]),
        ((b"cmd> ", b"\n", b"cmd> \n", *STORY, b"\n", RATE), [[4, 5, 6, 7]]),
        ((b">>> Generating tokens...\n", *STORY, b"\n", b">>> Averaged 8.40 tokens/s\n"), [[2, 3, 4, 5]]),
        (
            (b"Generating (1/10)\n", *STORY, b"\n", RATE, b"Generating (2/10)\n", *STORY, b"\n", RATE),
            [[2, 3, 4, 5], [9, 10, 11, 12]],
        ),
        # Where it ends.
        ((*STORY, b"\n" + RATE), [[1, 2, 3, 4]]),
        ((*STORY, b".\n" + RATE), [[1, 2, 3, 4, 5]]),
        ((*STORY, b"\n", b"\n", RATE), [[1, 2, 3, 4]]),
        ((*STORY, b"\n", b"The", b" end\n", RATE), [[1, 2, 3, 4, 5, 6, 7]]),
        ((*STORY, b"\nachie", b"ved tok/s: 1", b"8.5", b"\n"), [[1, 2, 3, 4]]),
        ((*STORY, b"\x1b[0;32mI (98) LLM: achieved", b" tok/s: 18.5\x1b[0m\n"), [[1, 2, 3, 4]]),
        ((*STORY, b".\x1b[0;32mI (98) LLM: achieved tok/s: 18.5\x1b[0m\n"), [[1, 2, 3, 4, 5]]),
        ((*STORY, b"\n", RATE, *STORY, b"\n", RATE), [[1, 2, 3, 4], [7, 8, 9, 10]]),
        ((b"Once", b" upon\n" + RATE + b"The", b" cat\n", RATE), [[1, 2], [2, 3]]),
        ((*STORY, b"\n", *ESP32AI_END, *STORY, *ESP32AI_END), [[1, 2, 3, 4], [9, 10, 11, 12]]),
        # What is none.
        ((*STORY, b"\n"), []),
        ((b"Once upon a time\n" + RATE,), []),  # one print has no time between
        ((b"Once upon a time", b"\n" + RATE), []),
        ((RATE,), []),
        ((RATE, RATE), []),
        ((*STORY, b"\n", b"I (5) a: b\n", RATE), []),
        ((*STORY, b"\nllama_print_timings: load time = 435.83 ms\n", RATE), []),
        ((*STORY, b"\nachieved tok/s: nan\n"), []),
        ((*STORY, b"\nachieved tok/s: 18.5"), []),
        # Damage: neither what came before it nor the rest of the line.
        ((*STORY, b"\0\x01\xff\0", b" and", b" so\n", b"The", b" end\n", RATE), [[8, 9]]),
        # Where a stretch of text ends makes no difference.
        ((BOOT, b"\0\0", *STORY, b"\n", RATE), [[3, 4, 5, 6]]),
        ((BOOT, *[b"y" * 2000] * 4, b"\n", RATE), [[2, 3, 4, 5]]),
        ((*STORY, b"\n\0\0" + RATE), [[1, 2, 3, 4]]),
        # A character in two reads.
        ((b"Jos\xc3", b"\xa9", b" sat\n", RATE), [[1, 2, 3]]),
    ],
)
def test_where_a_run_begins_and_ends(reads, expected):
    assert runs(*reads) == expected


def test_claims_that_close_a_run_belong_to_it_and_later_ones_do_not():
    later = (b"free: sram 120 KB | psram 3.86 MB\r\n", b"more 40\r\n", b"free: sram 120 KB | psram 3.86 MB\r\n")
    found, _ = decode(paced(b"free: sram 1 KB | psram 3 MB\n", *STORY, *ESP32AI_END, b"\r\n", *later))
    of = {"c/3-0001": set(), None: set()}
    for row in found["claims"]:
        of[row["run_id"]].add(row["name"].removeprefix("claimed_"))
    assert of["c/3-0001"] == {
        "generated_tokens", "generate_s", "generated_tok_s", "forward_ms_per_token", "input_ms_per_token",
        "attention_ms_per_token", "feed_forward_ms_per_token", "ple_ms_per_token", "head_ms_per_token", "free_sram_kb",
        "free_psram_mb",
    }  # fmt: skip
    assert of[None] == {"free_sram_kb", "free_psram_mb"}
    assert len([r for r in found["claims"] if r["run_id"] is None]) == 4


def test_rows_of_a_run_stay_together_when_the_device_says_its_name_in_between():
    sent, device = board()
    sent += [*STORY, ESP32AI_END[0]]
    device.hello()
    sent += ESP32AI_END[1:]
    found, _ = decode(paced(*sent))
    of = {r["name"]: r["run_id"] for r in found["claims"]}
    assert (of["claimed_generate_s"], of["claimed_generated_tok_s"]) == ("c/3-0001", None)


def test_every_closing_claim_is_one_that_its_adapter_makes():
    for name, closing in CLOSING.items():
        memories: dict = {}
        found = [feed(line, memories) for line in ADAPTERS[name].example.split("\n")]
        assert set(closing) <= {item.name for _, items in found for item in items if isinstance(item, Claim)}


def test_more_prints_than_are_remembered_make_no_run():
    story = [b"x"] * (prints.MAX_PRINTS - 1)  # and the one with the rate
    found, _ = decode(paced(*story, b"\n" + RATE))
    assert len(found["tokens"]) == prints.MAX_PRINTS - 1
    found, _ = decode(paced(*story, b"y", b"z", b"\n" + RATE, *STORY, b"\n" + RATE))
    assert [r["position"] for r in found["tokens"]] == [0, 1, 2, 3]
    (event,) = found["events"]
    assert (event["kind"], event["port"], event["run_id"], event["start"]) == ("refused", 3, None, 4098000)
    assert event["detail"].startswith("llama2c: more than 4,096 prints before the rate")
    assert [r["run_id"] for r in found["claims"]] == [None, "c/3-0001"]
    _, state = decode([*paced(*story, *story, b"\n")])
    assert len(json.dumps(state.to_json())) < 2000
    _, state = decode(paced(*[b"one line\n", b"of many\r\n"] * 4000))
    assert len(json.dumps(state.to_json())) < 2000


def test_a_line_without_end_is_given_up():
    found, _ = decode(paced(*[b"word "] * 3300, b"and", b" more\n", b"The", b" end\n", RATE))
    assert [r["t_host_ns"] // 1000 for r in found["tokens"]] == [3303, 3304]


def board() -> tuple[list[bytes], FakeBoard]:
    sent: list[bytes] = []
    return sent, FakeBoard(sent.append)


def test_text_in_a_run_of_the_device_is_no_run_of_the_host():
    sent, device = board()
    sent.append(b"Once")
    device.begin()
    sent += [*STORY, b"\n", RATE]
    device.tokens(0, 3, 0)
    sent += [b"more"]
    device.end()
    sent += [b" and", b" more\n", RATE]
    found, _ = decode(paced(*sent))
    by_source = {r["source"]: r["run_id"] for r in found["tokens"]}
    assert by_source == {"device": "c/3-0001", "host": "c/3-0002"}
    assert [r["clock"] for r in found["runs"]] == ["instructions", "host"]
    assert [r["t_host_ns"] // 1000 for r in found["tokens"] if r["source"] == "host"] == [12, 13]
    assert [r["run_id"] for r in found["claims"]] == ["c/3-0001", "c/3-0002"]


def test_a_run_of_the_device_without_text_is_a_boundary():
    sent, device = board()
    sent += [b"Once", b" upon"]
    device.begin()
    device.end()
    sent += [b" a", b" time\n", RATE]
    found, _ = decode(paced(*sent))
    assert [r["t_host_ns"] // 1000 for r in found["tokens"]] == [5, 6]


def test_frames_outside_of_runs_say_whose_it_is_and_a_reset_ends_it():
    sent, device = board()
    device.hello()
    sent += [b"Once", b" upon"]
    device.frame(0x20, in_run=False)
    sent += [b" a\n", RATE, b"The", b" cat"]
    device.reset()
    device.hello()
    sent += [b" sat\n", b"and", b" ate\n", RATE]
    found, _ = decode(paced(*sent))
    known = [(r["board"], r["clock"], r["tick_hz"], r["boot"], r["frames_lost"]) for r in found["runs"]]
    assert known == [("fake", "host", 1e9, None, None)] * 2
    assert [r["t_host_ns"] // 1000 for r in found["tokens"]] == [2, 3, 5, 11, 12]


def test_a_state_from_before_there_were_prints_is_read():
    before = PortState(offset=7).to_json()
    del before["prints"]
    assert PortState.from_json(before) == PortState(offset=7)


def test_without_host_times_there_is_no_run():
    stream = b"".join([*STORY, b"\n", RATE])
    nothing = np.array([], np.int64)
    rows, _ = decode_port([stream], PortState(), capture_id="c", port=0, facts={}, reads=(nothing, nothing), final=True)
    assert {name for name, _ in rows.parts} == {"logs", "claims"}


PIECES = [
    b"cmd> ", b"\n>>> ", b">>", BOOT, RATE, *STORY, *ESP32AI_END,
    b"\n", b"\r\n", b"\r", b"achieved tok/s: 1", b"8.5\n", b"\xc3", b"\xa9",
    b"\x1b[0", b";31mE (1) a: b\n", b"\0\x01\xff\0", b"x" * 3000, b"A" * 5000, b"filler\n" * 700,
    b"$T,a_ms=1*0000\n", b"\0",
]  # fmt: skip


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from(PIECES), st.integers(0, 2)), max_size=30), st.data())
def test_where_a_segment_or_chunk_ends_makes_no_difference(parts: list[tuple[bytes, int]], data: st.DataObject) -> None:
    device = FakeBoard(lambda _: None)
    reads, now = list[Read](), 0
    for number, (part, pause) in enumerate(parts):
        now += pause  # without one, a read that a segment's end cut in two
        reads.append((now, device.frame(0x20, in_run=False) if number % 7 == 6 else part))
    cuts = tuple(data.draw(st.lists(st.integers(0, sum(len(d) for _, d in reads)), max_size=5)))
    whole = decode(reads)
    assert decode(reads, cuts) == whole
    assert decode(reads, cuts, clipped=True) == whole
    assert decode(reads, chunk=data.draw(st.integers(1, 9000))) == whole


@pytest.mark.parametrize(
    ("line", "begin"),
    [
        ("I (660) LLM: x", 0), ("\x1b[0;32mI (660) LLM: x", 0), ("  I (660) LLM: x", None), ("Once", None), ("", None),
        ("tea\x1b[0;32mI (6) a: x\x1b[0m\x1b[0;31mE (7) a: y", 3), ("\x1b[32mOnce\x1b[0m", None),
        ("0.00.064.607 I llama", 0),
    ],
)  # fmt: skip
def test_where_a_log_library_s_line_begins(line, begin):
    assert log_begin(line) == begin
