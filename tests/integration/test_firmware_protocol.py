"""The reference firmware on the wasm board keeps to docs/protocol.md, whatever comes over the line."""

from __future__ import annotations

import os
import random
import struct
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from firmware_host import Host, board, tiny_model
from reference_llama import load

from edgeprof import boards, wire
from edgeprof.modelfile import read_vocabulary
from edgeprof.wire import Type


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture
def host(model) -> Iterator[Host]:
    with board(model) as host:
        yield host


def of_type(host: Host, type_: int, first: int = 0) -> list[wire.Frame]:
    return [f for f in host.frames[first:] if f.type == type_]


def begin_pairs(host: Host, first: int = 0) -> dict[str, str]:
    frame = of_type(host, Type.RUN_BEGIN, first)[0]
    return wire.decode_pairs(frame.body, frame.n)


def test_hello_says_who_it_is(host, model):
    said = host.hello()
    assert said["board"] == "wasm"
    assert said["core"] == "wasm32"
    assert said["clock"] == "fuel"
    assert "tick_hz" not in said  # fuel is not time
    assert said["board_clock_hz"] == "240000000"
    assert said["model"] == "tiny"
    assert said["arch"] == "llama"
    assert said["quant"] == "F32"
    assert int(said["model_bytes"]) == model.stat().st_size
    assert said["n_ctx"] == "64"
    assert said["fits"] == "1"
    assert int(said["ram_needed_bytes"]) < int(said["ram_bytes"]) == 512 * 1024
    assert int(said["flash_needed_bytes"]) > model.stat().st_size
    assert int(said["n_params"]) == sum(w.size for w in load(model).weights.values())
    # It also spoke when it started, unasked.
    assert [f.seq for f in of_type(host, Type.HELLO)] == [0, 1]


def test_a_generation(host, model):
    prompt = read_vocabulary(model).encode("abcd ab")
    passes, totals = host.generate("abcd ab", 20, label="résumé")
    assert [p.token for p in passes[: len(prompt)]] == prompt
    assert [p.next for p in passes[: len(prompt) - 1]] == prompt[1:]
    assert all(a.next == b.token for a, b in pairwise(passes))
    assert [p.flags & 3 for p in passes] == [0] * len(prompt) + [1] * (len(passes) - len(prompt))
    assert all(p.flags & 16 for p in passes)
    assert [p.position for p in passes] == list(range(len(passes)))
    assert {p.window for p in passes} == {0xFFFF}
    generated = [p.next for p in passes[len(prompt) - 1 :]]
    assert generated == load(model).greedy(prompt, 20)[: len(generated)]
    assert len(generated) == 20 or generated[-1] == 2
    assert totals["status"] == 0
    assert totals["n_prompt"] == len(prompt)
    assert totals["n_generated"] == len(generated)
    assert totals["passes"] == len(passes)
    said = begin_pairs(host)
    assert said["kind"] == "generate"
    assert said["prompt_id"] == "résumé"
    assert said["n_prompt"] == str(len(prompt))
    assert said["n_generate"] == "20"
    assert said["sampler"] == "greedy"
    assert "fits" not in said
    assert "request" not in said


def test_totals_count_every_frame_and_record(host):
    host.generate("ab", 30)
    run = [f for f in host.frames if f.run == 1]
    totals = wire.decode_run_end(run[-1].body)
    assert totals["frames"] == len(run) - 1
    assert totals["stages"] == sum(f.n for f in run if f.type == Type.STAGES)
    assert totals["samples"] == sum(f.n for f in run if f.type == Type.MEMORY)
    assert totals["dropped"] == 0
    assert totals["t_begin"] == run[0].t0
    assert [f.seq for f in host.frames] == list(range(host.frames[0].seq, host.frames[0].seq + len(host.frames)))
    assert host.damage == 0


def test_stages_add_up_to_the_pass(host):
    passes, _ = host.generate("ab", 5)
    stages: dict[int, int] = {}
    for frame in of_type(host, Type.STAGES):
        for position, _stage, ticks in struct.iter_unpack("<HBxI", frame.body):
            stages[position] = stages.get(position, 0) + ticks
    for p in passes:
        assert 0.95 * p.ticks < stages[p.position] <= p.ticks


def test_temperature_depends_on_the_seed_alone(host):
    first, _ = host.generate("ab", 20, temperature=1.0, seed=1)
    again, _ = host.generate("ab", 20, temperature=1.0, seed=1)
    other, _ = host.generate("ab", 20, temperature=1.0, seed=2)
    assert first == again  # to the tick: what went before, and so the frames' numbers, makes no difference
    assert [p.next for p in first] != [p.next for p in other]
    assert begin_pairs(host)["sampler"] == "temperature"
    assert begin_pairs(host)["temperature"] == "1"


def test_generation_ends_where_the_context_is_full(model):
    with board(model, n_ctx=16) as host:
        passes, totals = host.generate("ab", 100, temperature=2.0, seed=3)
        assert len(passes) == 16
        assert totals["n_generated"] == 16 - totals["n_prompt"] + 1
        assert host.hello()["n_ctx"] == "16"


def test_score_runs_through_windows(host, model):
    windows = [[1, 5, 6, 7, 8, 9], [1, 10, 11, 12]]
    passes = host.score(windows, first_scored=2)
    assert [p.window for p in passes] == [0] * 5 + [1] * 3
    exact = [*load(model).nll(windows[0], kv_f16=True), *load(model).nll(windows[1], kv_f16=True)]
    assert [p.nll for p in passes] == pytest.approx(exact, abs=1e-4)
    end = host.wait(lambda f: True) if not of_type(host, Type.RUN_END) else of_type(host, Type.RUN_END)[0]
    assert wire.decode_run_end(end.body)["passes"] == 8
    said = begin_pairs(host)
    assert said["kind"] == "score"
    assert said["n_windows"] == "2"
    assert said["prompt_id"] == "text"


def test_windows_must_come_in_order(host):
    ids = [1, 5, 6]
    request = host.next_request()
    assert host.reply_to(wire.score_request(request, 1, 3, ids, 0, label=""), request)[0] == 2
    request = host.next_request()
    assert host.reply_to(wire.score_request(request, 0, 3, ids, 0, label=""), request)[0] == 0
    request = host.next_request()
    assert host.reply_to(wire.score_request(request, 2, 3, ids, 0, label=""), request)[0] == 2
    # A new run takes the place of one whose next window never came.
    host.port.write(wire.run_request(host.next_request(), "ab", 3, label=""))
    host.wait(lambda f: f.type == Type.RUN_END and f.run == 2)
    assert [wire.decode_run_end(f.body)["status"] for f in of_type(host, Type.RUN_END)] == [1, 0]


def test_bad_arguments_are_refused(host):
    def code(data: bytes) -> int:
        return host.reply_to(data, host.request)[0]

    assert code(wire.score_request(host.next_request(), 0, 1, [1], 0, label="")) == 2
    assert code(wire.score_request(host.next_request(), 0, 1, [1, 64], 0, label="")) == 2  # no such token
    assert code(wire.score_request(host.next_request(), 0, 1, [1] * 66, 0, label="")) == 2  # n_ctx + 2
    assert code(wire.run_request(host.next_request(), "ab", 0, label="")) == 2
    assert code(wire.run_request(host.next_request(), "word " * 100, 5, label="")) == 2
    assert code(wire.run_request(host.next_request(), "ab", 5, temperature=float("inf"), label="")) == 2
    for type_, body in ((0x82, b""), (0x82, b"\1\0\0\xff" + bytes(8)), (0x83, bytes(12)), (0x83, b"x" * 40)):
        request = host.next_request()
        assert host.reply_to(wire.encode_frame(type_, body, run=request, seq=request), request)[0] == 2
    request = host.next_request()
    assert host.reply_to(wire.encode_frame(0x99, b"", run=request, seq=request), request)[0] == 1
    assert host.generate("ab", 2)[1]["status"] == 0


def test_the_same_request_is_done_once_and_answered_twice(host):
    request = host.next_request()
    asked = wire.score_request(request, 0, 1, [1, 5, 6], 0, label="")
    assert host.reply_to(asked, request) == (0, "")
    assert host.reply_to(asked, request) == (0, "")
    assert len(of_type(host, Type.RUN_END)) == 1
    asked = wire.run_request(host.next_request(), "ab", 3, label="")
    host.port.write(asked + asked)
    host.wait(lambda f: f.type == Type.RUN_END)
    host.hello()
    assert len(of_type(host, Type.RUN_END)) == 2


def test_stop_ends_the_run(host):
    request = host.next_request()
    host.port.write(wire.score_request(request, 0, 9, [1] * 65, 0, label=""))
    host.wait(lambda f: f.type == Type.RUN_BEGIN)
    stop = host.next_request()
    assert host.reply_to(wire.stop_request(stop), stop)[0] == 0
    end = (
        host.wait(lambda f: f.type == Type.RUN_END)
        if not of_type(host, Type.RUN_END)
        else of_type(host, Type.RUN_END)[0]
    )
    assert wire.decode_run_end(end.body)["status"] == 1
    stop = host.next_request()
    assert host.reply_to(wire.stop_request(stop), stop)[0] == 0  # nothing to stop is no fault


def test_other_commands_have_to_wait(model):
    with board(model) as host:
        run, second, hello, stop = (host.next_request() for _ in range(4))
        commands = [
            wire.run_request(run, "ab", 60, label="", temperature=5.0, seed=9),
            wire.run_request(second, "ab", 60, label=""),
            wire.hello_request(hello),
            wire.stop_request(stop),
        ]
        host.port.write(b"".join(commands))  # they lie in the line, and are seen between the first passes
        host.wait(lambda f: f.type == Type.RUN_END)
        answers = {wire.decode_reply(f.body)[0]: wire.decode_reply(f.body)[1] for f in of_type(host, Type.REPLY)}
        assert answers == {run: 0, second: 3, stop: 0}
        assert wire.decode_run_end(host.frames[-1].body)["status"] == 1


@pytest.mark.parametrize("options", [{"ram": 8192}, {"ram": 30000}, {"flash": 100_000}], ids=str)
def test_what_does_not_fit_says_so_with_figures(model, options):
    with board(model, **options) as host:
        said = host.hello()
        assert said["fits"] == "0"
        for ask in (
            wire.run_request(host.next_request(), "ab", 5, label="a"),
            wire.score_request(host.next_request(), 0, 2, [1, 5], 0, label="a"),
        ):
            first = len(host.frames)
            request = wire.decode_frame(ask.strip(b"\0")).run
            assert host.reply_to(ask, request)[0] == 4
            pairs = begin_pairs(host, first)
            assert int(pairs["ram_needed_bytes"]) > int(pairs["ram_bytes"]) or int(pairs["flash_needed_bytes"]) > int(
                pairs["flash_bytes"]
            )
            end = wire.decode_run_end(of_type(host, Type.RUN_END, first)[0].body)
            assert (end["status"], end["passes"]) == (2, 0)


def test_just_enough_ram_is_enough(model):
    with board(model) as host:
        needed = int(host.hello()["ram_needed_bytes"])
    for ram, fits in ((needed, "1"), (needed - 1, "0")):
        with board(model, ram=ram) as host:
            assert host.hello()["fits"] == fits
            if fits == "1":
                assert host.generate("ab", 60, temperature=2.0)[1]["status"] == 0


def test_noise_on_the_line_is_survived(host):
    noise = random.Random(5)
    good = wire.run_request(900, "ab", 3, label="")
    for _ in range(60):
        host.port.write(bytes(noise.randrange(256) for _ in range(noise.randrange(200))))
        broken = bytearray(good)
        broken[noise.randrange(1, len(broken) - 1)] ^= 1 << noise.randrange(8)
        host.port.write(bytes(broken))
    host.port.write(b"\0" + b"\xff" * 5000 + b"\0")
    assert host.generate("ab", 3)[1]["status"] == 0
    assert host.damage == 0
    assert len(of_type(host, Type.RUN_END)) == 1


def test_ticks_are_the_same_on_each_execution(model):
    def execution(pause: float, transport: str, chunk: int) -> list[object]:
        with board(model, transport=transport) as host:
            host.hello()
            seen: list[object] = []
            data = wire.run_request(host.next_request(), "abcd ab ef", 40, label="x", temperature=1.5, seed=4)
            for i in range(0, len(data), chunk):
                host.port.write(data[i : i + chunk])
                time.sleep(pause)
            host.wait(lambda f: f.type == Type.RUN_END)
            seen += host.passes()
            first = len(host.frames)
            for i in range(3):
                request = host.next_request()
                data = wire.score_request(request, i, 3, [1, *range(5, 50)], 20, label="y")
                for k in range(0, len(data), chunk):
                    host.port.write(data[k : k + chunk])
                    time.sleep(pause)
                host.wait(lambda f, request=request: f.type == Type.REPLY and wire.decode_reply(f.body)[0] == request)
            seen += host.passes(first)
            begin = next(f.t0 for f in host.frames[first:] if f.type == Type.RUN_BEGIN)
            frames = [(f.type, f.run, f.n, f.seq, f.t0 - begin, f.dt, f.body) for f in host.frames[first:]]
            return [*seen, *[f for f in frames if f[1] and f[0] != Type.RUN_END]]

    fast = execution(0, "pty", 10_000)
    assert fast == execution(0, "pty", 10_000)
    assert fast == execution(0.004, "pty", 7)
    assert fast == execution(0.001, "socket", 50)


def test_ticks_do_not_depend_on_request_and_frame_numbers(host):
    windows = [[1, *range(5, 30)], [1, 6, 5]]
    seen = []
    for request in (0, 253, 255, 0x0EFF, 0x1100, 0xABCC):
        host.request = request
        for _ in range(40):
            host.hello()  # frame numbers go through 255
        host.request = request
        first = len(host.frames)
        passes = host.score(windows)
        end = next(f for f in host.frames[first:] if f.type == Type.RUN_END)
        seen.append((passes, end.t0 - wire.decode_run_end(end.body)["t_begin"]))
    assert all(run == seen[0] for run in seen)


def test_the_tap_holds_what_was_sent(model, tmp_path):
    tap = tmp_path / "tap"
    with board(model, tap=tap, boot=77) as host:
        host.generate("ab", 10)
        sent = [p.frame for p in wire.Splitter().feed(tap.read_bytes()) if p.frame]
        assert sent == host.frames
        assert {f.boot for f in sent} == {77}


def test_a_host_may_go_and_another_come(model):
    for transport in ("pty", "socket"):
        with boards.start("wasm", model, transport=transport) as running:
            assert running.url.startswith("socket://127.0.0.1:" if transport == "socket" else "/dev/")
            for _ in range(2):
                host = Host(running.url)
                host.request = random.randrange(60000)
                assert host.generate("ab", 3)[1]["status"] == 0
                host.close()


def test_it_ends_with_its_standard_input_or_a_signal(model):
    running = boards.start("wasm", model)
    assert running.stop() == 0
    running = boards.start("wasm", model)
    running.process.terminate()
    assert running.process.wait(5) == 0
    running.stop()
    with boards.start("wasm", model) as running:  # also in the middle of a run that nobody reads
        slave = os.open(running.url, os.O_RDWR | os.O_NOCTTY)
        windows = [wire.score_request(i + 1, i, 500, [1] * 64, 0, label="") for i in range(5)]
        os.write(slave, b"".join(windows))
        time.sleep(0.3)
        assert running.stop() == 0
        os.close(slave)
