"""edgeprof.h, compiled for this machine: its frames read by edgeprof.wire, its parser under sanitizers."""

from __future__ import annotations

import os
import platform
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from edgeprof import wire
from edgeprof.firmware import path
from edgeprof.wire import Type

HEADER = path("include", "edgeprof.h")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]

BOARD = r"""
#define EDGEPROF_IMPLEMENTATION
#include "edgeprof.h"
#include <stdio.h>
#include <string.h>

static uint64_t counter;
static int fail;
static int put(void *user, const void *bytes, size_t n) {
    (void)user;
    if (!fail) fwrite(bytes, 1, n, stdout);
    return fail;
}
static uint64_t now(void *user) { (void)user; return counter; }
static size_t get(void *user, void *p, size_t n) { (void)user; return fread(p, 1, n, stdin); }
static void say(void *user, ep *e, int type) {
    (void)user;
    ep_kv_text(e, "board", "bench");
    ep_kv_text(e, "kind", type == EP_RUN_BEGIN ? "generate" : "");
    ep_kv_u64(e, "n_params", 1234567890123u);
    ep_kv_f32(e, "temperature", 0.8f);
    ep_kv_f32(e, "negative", -12.000001f);
    ep_kv_f32(e, "whole", 3.0f);
    if (type == EP_RUN_BEGIN) {
        char long_text[250];
        memset(long_text, 'x', 250);
        ep_kv(e, "prompt_id", long_text, 250);
    }
}
static ep_config cfg;
static ep e;
static void start(unsigned bits) {
    cfg.write = put; cfg.ticks = now; cfg.read = get; cfg.describe = say; cfg.tick_bits = bits;
    cfg.flush_ticks = 1000000; cfg.repeat_ticks = 50000000; cfg.heartbeat_ticks = 100000000;
    ep_init(&e, &cfg, 0x1234);
}
"""


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"needs {name}: apt-get install {name}")
    return found


def compiled(folder: Path, main: str, *flags: str, compiler: str = "gcc", before: str = "") -> Path:
    source = folder / ("board.cpp" if compiler == "g++" else "board.c")
    source.write_text(before + BOARD + main)
    standard = "-std=c++11" if compiler == "g++" else "-std=c99"
    program = folder / "board"
    command = [
        tool(compiler),
        standard,
        "-O1",
        *WARNINGS,
        *flags,
        f"-I{HEADER.parent}",
        "-o",
        str(program),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return program


def frames(data: bytes) -> list[wire.Frame]:
    """Return all frames of a stream; there must be nothing else in it."""
    splitter = wire.Splitter()
    pieces = [*splitter.feed(data), *splitter.finish()]
    assert all(piece.frame for piece in pieces)
    return [piece.frame for piece in pieces if piece.frame]


def run(program: Path, data: bytes = b"") -> bytes:
    return subprocess.run([program], input=data, capture_output=True, check=True).stdout


LOOP = r"""
int main(void) {
    start(32);
    counter = 4000000000u;
    ep_hello(&e, 7);
    ep_run_begin(&e);
    for (uint16_t i = 0; i < 100; i++) {
        counter = (counter + 10) & 0xffffffffu;
        ep_pass_begin(&e);
        counter = (counter + 9999990) & 0xffffffffu;
        ep_pass_end(&e, i < 4 ? EP_PREFILL : EP_DECODE, i, 100u + i, 101u + i);
        ep_stage(&e, i, EP_ATTENTION, 5000);
        if (i % 10 == 0) ep_memory(&e, 1, 2, EP_NOT_KNOWN, i);
    }
    ep_event(&e, EP_MARK, 3);
    ep_run_end(&e, EP_OK, 4, 97);
    return 0;
}
"""
TOKEN = struct.Struct("<IIIIIfHHBB")


@pytest.mark.parametrize(
    ("compiler", "flags"),
    [
        ("gcc", ()),
        ("gcc", ("-DEP_CRC_BITWISE", "-DEP_RECORD_BYTES=128")),
        pytest.param("gcc", ("-m32",), marks=pytest.mark.slow),  # few machines have 32-bit libraries
        ("g++", ()),
    ],
    ids=str,
)
def test_a_run_is_read_back(tmp_path, compiler, flags):
    try:
        program = compiled(tmp_path, LOOP, *flags, compiler=compiler)
    except subprocess.CalledProcessError:
        if "-m32" not in flags:
            raise
        on_x86 = sys.platform == "linux" and platform.machine() in ("x86_64", "i686")
        pytest.skip("needs 32-bit libraries: apt-get install gcc-multilib" if on_x86 else "only on Linux on x86")
    got = frames(run(program))
    assert [f.seq for f in got] == list(range(len(got)))
    assert {f.boot for f in got} == {0x1234}
    hello, begin, *_, end = got
    assert hello.type == Type.HELLO
    assert wire.decode_pairs(hello.body, hello.n) == {
        "board": "bench", "kind": "", "n_params": "1234567890123", "temperature": "0.8", "negative": "-12.000001",
        "whole": "3", "request": "7",
    }  # fmt: skip
    assert begin.type == Type.RUN_BEGIN
    long_text = wire.decode_pairs(begin.body, begin.n).get("prompt_id")
    assert long_text == (None if "-DEP_RECORD_BYTES=128" in flags else "x" * 250)
    passes = [(f, r) for f in got if f.type == Type.TOKENS for r in TOKEN.iter_unpack(f.body)]
    # The 32-bit counter turned over in between; the wire's time did not.
    assert [f.t0 + r[0] * f.dt for f, r in passes] == [4_000_000_010 + 10_000_000 * i for i in range(100)]
    assert {r[1] * f.dt for f, r in passes} == {9_999_990}
    assert [r[2] for _, r in passes] == list(range(100, 200))
    assert [r[9] for _, r in passes] == [16] * 4 + [17] * 96
    assert {r[7] for _, r in passes} == {0xFFFF}
    stages = [r for f in got if f.type == Type.STAGES for r in struct.iter_unpack("<HBBI", f.body)]
    assert stages == [(i, 1, 0, 5000) for i in range(100)]
    memory = [r for f in got if f.type == Type.MEMORY for r in struct.iter_unpack("<5I", f.body)]
    assert [r[1:] for r in memory] == [(1, 2, 0xFFFFFFFF, i) for i in range(0, 100, 10)]
    events = [r for f in got if f.type == Type.EVENT for r in struct.iter_unpack("<IBBH", f.body)]
    assert events == [(0, 1, 3, 0)]
    totals = wire.decode_run_end(end.body)
    in_run = [f for f in got if f.run == 1]
    assert totals == {
        "status": 0, "n_prompt": 4, "n_generated": 97, "frames": len(in_run) - 1, "passes": 100, "samples": 10,
        "stages": 100, "dropped": 0, "t_begin": 4_000_000_000,
    }  # fmt: skip
    # Begun anew every 50 million ticks, with the same content.
    begins = [f for f in got if f.type == Type.RUN_BEGIN]
    assert len(begins) == 1 + 100 // 5
    assert {(f.t0, f.body) for f in begins} == {(begin.t0, begin.body)}
    assert max(len(f.body) + 28 for f in got) <= 1000


def test_thirty_records_go_into_a_frame(tmp_path):
    main = r"""
    int main(void) {
        start(64);
        ep_run_begin(&e);
        for (uint16_t i = 0; i < 60; i++) { ep_pass_begin(&e); counter += 10; ep_pass_end(&e, EP_DECODE, i, 0, 0); }
        ep_run_end(&e, EP_OK, 0, 0);
        return sizeof(ep) < 1024 ? 0 : 1;
    }"""
    got = frames(run(compiled(tmp_path, main)))
    assert [f.n for f in got if f.type == Type.TOKENS] == [30, 30]


def test_records_wait_no_longer_than_flush_ticks(tmp_path):
    main = r"""
    int main(void) {
        start(24);
        ep_run_begin(&e);
        ep_pass_begin(&e);
        counter += 500;
        ep_pass_end(&e, EP_DECODE, 0, 0, 0);
        for (int i = 0; i < 300; i++) { counter = (counter + 999999) & 0xffffff; ep_poll(&e); }
        ep_run_end(&e, EP_OK, 0, 0);
        for (int i = 0; i < 300; i++) { counter = (counter + 999999) & 0xffffff; ep_poll(&e); }
        return 0;
    }"""
    got = frames(run(compiled(tmp_path, main)))
    types = [f.type for f in got]
    assert types[:2] == [Type.RUN_BEGIN, Type.TOKENS]
    assert types.count(Type.RUN_BEGIN) == 1 + 300 // 51  # a long pass repeats it
    after = [f for f in got if f.run == 0]
    assert [f.type for f in after] == [Type.HEARTBEAT] * 2
    assert 100_000_000 <= after[1].t0 - after[0].t0 < 102_000_000


def test_a_pass_of_more_than_32_bits_is_scaled(tmp_path):
    main = r"""
    int main(void) {
        uint64_t lengths[5] = {5, 0xffffffffu, 0x100000000u, 50000000001u, 7};
        start(64);
        ep_run_begin(&e);
        for (uint16_t i = 0; i < 5; i++) {
            ep_pass_begin(&e);
            counter += lengths[i];
            ep_pass_end(&e, EP_DECODE, i, 0, 0);
            ep_stage(&e, i, EP_OTHER, lengths[i]);
        }
        ep_run_end(&e, EP_OK, 0, 0);
        return 0;
    }"""
    got = frames(run(compiled(tmp_path, main)))
    exact = [5, 0xFFFFFFFF, 1 << 32, 50000000001, 7]
    ticks = [r[1] * f.dt for f in got if f.type == Type.TOKENS for r in TOKEN.iter_unpack(f.body)]
    starts = [f.t0 + r[0] * f.dt for f in got if f.type == Type.TOKENS for r in TOKEN.iter_unpack(f.body)]
    assert starts == [sum(exact[:i]) for i in range(5)]
    assert ticks == [5, 0xFFFFFFFF, 1 << 32, 50000000001 // 16 * 16, 7]
    stages = [r[3] * f.dt for f in got if f.type == Type.STAGES for r in struct.iter_unpack("<HBBI", f.body)]
    assert stages == ticks


def test_what_could_not_be_written_is_counted(tmp_path):
    main = r"""
    int main(void) {
        start(64);
        ep_run_begin(&e);
        for (uint16_t i = 0; i < 90; i++) {
            fail = i >= 30 && i < 60;
            ep_pass_begin(&e); counter += 10; ep_pass_end(&e, EP_DECODE, i, 0, 0);
            if (i % 30 == 29) ep_flush(&e);
        }
        ep_run_end(&e, EP_OK, 0, 0);
        return 0;
    }"""
    got = frames(run(compiled(tmp_path, main)))
    totals = wire.decode_run_end(got[-1].body)
    assert (totals["passes"], totals["dropped"]) == (90, 30)
    assert [f.seq for f in got] == [0, 1, 3, 4]  # the gap shows


POWER = r"""
int main(void) {
    static const ep_power own = {7, 1000, 3300, 0}, other = {9, 250, EP_NO_VOLTAGE, 4};
    static uint16_t counts[1001];
    start(32);
    for (uint16_t i = 0; i < 1001; i++) counts[i] = (uint16_t)(i * 131u);
    ep_power_block(&e, &own, 5, counts, 0);
    ep_power_block(&e, &own, 0x1122334455667788u, counts, 1);
    ep_run_begin(&e);
    ep_pass_begin(&e); counter += 10; ep_pass_end(&e, EP_DECODE, 0, 0, 0);
    ep_power_block(&e, &other, 100, counts, 1001);
    ep_pass_begin(&e); counter += 10; ep_pass_end(&e, EP_DECODE, 1, 0, 0);
    fail = 1;
    ep_power_block(&e, &own, 0, counts, 250);
    fail = 0;
    ep_run_end(&e, EP_OK, 1, 2);
    return 0;
}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "flags"),
    [("gcc", ()), ("gcc", ("-DEP_CRC_BITWISE", "-DEP_RECORD_BYTES=128")), ("g++", ())],
    ids=str,
)
def test_power_samples_are_read_back(tmp_path, compiler, flags):
    flags = (*flags, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    got = frames(run(compiled(tmp_path, POWER, *flags, compiler=compiler)))
    counts = [i * 131 % 65536 for i in range(1001)]
    alone, *blocks = [f for f in got if f.type == Type.POWER]
    assert (alone.run, alone.t0, alone.dt, alone.n) == (0, 0x1122334455667788, 7, 1)
    assert wire.decode_power(alone.body) == (1000, 3300, 0)
    # One call, several frames: the times go on from the one to the next.
    starts = [100 + 2250 * k for k in range(5)]
    assert [(f.run, f.n, f.t0) for f in blocks] == list(zip([1] * 5, [250] * 4 + [1], starts, strict=True))
    assert {f.dt for f in blocks} == {9}
    assert {wire.decode_power(f.body) for f in blocks} == {(250, None, 4)}
    assert [c for f in blocks for (c,) in struct.iter_unpack("<H", f.body[8:])] == counts
    # The token records around them shared a frame: samples do not push them out.
    assert [f.n for f in got if f.type == Type.TOKENS] == [2]
    totals = wire.decode_run_end(got[-1].body)
    assert (totals["passes"], totals["dropped"]) == (2, 250)
    # What could not be written took its number, so the host sees the gap; all that was sent is counted.
    assert [f.seq for f in got] == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert totals["frames"] == len([f for f in got if f.run]) - 1 + 1


@pytest.mark.slow
def test_any_samples_come_back_whatever_their_zeros(tmp_path):
    """Blocks of every length; counts whose bytes are rarely, often or never zero, so that COBS blocks end anywhere."""
    chance = random.Random(3)
    blocks = [
        [high << 8 | low for high, low in zip(*([chance.choice(kind) for _ in range(n)] for _ in "hl"), strict=True)]
        for kind in (range(1, 256), range(256), [0, 0, 1], [0], [1] * 300 + [0])
        for n in [*range(1, 251, 3), 100, 109, 110, 111, 112, 250]
    ]
    main = r"""
    int main(void) {
        static const ep_power own = {1, 1, 1, 0};
        static uint16_t counts[250];
        uint16_t n;
        start(64);
        while (fread(&n, 2, 1, stdin) == 1 && fread(counts, 2, n, stdin) == n) ep_power_block(&e, &own, n, counts, n);
        return 0;
    }"""
    program = compiled(tmp_path, main, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    got = frames(run(program, b"".join(struct.pack(f"<H{len(b)}H", len(b), *b) for b in blocks)))
    assert [list(struct.unpack(f"<{f.n}H", f.body[8:])) for f in got] == blocks
    assert max(len(f.body) + 28 for f in got) == 536


EDGES = r"""
int main(void) {
    start(32);
    counter = 4294967000u;
    ep_edge(&e, 9); /* outside of a run: toggled, not noted */
    for (int run = 0; run < 2; run++) {
        ep_run_begin(&e);
        for (uint16_t i = 0; i < 40; i++) {
            ep_pass_begin(&e);
            counter = (counter + 100) & 0xffffffffu;
            ep_pass_end(&e, EP_DECODE, i, 0, 0);
            if (i == 7) { counter = (counter + 5) & 0xffffffffu; ep_edge(&e, 3); }
        }
        if (run == 0) ep_run_end(&e, EP_OK, 1, 40);
    }
    ep_run_begin(&e); /* the run before had no end: what waited of it is not said of this one */
    ep_run_end(&e, EP_OK, 0, 0);
    return toggled == 1 + 2 * 42 + 1 + 2 ? 0 : 1;
}
"""
TOGGLE = """
#include <stdint.h>
static int toggled;
static void toggle(void *user) { (void)user; toggled++; }
#define EP_EDGES toggle
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "flags"), [("gcc", ()), ("gcc", ("-DEP_RECORD_BYTES=128",)), ("g++", ())], ids=str
)
def test_edges_are_toggled_and_noted(tmp_path, compiler, flags):
    flags = (*flags, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    got = frames(run(compiled(tmp_path, EDGES, *flags, compiler=compiler, before=TOGGLE)))
    edges = {
        n: [(f.t0 + r[0] * f.dt, *r[1:3]) for f in got if f.type == Type.EVENT and f.run == n
            for r in struct.iter_unpack("<IBBH", f.body)]
        for n in (0, 1, 2, 3)
    }  # fmt: skip
    begins = {f.run: f.t0 for f in got if f.type == Type.RUN_BEGIN}
    passes = [begins[1] + 100 * (i + 1) + 5 * (i > 7) for i in range(40)]
    assert [t for t, kind, number in edges[1] if (kind, number) == (2, 1)] == passes
    assert [e for e in edges[1] if e[2] != 1] == [(begins[1], 2, 0), (passes[7] + 5, 2, 3), (passes[-1], 2, 2)]
    assert len(edges[2]) == 30  # those that were full; the rest was never said
    assert edges[3] == [(begins[3], 2, 0), (begins[3], 2, 2)]
    assert not edges[0]
    # Token records still share their frames: edges go between two of them 30 at a time.
    of_first = [f.n for f in got if f.type == Type.TOKENS and f.run == 1]
    assert of_first == ([*[4] * 6, 3, 4, 4, 4, 1] if flags[0].endswith("128") else [27, 13])
    assert wire.decode_run_end(got[-1].body)["frames"] == len([f for f in got if f.run == 3]) - 1


LOGITS = r"""
int main(void) {
    static float logits[1000];
    start(32);
    while (fread(logits, sizeof(float), 1000, stdin) == 1000) {}
    ep_logits(&e, 1, 2, logits, 3);
    ep_run_begin(&e);
    ep_pass_begin(&e); counter += 10; ep_pass_end(&e, EP_SCORE, 0, 0, 0);
    counter += 5;
    ep_logits(&e, 7, EP_NO_WINDOW, logits, 1000);
    ep_logits(&e, 65535, 3, logits, 240);
    ep_logits(&e, 9, 3, logits, 0);
    ep_pass_begin(&e); counter += 10; ep_pass_end(&e, EP_SCORE, 1, 0, 0);
    fail = 1;
    ep_logits(&e, 10, 3, logits, 241);
    fail = 0;
    ep_run_end(&e, EP_OK, 1, 0);
    return 0;
}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "flags"),
    [("gcc", ()), ("gcc", ("-DEP_CRC_BITWISE", "-DEP_RECORD_BYTES=128")), ("g++", ())],
    ids=str,
)
def test_logits_are_read_back_to_the_last_bit(tmp_path, compiler, flags):
    chance = random.Random(4)
    patterns = [chance.getrandbits(32) for _ in range(990)] + [0, 1, 0x80000000, 0x7F800000, 0x7FC00001, 0, 0, 0, 0, 0]
    said = struct.pack("<1000I", *patterns)
    flags = (*flags, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    got = frames(run(compiled(tmp_path, LOGITS, *flags, compiler=compiler), said))
    alone, *rest = [f for f in got if f.type == Type.LOGITS]
    assert (alone.run, alone.n, wire.LOGITS.unpack_from(alone.body)) == (0, 3, (1, 2, 0))
    assert [(f.n, *wire.LOGITS.unpack_from(f.body)) for f in rest] == [
        (240, 7, 0xFFFF, 0), (240, 7, 0xFFFF, 240), (240, 7, 0xFFFF, 480), (240, 7, 0xFFFF, 720), (40, 7, 0xFFFF, 960),
        (240, 65535, 3, 0),
    ]  # fmt: skip
    assert b"".join(f.body[8:] for f in rest[:5]) == said
    assert {(f.run, f.t0, f.dt) for f in rest} == {(1, 15, 0)}
    assert max(len(f.body) + 28 for f in got) <= 1000
    # They do not push token records out, and what could not be written is counted and leaves a gap.
    assert [f.n for f in got if f.type == Type.TOKENS] == [2]
    totals = wire.decode_run_end(got[-1].body)
    assert (totals["passes"], totals["dropped"]) == (2, 241)
    assert [f.seq for f in got] == [*range(8), 10, 11]
    assert totals["frames"] == len([f for f in got if f.run]) - 1 + 2


CONTEXTS = r"""
static const char *not_constant = "tiny";
EP_CONTEXT(mine, put, now, "board", "mine", "model", not_constant, "kind", "generate");
EP_CONTEXT(wide, put, now, "board", "wide");
int main(void) {
    (void)e; (void)cfg; (void)start; (void)get; (void)say;
    ep_start(&mine, &mine_config, 24, 1000, 3);
    ep_hello(&mine, 0);
    not_constant = "large";
    ep_run_begin(&mine);
    ep_run_end(&mine, EP_OK, 1, 2);
    ep_start(&wide, &wide_config, 64, 2000000000u, 4);
    ep_hello(&wide, 0);
    if (mine_config.flush_ticks != 50 || mine_config.repeat_ticks != 500) return 1;
    if (mine_config.heartbeat_ticks != 4000) return 4;
    if (wide_config.tick_bits != 64 || wide_config.heartbeat_ticks != 0x60000000u) return 2;
    ep_start(&mine, &mine_config, 24, 168000000, 3);
    return mine_config.heartbeat_ticks == 0x600000u ? 0 : 3;
}
"""


@pytest.mark.parametrize("compiler", ["gcc", "g++"])
def test_a_context_in_one_line(tmp_path, compiler):
    hello, begin, _, wide = frames(run(compiled(tmp_path, CONTEXTS, compiler=compiler)))
    mine = {"board": "mine", "model": "tiny", "kind": "generate"}
    assert wire.decode_pairs(hello.body, hello.n) == mine
    assert wire.decode_pairs(begin.body, begin.n) == mine | {"model": "large"}
    assert (wire.decode_pairs(wide.body, wide.n), wide.boot) == ({"board": "wide"}, 4)


def test_long_stretches_without_a_zero(tmp_path):
    main = r"""
    int main(void) {
        start(64);
        for (size_t n = 200; n <= 255; n++) {
            uint8_t value[255];
            memset(value, 0xa5, sizeof value);
            for (int copies = 1; copies <= 3; copies++) {
                for (int k = 0; k < copies; k++) ep_kv(&e, "k", value, n);
                ep__send(&e, EP_HELLO, e.n, 0x1122334455667788u, 0x01010101u);
            }
        }
        return 0;
    }"""
    got = frames(run(compiled(tmp_path, main)))
    assert [len(f.body) for f in got] == [(n + 3) * c for n in range(200, 256) for c in (1, 2, 3)]
    assert {f.t0 for f in got} == {0x1122334455667788}


LISTEN = r"""
int main(void) {
    uint8_t buffer[CAP];
    ep_rx rx;
    ep_request request;
    ep_run_request r;
    ep_score_request s;
    start(32);
    ep_rx_init(&rx, buffer, sizeof buffer);
    while (ep_receive(&e, &rx, &request)) {
        rx.pending = request.id;
        uint32_t sum = 0;
        if (request.type == EP_CMD_RUN && ep_parse_run(&request, &r)) {
            for (size_t i = 0; i < r.prompt_len; i++) sum += r.prompt[i];
            for (size_t i = 0; i < r.label_len; i++) sum += r.label[i];
            counter = sum + r.n_generate + r.seed;
            ep_answer(&e, &rx, EP_DONE, r.sampler ? "temperature" : "greedy");
        } else if (request.type == EP_CMD_SCORE && ep_parse_score(&request, &s)) {
            for (size_t i = 0; i < s.n_tokens; i++) sum += ep_score_id(&s, i);
            counter = sum + s.flags;
            ep_answer(&e, &rx, EP_DONE, "score");
        } else if (request.type == EP_CMD_HELLO) {
            ep_hello(&e, request.id);
        } else {
            ep_answer(&e, &rx, EP_BAD_ARGUMENT, "no");
        }
    }
    return 0;
}
"""
SANITIZE = ("-DCAP=700", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="module")
def listener(tmp_path_factory) -> Path:
    return compiled(tmp_path_factory.mktemp("listener"), LISTEN, *SANITIZE)


def answers(data: bytes) -> list[tuple[int, int, str]]:
    return [wire.decode_reply(f.body) for f in frames(data) if f.type == Type.REPLY]


@pytest.mark.slow
def test_requests_are_understood(listener):
    ids = list(range(0, 60000, 200))
    data = (
        wire.run_request(1, "a prompt", 5, label="l", seed=3)
        + b"noise that is no frame"
        + wire.score_request(2, 0, 1, ids, 0, label="xx")
        + wire.score_request(3, 0, 1, [70000, 1], 0, label="", logits=True)
        + wire.hello_request(4)
        + wire.run_request(5, "x" * 654, 5, label="12345")  # 24 + 12 + 5 + 654 + 4 = 699
        + wire.run_request(6, "x" * 656, 5, label="12345")  # one too many
        + wire.stop_request(7)
    )
    got = run(listener, data)
    assert answers(got) == [(1, 0, "greedy"), (2, 0, "score"), (3, 0, "score"), (5, 0, "greedy"), (7, 2, "no")]
    assert [f.t0 % 2**32 for f in frames(got)[1:3]] == [sum(ids), 70001 + 1]  # and the flag
    assert [f.type for f in frames(got)][3] == Type.HELLO


def test_a_repeated_request_gets_the_same_answer(listener):
    first, second = wire.run_request(1, "a", 5, label=""), wire.run_request(2, "bc", 5, label="", temperature=1.0)
    got = run(listener, first + first + second + second + first)
    assert answers(got) == [(1, 0, "greedy")] * 2 + [(2, 0, "temperature")] * 2 + [(1, 0, "greedy")]


def test_the_parser_survives_anything(listener):
    """Random damage to sound requests, random bytes, and sound frames with senseless content, under sanitizers."""
    chance = random.Random(11)
    sound = [
        wire.run_request(9, "prompt " * 20, 5, label="label"),
        wire.score_request(10, 0, 1, [*range(0, 512, 2)], 0, label="x"),
        wire.hello_request(11),
    ]
    data = bytearray()
    for _ in range(4000):
        what = chance.randrange(5)
        if what == 0:
            data += chance.randbytes(chance.randrange(300))
        elif what == 1:
            frame = bytearray(chance.choice(sound))
            for _ in range(chance.randrange(1, 5)):
                frame[chance.randrange(len(frame))] = chance.randrange(256)
            data += frame
        elif what == 2:
            frame = chance.choice(sound)
            data += frame[: chance.randrange(len(frame))]
        else:  # the CRC is right, the content is not
            body = chance.randbytes(chance.randrange(800) if what == 3 else chance.randrange(30))
            request = chance.randrange(1, 65536)
            data += wire.encode_frame(chance.choice([0x81, 0x82, 0x83, 0x84, 0xFF]), body, run=request, seq=request)
    data += b"\0" + wire.run_request(60001, "still there", 1, label="")
    got = run(listener, bytes(data))
    assert answers(got)[-1] == (60001, 0, "greedy")


def test_no_single_bit_error_makes_a_request(listener):
    good = wire.score_request(1, 0, 1, [5, 6, 7], 0, label="ab")
    data = bytearray()
    for bit in range(8, 8 * (len(good) - 1)):
        broken = bytearray(good)
        broken[bit // 8] ^= 1 << bit % 8
        data += broken
    assert answers(run(listener, bytes(data))) == []


def test_it_can_be_included_often_and_from_cplusplus(tmp_path):
    (tmp_path / "one.c").write_text('#define EDGEPROF_IMPLEMENTATION\n#include "edgeprof.h"\n#include "edgeprof.h"\n')
    (tmp_path / "two.cpp").write_text(
        '#include "edgeprof.h"\nint main() { return sizeof(ep) < 1024 ? 0 : (int)ep_now(0); }\n'
    )
    include = f"-I{HEADER.parent}"
    subprocess.run(
        [tool("gcc"), "-std=c99", *WARNINGS, include, "-c", "one.c", "-o", "one.o"], cwd=tmp_path, check=True
    )
    subprocess.run([tool("g++"), *WARNINGS, include, "two.cpp", "one.o", "-o", "two"], cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "two"], check=True)


def test_the_example_in_its_first_lines_compiles(tmp_path):
    comment = HEADER.read_text().split("*/")[0]
    lines = [line[7:] for line in comment.splitlines() if line.startswith(" *     ")]
    top, loop = "\n".join(lines).split("ep_start(", 1)
    body = loop.split("ep_run_end", 1)
    program = (
        "struct { unsigned CYCCNT; } dwt, *DWT = &dwt;\n"
        "static int uart_write(const void *p, unsigned long n) { return p == 0 || n == 0; }\n"
        f"{top}\nint main(void) {{\nunsigned short pos = 0, steps = 9, n_prompt = 3, boot_count = 1;\n"
        "unsigned token = 0, next = 0, n_generated = 1;\n"
        f"ep_start({body[0]}ep_run_end{body[1].splitlines()[0]}\nreturn 0; }}\n"
    ).replace("... forward, sample ...", "")
    (tmp_path / "example.c").write_text(program)
    command = [tool("gcc"), "-std=c99", "-Wall", f"-I{HEADER.parent}", "example.c", "-o", "example"]
    subprocess.run(command, cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "example"], check=True)
