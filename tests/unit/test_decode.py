"""Decoding: known answers, losses, resets, and that it makes no difference where a segment ends."""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from fakeboard import PAIRS, TOKEN, FakeBoard, make_capture, token_record
from hypothesis import given
from hypothesis import strategies as st

import edgeprof
from edgeprof import wire
from edgeprof.decode import decode_port
from edgeprof.decode_state import PortState, Rows
from edgeprof.schema import TABLES
from edgeprof.seal import seal
from edgeprof.tables import build

FACTS = {"emulator": "none", "model_sha256": "abc", "tags": {"shelf": "3"}}


class Sent:
    """What a board sent, frame by frame, so that a test can lose some."""

    def __init__(self, **options: Any) -> None:
        self.parts: list[bytes] = []
        self.board = FakeBoard(self.parts.append, **options)

    def without(self, *numbers: int) -> bytes:
        return b"".join(p for i, p in enumerate(self.parts) if i not in numbers)


def reads_of(data: bytes, step: int = 97) -> tuple[np.ndarray, np.ndarray]:
    """Return reads of ``step`` bytes, one every microsecond."""
    offsets = np.arange(0, max(len(data), 1), step, dtype=np.int64)
    return offsets, np.arange(1, len(offsets) + 1, dtype=np.int64) * 1000


def tables(rows: Rows) -> dict[str, list[dict[str, Any]]]:
    """Return every table's rows in one order, whatever group they are in."""
    out: dict[str, list[dict[str, Any]]] = {}
    for (name, _), table in build(rows, "c").items():
        out.setdefault(name, []).extend(table.to_pylist())
    return {name: sorted(found, key=lambda r: json.dumps(r, sort_keys=True)) for name, found in out.items()}


def decode(data: bytes, cuts: tuple[int, ...] = (), *, final: bool = True, **options: Any) -> tuple[Rows, PortState]:
    """Decode in segments that end at ``cuts``; the state goes through JSON in between."""
    state, rows = PortState(), Rows()
    ends = [*sorted(cuts), len(data)]
    for number, end in enumerate(ends):
        state = PortState.from_json(json.loads(json.dumps(state.to_json())))
        part, state = decode_port(
            [data[state.offset : end]], state, capture_id="c", port=2, facts=FACTS, reads=reads_of(data),
            final=final and number == len(ends) - 1, **options,
        )  # fmt: skip
        rows.extend(part)
    return rows, state


def one_run(**more: Any) -> Sent:
    sent = Sent()
    sent.board.hello()
    sent.board.now = 5000
    sent.board.generate("p1", 4, 8, **more)
    return sent


def test_a_run_row() -> None:
    (row,) = tables(decode(one_run().without())[0])["runs"]
    ticks = sum(110 + p for p in range(11))
    expected = {
        "capture_id": "c", "run_id": "c/2-0001", "port": 2, "boot": 7, "kind": "generate", "board": "fake",
        "core": "none", "clock": "instructions", "tick_hz": None, "board_clock_hz": 1e6, "emulator": "none",
        "firmware": "fake 1", "model": "toy", "model_sha256": "abc", "arch": "llama", "n_params": 1000, "quant": "Q8_0",
        "model_bytes": 2000, "prompt_id": "p1", "n_prompt": 4, "n_generate": 8, "n_generated": 8, "n_ctx": 16,
        "sampler": "greedy", "status": "ok", "ram_bytes": 1000, "flash_bytes": 5000, "ram_needed_bytes": 900,
        "flash_needed_bytes": 2000, "ticks_total": ticks, "passes": 11, "passes_received": 11, "frames_lost": 0,
        "tags": '{"shelf": "3"}',
    }  # fmt: skip
    assert row == {c.name: None for c in TABLES["runs"]} | expected


def test_token_rows() -> None:
    sent = one_run()
    data = sent.without()
    rows = tables(decode(data)[0])["tokens"]
    rows.sort(key=lambda r: r["position"])
    start = 0
    frame_ends = [len(b"".join(sent.parts[:k])) for k in (3, 4)]
    for p, row in enumerate(rows):
        end = frame_ends[0] if p < 4 else frame_ends[1]
        assert row == {
            "capture_id": "c", "run_id": "c/2-0001", "window": None, "position": p,
            "phase": "prefill" if p < 4 else "decode", "token_id": p + 1, "next_id": p + 2, "scored": False,
            "nll": p / 8, "top1_id": p + 2, "n_batch": 1, "ticks_start": start, "ticks": 100 + p,
            "t_host_ns": ((end - 1) // 97 + 1) * 1000, "source": "device",
        }  # fmt: skip
        start += 110 + p
    assert len(rows) == 11


def test_score_rows_have_windows() -> None:
    sent = Sent()
    sent.board.begin(kind="score")
    sent.board.tokens(0, 3, 2, window=4, scored=True)
    sent.board.end()
    rows = tables(decode(sent.without())[0])["tokens"]
    assert [(r["phase"], r["window"], r["scored"]) for r in rows] == [("score", 4, True)] * 3


def test_flags_say_what_is_unknown() -> None:
    sent = Sent()
    sent.board.begin()
    record = TOKEN.pack(0, 1, 2, 3, 4, 5.5, 6, 0xFFFF, 9, 1)
    sent.board.frame(wire.Type.TOKENS, record, 1)
    (row,) = tables(decode(sent.without())[0])["tokens"]
    assert (row["next_id"], row["nll"], row["top1_id"], row["token_id"], row["n_batch"]) == (None, None, None, 2, 9)
    assert row["phase"] == "decode"


def test_times_are_scaled_and_64_bits_wide() -> None:
    sent = Sent()
    sent.board.now = 2**63 + 7
    sent.board.begin()
    body = token_record(2**32 - 1, 2**32 - 2, 0, 1) + token_record(3, 4, 1, 1)
    sent.board.frame(wire.Type.TOKENS, body, 2, t0=2**63 + 100, dt=1024)
    sent.board.frame(wire.Type.TOKENS, body, 2, t0=2**63 + 100, dt=0)
    sent.board.frame(wire.Type.STAGES, struct.pack("<HBBI", 0, 1, 0, 2**32 - 1), 1, dt=8)
    sent.board.frame(wire.Type.MEMORY, struct.pack("<IIIII", 2**32 - 1, 1, 2, 3, 4), 1, t0=2**63 + 7, dt=2)
    sent.board.frame(wire.Type.EVENT, struct.pack("<IBBH", 5, 1, 0, 0), 1, t0=2**63 + 8, dt=4)
    got = tables(decode(sent.without())[0])
    times = {(r["ticks_start"], r["ticks"]) for r in got["tokens"]}
    assert times == {
        (93 + 1024 * (2**32 - 1), 1024 * (2**32 - 2)), (93 + 3072, 4096), (93 + 2**32 - 1, 2**32 - 2), (96, 4),
    }  # fmt: skip
    assert [r["ticks"] for r in got["stages"]] == [8 * (2**32 - 1)]
    assert [r["ticks"] for r in got["memory"]] == [2 * (2**32 - 1)]
    assert [r["ticks"] for r in got["events"] if r["kind"] == "mark"] == [21]


@pytest.mark.parametrize("t0", [0, 2**64 - 1])
def test_times_that_no_clock_has_are_unknown_not_wrong(t0: int) -> None:
    sent = Sent()
    sent.board.now = 2**63 if t0 == 0 else 0
    sent.board.begin()
    for type_, body in (
        (wire.Type.TOKENS, token_record(2**32 - 1, 2**32 - 1, 0, 1)),
        (wire.Type.STAGES, struct.pack("<HBBI", 0, 1, 0, 2**32 - 1)),
        (wire.Type.MEMORY, struct.pack("<IIIII", 2**32 - 1, 1, 2, 3, 4)),
        (wire.Type.EVENT, struct.pack("<IBBH", 5, 1, 0, 0)),
        (wire.Type.POWER, wire.POWER.pack(2**32 - 1, 3300, 0) + b"\xff\xff"),
    ):
        sent.board.frame(type_, body, 1, t0=t0, dt=2**32 - 1)
    sent.board.frame(wire.Type.RUN_END, b"\xff" * 40, 1, t0=0)
    got = tables(decode(sent.without())[0])
    assert [r["current_ua"] for r in got["power"]] == [65535 * (2**32 - 1) / 1000]
    for name in ("tokens", "stages", "memory", "power"):
        assert [r["ticks"] for r in got[name]] == [None]
    assert got["tokens"][0]["ticks_start"] is None
    (run,) = got["runs"]
    assert (run["ticks_total"], run["status"]) == (None, "error")


def test_stages_memory_and_events() -> None:
    sent = Sent()
    sent.board.now = 100
    sent.board.begin()
    sent.board.stages(3, [10, 20, 30, 40, 50, 60, 70])
    sent.board.memory(11, 1, 2, 3, 4)
    sent.board.memory(12, 0xFFFFFFFF, 2, 0xFFFFFFFF, 4)
    sent.board.event(13, 1, 9)
    sent.board.event(14, 2, 8)
    sent.board.event(15, 77, 0)
    got = tables(decode(sent.without())[0])
    names = ["embedding", "attention", "feed_forward", "head", "sampling", "other", "other"]
    assert sorted((r["ticks"], r["stage"]) for r in got["stages"]) == list(zip(range(10, 80, 10), names, strict=True))
    assert {r["position"] for r in got["stages"]} == {3}
    memory = [tuple(r[c.name] for c in TABLES["memory"][2:]) for r in got["memory"]]
    assert sorted(memory) == [(11, 1, 2, 3, 4), (12, None, 2, None, 4)]
    events = [(r["kind"], r["ticks"], r["detail"], r["run_id"], r["port"]) for r in got["events"]]
    assert sorted(events) == [
        ("gpio edge", 14, "id 8", "c/2-0001", 2),
        ("kind 77", 15, "id 0", "c/2-0001", 2),
        ("mark", 13, "id 9", "c/2-0001", 2),
    ]


def power(sent: Sent, counts: list[int], *, t0: int, dt: int = 10, in_run: bool = True, **head: int) -> None:
    """Send a block of current samples."""
    said = {"unit_na": 1000, "voltage_mv": 3300, "meter": 0} | head
    body = wire.POWER.pack(said["unit_na"], said["voltage_mv"], said["meter"])
    body += struct.pack(f"<{len(counts)}H", *counts)
    sent.board.frame(wire.Type.POWER, body, len(counts), in_run=in_run, t0=t0, dt=dt)


def test_logits_rows() -> None:
    sent = Sent()
    sent.board.hello()
    sent.board.begin(kind="score")
    sent.board.tokens(4, 1, 2, window=3, scored=True)
    sent.board.logits(4, 0, [0.5, -1.25], window=3)
    sent.board.logits(4, 2, [3e38, float("inf"), -0.0], window=3)
    sent.board.logits(65535, 2**31, [1.0], window=0xFFFF)  # beyond what a column holds: unknown
    sent.board.logits(5, 0, [])
    sent.board.end()
    rows, state = decode(sent.without())
    found = [list(row.values())[2:] for row in tables(rows)["logits"]]
    of_three = [[3, 4, 0, [0.5, -1.25]], [3, 4, 2, [float(np.float32(3e38)), float("inf"), -0.0]]]
    assert found == [*of_three, [None, 65535, None, [1.0]]]
    assert tables(rows)["runs"][0]["frames_lost"] == state.lost == 0
    # They are of a run or of nobody.
    alone = Sent()
    for _ in range(5):
        alone.board.frame(wire.Type.LOGITS, bytes(12), 1, in_run=False)
    assert "logits" not in tables(decode(alone.without())[0])


def test_a_chunk_that_is_lost_leaves_its_position_without_the_whole_vocabulary() -> None:
    sent = Sent()
    sent.board.hello()
    sent.board.begin(kind="score")
    for position in range(8):
        for first in (0, 240, 480):
            sent.board.logits(position, first, [1.0] * (32 if first == 480 else 240))
    sent.board.end()
    lost = 2 + 3 * 5 + 1
    rows, state = decode(sent.without(lost))
    got = tables(rows)
    assert got["runs"][0]["frames_lost"] == state.lost == 1
    whole = {p: sorted(r["first_id"] for r in got["logits"] if r["position"] == p) for p in range(8)}
    assert whole == {p: [0, 480] if p == 5 else [0, 240, 480] for p in range(8)}


def test_frames_of_a_type_that_is_not_known_are_counted_and_nothing_else() -> None:
    """A later version's: what an edgeprof from before LOGITS makes of those."""
    sent = Sent()
    sent.board.hello()
    sent.board.begin()
    for k in range(6):
        sent.board.tokens(3 * k, 3, 1)
        sent.board.frame(0x16, bytes(range(100)), 25)
    sent.board.end()
    rows, state = decode(sent.without())
    got = tables(rows)
    assert (state.frames, state.lost, state.discarded, state.duplicates) == (15, 0, 0, 0)
    assert (got["runs"][0]["frames_lost"], got["runs"][0]["passes_received"]) == (0, 18)
    assert set(got) == {"runs", "tokens"}
    # One that is lost is seen to be.
    rows, state = decode(sent.without(3))
    assert (tables(rows)["runs"][0]["frames_lost"], state.lost) == (1, 1)


def test_power_rows() -> None:
    sent = Sent()
    sent.board.hello()
    power(sent, [7, 8], t0=90, in_run=False, meter=3)
    sent.board.now = 100
    sent.board.begin()
    power(sent, [0, 65535], t0=120, unit_na=1500)
    power(sent, [5], t0=140, dt=1, voltage_mv=0xFFFF)
    sent.board.tokens(0, 2, 0)
    power(sent, [], t0=150)
    sent.board.end()
    power(sent, [9], t0=400, in_run=False)
    data = sent.without()
    rows = tables(decode(data)[0])["power"]
    frame_ends = [len(b"".join(sent.parts[: k + 1])) for k in (1, 3, 4, 8)]
    idle, first, second, after = (((end - 1) // 97 + 1) * 1000 for end in frame_ends)
    common = {"capture_id": "c", "port": 2}
    run = common | {"run_id": "c/2-0001", "meter": "board"}
    expected = [
        common | {"run_id": None, "ticks": None, "t_host_ns": idle, "current_ua": 7.0, "voltage_mv": 3300,
                  "meter": "meter 3"},
        common | {"run_id": None, "ticks": None, "t_host_ns": idle, "current_ua": 8.0, "voltage_mv": 3300,
                  "meter": "meter 3"},
        run | {"ticks": 20, "t_host_ns": first, "current_ua": 0.0, "voltage_mv": 3300},
        run | {"ticks": 30, "t_host_ns": first, "current_ua": 98302.5, "voltage_mv": 3300},
        run | {"ticks": 40, "t_host_ns": second, "current_ua": 5.0, "voltage_mv": None},
        common | {"run_id": None, "ticks": None, "t_host_ns": after, "current_ua": 9.0, "voltage_mv": 3300,
                  "meter": "board"},
    ]  # fmt: skip
    order = lambda r: (r["t_host_ns"], r["current_ua"])  # noqa: E731
    assert sorted(rows, key=order) == sorted(expected, key=order)
    assert [r["passes_received"] for r in tables(decode(data)[0])["runs"]] == [2]


def test_lost_blocks_and_samples_that_the_board_left_out_show_in_the_ticks() -> None:
    sent = Sent()
    sent.board.begin()
    for block in range(4):
        # The board paused for 1000 ticks before the last block.
        power(sent, [block] * 250, t0=2500 * block + (1000 if block == 3 else 0))
    sent.board.end()
    got = tables(decode(sent.without(2))[0])
    ticks = sorted(r["ticks"] for r in got["power"])
    steps = [(a, b - a) for a, b in itertools.pairwise(ticks) if b - a != 10]
    assert steps == [(2490, 2510), (7490, 1010)]
    assert len(ticks) == 750
    assert [(e["kind"], e["detail"]) for e in got["events"]] == [("gap", "1 frames missing before frame 3")]
    assert got["runs"][0]["frames_lost"] == 1
    # A second copy of a block adds no samples.
    again = sent.without() + sent.parts[1]
    assert len(tables(decode(again)[0])["power"]) == 1000


def test_power_is_a_table_of_the_data_set(tmp_path: Path) -> None:
    sent = Sent()
    sent.board.begin()
    power(sent, [1, 2, 3], t0=5)
    sent.board.end()
    seal(make_capture(tmp_path, "c", [sent.without()]), final=True)
    table = edgeprof.open(tmp_path).table("power", columns=["ticks", "current_ua", "voltage_mv", "meter", "run_id"])
    assert list(table["ticks"]) == [5, 15, 25]
    assert list(table["current_ua"]) == [1.0, 2.0, 3.0]
    assert (set(table["voltage_mv"]), set(table["meter"]), set(table["run_id"])) == ({3300}, {"board"}, {"c/0-0001"})


def test_power_before_the_first_run_begin_waits_for_the_next() -> None:
    sent = Sent()
    sent.board.now = 1000
    sent.board.begin()
    power(sent, [1, 2], t0=1100)
    power(sent, [3], t0=1150, in_run=False)
    sent.board.repeat_begin()
    sent.board.end()
    rows = tables(decode(sent.without(0))[0])["power"]
    assert sorted((r["current_ua"], r["ticks"], r["run_id"]) for r in rows) == [
        (1.0, 100, "c/2-0001"), (2.0, 110, "c/2-0001"), (3.0, None, None),
    ]  # fmt: skip


def test_a_power_frame_that_is_too_large_is_damage() -> None:
    sent = Sent()
    sent.board.begin()
    power(sent, [1] * 251, t0=0)
    sent.board.end()
    rows, state = decode(sent.without())
    assert "power" not in tables(rows)
    assert state.discarded == len(sent.parts[1]) - 2


def test_lines_have_the_time_of_their_own_last_byte() -> None:
    data = b"one\r\ntwo\n\n" + b"three" + one_run().without()
    state = PortState()
    offsets = np.array([0, 4, 9, 15], np.int64)
    reads = (offsets, np.array([10, 20, 30, 40], np.int64))
    rows, _ = decode_port([data], state, capture_id="c", port=0, facts={}, reads=reads, final=True)
    got = tables(rows)["logs"]
    assert sorted((r["t_host_ns"], r["text"]) for r in got) == [(20, "one"), (20, "two"), (30, "three")]


def test_the_first_frame_lost() -> None:
    sent = one_run()
    sent.board.now += 10
    got = tables(decode(sent.without(0))[0])
    assert len(got["tokens"]) == 11
    assert "events" not in got  # what was sent before the capture began is no loss


def test_run_begin_lost_and_repeated() -> None:
    sent = Sent()
    sent.board.hello()
    sent.board.now = 1000
    sent.board.begin(prompt_id="p")
    sent.board.tokens(0, 4, 0)
    sent.board.memory(5, 1, 1, 1, 1)
    sent.board.repeat_begin(prompt_id="p")
    sent.board.tokens(4, 4, 1)
    sent.board.end()
    whole, lost = tables(decode(sent.without())[0]), tables(decode(sent.without(1))[0])
    strip = ["t_host_ns"]
    for name in ("tokens", "memory"):
        a, b = ([{k: v for k, v in r.items() if k not in strip} for r in t[name]] for t in (whole, lost))
        assert a == b
    assert lost["runs"] == [whole["runs"][0] | {"frames_lost": 1}]
    assert [r["detail"] for r in lost["events"]] == ["1 frames missing before frame 2"]


def test_every_run_begin_lost_leaves_the_run_end() -> None:
    sent = one_run()
    got = tables(decode(sent.without(1))[0])
    (run,) = got["runs"]
    assert (run["frames_lost"], run["status"], run["board"], run["prompt_id"]) == (1, "ok", "fake", None)
    assert min(r["ticks_start"] for r in got["tokens"]) == 0
    got = tables(decode(sent.without(1, 4))[0])
    (run,) = got["runs"]
    assert (run["status"], run["frames_lost"]) == (None, None)
    assert {r["ticks_start"] for r in got["tokens"]} == {None}


def test_run_end_lost() -> None:
    sent = one_run()
    sent.board.generate("p2", 4, 8)
    got = tables(decode(sent.without(4))[0])
    first, second = sorted(got["runs"], key=lambda r: r["run_id"])
    assert (first["status"], first["passes_received"], first["passes"], first["ticks_total"]) == (None, 11, None, None)
    assert (second["status"], second["frames_lost"], second["prompt_id"]) == ("ok", 0, "p2")
    assert [r["detail"] for r in got["events"]] == ["1 frames missing before frame 5"]


def test_the_last_tokens_frame_lost_is_counted() -> None:
    (run,) = tables(decode(one_run().without(3))[0])["runs"]
    assert (run["frames_lost"], run["passes"], run["passes_received"]) == (1, 11, 4)


def test_frames_of_other_types_in_a_run_are_not_lost() -> None:
    sent = Sent()
    sent.board.begin()
    sent.board.frame(wire.Type.HELLO, wire.encode_pairs(PAIRS), len(PAIRS))
    sent.board.frame(wire.Type.HEARTBEAT)
    sent.board.frame(wire.Type.REPLY, struct.pack("<HBB", 1, 0, 0), 1)
    sent.board.tokens(0, 2, 0)
    sent.board.end()
    (run,) = tables(decode(sent.without())[0])["runs"]
    assert run["frames_lost"] == 0


def test_duplicates_are_dropped_and_late_frames_are_taken() -> None:
    sent = one_run()
    parts = sent.parts
    data = b"".join([*parts[:3], parts[2], parts[1], *parts[3:], parts[3], parts[4]])
    rows, state = decode(data)
    once, _ = decode(sent.without())
    drop = [{k: v for k, v in r.items() if k != "t_host_ns"} for r in tables(rows)["tokens"]]
    assert drop == [{k: v for k, v in r.items() if k != "t_host_ns"} for r in tables(once)["tokens"]]
    assert tables(rows)["runs"] == tables(once)["runs"]
    assert (state.duplicates, state.frames, state.lost) == (4, 5, 0)
    rows, state = decode(b"".join([parts[0], parts[1], parts[3], parts[2], parts[4]]))
    assert len(tables(rows)["tokens"]) == 11
    assert (state.duplicates, state.lost) == (0, 0)


def test_a_reset_in_the_middle() -> None:
    sent = Sent()
    sent.board.begin(prompt_id="a")
    sent.board.tokens(0, 4, 0)
    sent.board.reset()
    sent.board.hello()
    sent.board.generate("b", 2, 2)
    data = sent.without()
    got = tables(decode(data)[0])
    first, second = sorted(got["runs"], key=lambda r: r["run_id"])
    assert (first["status"], first["boot"], first["passes_received"]) == ("reset", 7, 4)
    assert (second["status"], second["boot"], second["frames_lost"]) == ("ok", 8, 0)
    (event,) = got["events"]
    hello_end = len(b"".join(sent.parts[:3]))
    assert (event["kind"], event["run_id"], event["start"]) == ("reset", None, ((hello_end - 1) // 97 + 1) * 1000)
    # The first frames behind the reset are lost too: their numbers say so.
    got = tables(decode(sent.without(2))[0])
    assert sorted(e["kind"] for e in got["events"]) == ["gap", "reset"]


def test_a_torn_tail_is_damage_and_the_run_stays_open() -> None:
    sent = one_run()
    data = sent.without(4)[:-20]
    rows, state = decode(data, end_status="aborted")
    got = tables(rows)
    assert len(got["tokens"]) == 4
    assert got["runs"][0]["status"] == "aborted"
    assert state.discarded == len(sent.parts[3]) - 20 - 1
    rows, state = decode(data, final=False)
    assert "runs" not in tables(rows)
    assert state.discarded == 0
    assert data[state.offset - 1] == 0


def test_the_echo_of_a_request_changes_nothing() -> None:
    sent = one_run()
    echo = wire.hello_request(1) + wire.run_request(2, "hi", 4, label="p")
    mixed = sent.parts[0] + echo + b"".join(sent.parts[1:3]) + wire.stop_request(3) + b"".join(sent.parts[3:])
    a, b = tables(decode(mixed)[0]), tables(decode(sent.without())[0])
    assert a["runs"] == b["runs"]
    assert len(a["tokens"]) == 11
    assert "events" not in a


@pytest.mark.slow
def test_a_run_begin_that_never_comes_is_not_waited_for_forever() -> None:
    sent = Sent()
    sent.board.begin()
    for i in range(1200):
        sent.board.tokens(30 * i % 60000, 30, 1)
    data = sent.without(0)
    assert len(data) > 1 << 20
    rows, state = decode(data, final=False)
    assert state.offset > 1 << 20
    assert len(tables(rows)["tokens"]) >= 30000
    # One that comes too late changes nothing for what was let go before, wherever a segment ends.
    sent.board.repeat_begin()
    sent.board.tokens(60000, 30, 1)
    more = sent.without(0)
    whole = tables(decode(more)[0])["tokens"]
    assert {r["ticks_start"] is None for r in whole} == {True, False}
    assert tables(decode(more, (len(data),))[0])["tokens"] == whole


def test_a_runs_rows_stay_in_one_group_whatever_the_board_says_later() -> None:
    sent = Sent()
    sent.board.begin()
    sent.board.memory(1, 1, 1, 1, 1)
    sent.board.pairs["model"] = "other"
    sent.board.repeat_begin()
    sent.board.tokens(0, 3, 1)
    sent.board.end()
    rows, _ = decode(sent.without(), (len(sent.parts[0] + sent.parts[1]),))
    assert {group for _, group in build(rows, "c")} == {("fake", "toy", "Q8_0")}


HOSTILE = [
    "../../etc", "x" * 300, "<script>alert(1)</script>", "\x1b[2J\x1b]0;owned\x07", "a\0b", "", "CON", "001", "💥" * 80,
    "NaN", "1e400", "-1", str(10**200), "9223372036854775808",
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_values_are_kept_as_text(value: str) -> None:
    keys = ["board", "model", "quant", "n_params", "tick_hz", "temperature", "status", "run_id", "tags", value]
    sent = Sent(pairs=dict.fromkeys(keys, value))
    sent.board.hello()
    sent.board.generate(value)
    got = tables(decode(sent.without())[0])
    cut = value.encode()[:255].decode(errors="replace")
    assert got["runs"][0]["board"] == cut
    assert got["runs"][0]["run_id"] == "c/2-0001"
    assert got["runs"][0]["status"] == "ok"
    assert len(got["tokens"]) == 11


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*wire.Type, 0x42]), st.integers(0, 3), st.integers(0, 3), st.integers(0, 20),
            st.sampled_from([0, 1, 2**63, 2**64 - 1]), st.sampled_from([0, 1, 2**32 - 1]), st.binary(max_size=90),
            st.integers(0, 65535),
        ),
        max_size=12,
    )
)  # fmt: skip
def test_no_sequence_of_valid_frames_raises(made: list[Any]) -> None:
    data = b""
    for type_, boot, run, seq, t0, dt, body, n in made:
        size = wire.RECORD_BYTES.get(type_)
        if size:
            body, n = (body * 2)[:size].ljust(size, b"\xff"), 1
        elif type_ == wire.Type.POWER:
            n = len(body) // 2
            body = b"\xff" * 8 + body[: 2 * n]
        elif type_ == wire.Type.LOGITS:
            n = len(body) // 4
            body = b"\xff" * 8 + body[: 4 * n]
        data += wire.encode_frame(type_, body, n=n, boot=boot, run=run, seq=seq, t0=t0, dt=dt)
    cut = len(data) // 2
    # As text, for a device may say NaN.
    cut_there, whole = (json.dumps(tables(decode(data, cuts)[0]), sort_keys=True) for cuts in ((cut,), ()))
    assert cut_there == whole


ACTIONS = st.sampled_from(["hello", "begin", "repeat", "tokens", "stages", "memory", "event", "power", "idle", "end",
                           "text", "printed", "noise", "lose", "double", "reset", "echo", "rename", "burst", "burst",
                           "torn", "late", "empty", "logits", "unknown"])  # fmt: skip
PRINTED = [
    b"achieved tok/s: 1", b"8.5\n", b"a_ms,b\n", b"1,2\r\n", b"$T,a_ms=1*0000\n", b'{"a_ms": 3}\n', b"x" * 5000, b"\n",
    b"filler\n" * 700 + b"4,5\n",
]  # fmt: skip


def stream_of(actions: list[str], data: st.DataObject) -> bytes:
    """Return what comes of a board that does all of this."""
    sent = Sent()
    b, parts, lose = sent.board, sent.parts, False
    b.now = 77
    for number, action in enumerate(actions):
        before = len(parts)
        if action == "begin":
            b.begin(prompt_id=f"p{number}")
        elif action == "repeat" and b.run:
            b.repeat_begin(prompt_id="again")
        elif action == "tokens" and b.run:
            b.tokens(number, 3, number % 3)
        elif action == "stages":
            b.stages(number, [1, 2])
        elif action == "memory":
            b.memory(number, 1, 2, 3, 4)
        elif action == "event":
            b.event(number, 1, 2)
        elif action in ("power", "idle"):
            power(sent, [number, 1], t0=77 + number, in_run=action == "power", meter=number % 2)
        elif action == "end" and b.run:
            b.end()
        elif action == "hello":
            b.hello()
        elif action == "text":
            parts.append(b"line %d\nhalf" % number)
        elif action == "printed":
            parts += data.draw(st.lists(st.sampled_from(PRINTED), min_size=1, max_size=4))
        elif action == "burst":
            for k in range(data.draw(st.integers(4, 12))):
                if b.run and k % 3 == 1:
                    b.tokens(number + k, 1 + number % 3, 1)
                elif b.run and k % 3 == 2:
                    b.logits(number + k, 2**31 * (k % 2), [0.5] * (k % 4), window=65535 * (number % 2))
                else:
                    power(sent, [k] * (2 + k // 9), t0=77 + 10 * k, in_run=number % 4 > 0 and b.run > 0)
        elif action == "torn" and parts:
            whole = bytearray(parts[-1])
            whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
            parts[-1] = bytes(whole)
        elif action == "late" and len(parts) > 1:
            parts[-2:] = parts[:-3:-1]
        elif action == "logits":
            b.logits(number, 7, [1.0, 3e38, float("-inf")])
        elif action == "unknown":
            b.frame(0x16, b"of a later version", 3)
        elif action == "empty":
            power(sent, [], t0=80, in_run=b.run > 0)
        elif action == "noise":
            parts.append(b"\x01\xff\x80" * 5)
        elif action == "double" and parts:
            parts.append(parts[-1])
        elif action == "reset":
            b.reset()
        elif action == "rename":
            b.pairs["model"] = f"m{number}"
        elif action == "echo":
            parts.append(wire.hello_request(1))
        if lose:
            del parts[before:]
        lose = action == "lose"
    return b"".join(parts)


@pytest.mark.slow
@given(st.lists(ACTIONS, max_size=25), st.data())
def test_segments_make_no_difference(actions: list[str], data: st.DataObject) -> None:
    stream = stream_of(actions, data)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    whole, whole_state = decode(stream)
    cut, cut_state = decode(stream, tuple(cuts))
    assert tables(cut) == tables(whole)
    assert cut_state == whole_state
    groups = {row["run_id"]: set() for row in tables(whole).get("runs", [])}
    for (name, group), table in build(cut, "c").items():
        for run in set(table["run_id"].to_pylist()) - {None} if name != "captures" else ():
            groups[run].add(group)
    assert all(len(found) == 1 for found in groups.values())  # a run's rows stay together


@pytest.mark.slow
@given(st.lists(ACTIONS, max_size=25), st.data())
def test_segments_make_no_difference_where_the_port_was_away(actions: list[str], data: st.DataObject) -> None:
    stream = stream_of(actions, data)
    places = st.lists(st.integers(0, len(stream)), max_size=4)
    breaks, cuts = data.draw(places), data.draw(places)
    whole, whole_state = decode(stream, breaks=breaks)
    cut, cut_state = decode(stream, tuple(cuts), breaks=breaks)
    assert tables(cut) == tables(whole)
    assert cut_state == whole_state


def test_nothing_goes_on_behind_a_gap() -> None:
    sent = one_run()
    stream = b"achieved tok/s: 1" + b"8.5\nachieved tok/s: 3.5\n" + sent.without()
    rows, state = decode(stream, breaks=[17])
    assert [row["text"] for row in tables(rows)["logs"]][:3] == sorted(
        ["achieved tok/s: 1", "8.5", "achieved tok/s: 3.5"]
    )
    assert [row["value"] for row in tables(rows)["claims"]] == [3.5]
    torn, _ = decode(sent.without()[:-9] + b"text\n" + sent.without(), breaks=[len(sent.without()) - 9])
    assert [row["text"] for row in tables(torn)["logs"]] == ["text"]
    assert state.lost == 0


def one_by_one(stream: bytes, cuts: tuple[int, ...] = ()) -> tuple[Rows, PortState]:
    """Decode without looking for stretches of ordinary frames."""
    with mock.patch.object(wire.Splitter, "whole", return_value=None):
        return decode(stream, cuts)


@pytest.mark.slow
@given(st.lists(ACTIONS, max_size=25), st.integers(3, 600), st.data())
def test_a_stretch_decoded_as_a_whole_gives_what_its_frames_give(
    actions: list[str], size: int, data: st.DataObject
) -> None:
    stream = stream_of(["hello", "begin", "burst", *actions, "burst"], data)
    expected, expected_state = one_by_one(stream)
    for rows, state in (decode(stream), decode(stream, (len(stream) // 3,)), in_chunks(stream, size)):
        assert ordered(rows) == ordered(expected)
        assert state == expected_state


def in_chunks(stream: bytes, size: int) -> tuple[Rows, PortState]:
    """Decode chunks of a size, giving the rows away often and the read times in parts."""
    taken = Rows()
    offsets, ns = reads_of(stream)
    with mock.patch("edgeprof.decode._FLUSH_BYTES", 3 * size), mock.patch("edgeprof.decode._WINDOW_BYTES", size):
        rest, state = decode_port(
            [stream[i : i + 2 * size] for i in range(0, len(stream), 2 * size)], PortState(), capture_id="c", port=2,
            facts=FACTS, reads=((offsets[i : i + 2], ns[i : i + 2]) for i in range(0, len(offsets), 2)), final=True,
            take=taken.extend,
        )  # fmt: skip
    assert not rest.parts
    return taken, state


def ordered(rows: Rows) -> dict[Any, list[dict[str, Any]]]:
    """Return the rows of every table and group in their order, as text, for a device may say NaN."""
    return {key: json.dumps(table.to_pylist()) for key, table in sorted(build(rows, "c").items())}


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(1, 3)), max_size=9),
       st.integers(0, 2**64 - 1))  # fmt: skip
def test_ticks_of_any_size_are_as_of_single_frames(made: list[tuple[int, int, int]], t_begin: int) -> None:
    sent = Sent()
    sent.board.now = t_begin
    sent.board.begin()
    for t0, dt, n in made:
        sent.board.frame(wire.Type.POWER, wire.POWER.pack(1, 2, 3) + b"\1\2" * n, n, t0=t0, dt=dt)
        sent.board.frame(wire.Type.TOKENS, token_record(2**32 - 1, 2**31, 3, 1) * n, n, t0=t0, dt=dt)
    stream = sent.without()
    rows, expected = ordered(decode(stream)[0]), one_by_one(stream)[0]
    assert rows == ordered(expected)
    ticks = [r["ticks"] for r in tables(expected).get("power", [])]
    right = [t0 - t_begin + i * max(dt, 1) for t0, dt, n in made for i in range(n)]
    by_size = sorted(t for t in right if abs(t) < 2**61)
    assert sorted(t for t in ticks if t is not None and abs(t) < 2**61) == by_size
    assert sum(t is None for t in ticks) >= sum(abs(t) > 2**62 + 2**12 for t in right)


def test_ordinary_frames_are_decoded_as_a_whole() -> None:
    sent = one_run()
    sent.board.begin()
    for k in range(40):
        sent.board.tokens(3 * k, 3, 1)
        power(sent, [k, k], t0=k)
    with mock.patch("edgeprof.wire.decode_frame", wraps=wire.decode_frame) as alone:
        rows, _ = decode(sent.without())
    assert len(tables(rows)["tokens"]) == 11 + 120
    assert alone.call_count == 6  # what is before the long stretch


def begun() -> Sent:
    """Return a run with a stretch of samples."""
    sent = Sent()
    sent.board.hello()
    sent.board.now = 50
    sent.board.begin()
    samples(sent, 6)
    return sent


def samples(sent: Sent, count: int, **options: Any) -> None:
    for k in range(count):
        power(sent, [k, k], t0=60 + k, **options)


def another_boot_that_counts_on() -> bytes:
    sent = begun()
    for in_run in (False, True, False):
        sent.board.boot += 1
        samples(sent, 6, in_run=in_run)
    return sent.without()


def empty_frames_alone() -> bytes:
    sent = Sent()
    for _ in range(6):
        power(sent, [], t0=1, in_run=False)
    return sent.without()


def tokens_of_no_run() -> bytes:
    sent = begun()
    for k in range(6):
        sent.board.frame(wire.Type.TOKENS, token_record(1, 1, k, 1), 1, in_run=False)
    samples(sent, 6)
    return sent.without()


def a_begin_that_is_late() -> bytes:
    sent = begun()
    for k in range(2500):
        power(sent, [k] * 250, t0=k)
    samples(sent, 6)
    sent.board.repeat_begin()
    samples(sent, 6)
    return sent.without(1)


def a_run_that_is_closed() -> bytes:
    sent = begun()
    sent.board.end()
    samples(sent, 6)
    return sent.without()


def an_old_frame_of_an_unknown_run() -> bytes:
    sent = begun()
    sent.board.run += 1
    power(sent, [1], t0=70)
    late = len(sent.parts) - 1
    sent.board.run -= 1
    samples(sent, 6)
    return sent.without(late)[: -3 * len(sent.parts[-1])] + sent.parts[late] + b"".join(sent.parts[-3:])


@pytest.mark.slow
@pytest.mark.parametrize(
    "stream",
    [another_boot_that_counts_on, empty_frames_alone, tokens_of_no_run, a_begin_that_is_late, a_run_that_is_closed,
     an_old_frame_of_an_unknown_run],
)  # fmt: skip
def test_what_only_looks_like_a_stretch(stream: Any) -> None:
    data = stream()
    expected, state = one_by_one(data)
    assert ordered(decode(data)[0]) == ordered(expected)
    assert decode(data)[1] == state
