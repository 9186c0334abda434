"""The conversation with our own firmware: no port, no clock."""

from __future__ import annotations

import struct
from collections.abc import Generator
from typing import Any

import pytest

from edgeprof import wire
from edgeprof.driver import HELLO_TRIES, Ask, Evaluation, Generation, Outcome, converse, prompt_row
from edgeprof.errors import DeviceError, UsageError

PAIRS = {"board": "fake", "n_ctx": "8"}
HELLO = wire.Frame(wire.Type.HELLO, 1, 0, len(PAIRS), 0, 0, 0, wire.encode_pairs(PAIRS))
RUN_END = wire.Frame(wire.Type.RUN_END, 1, 1, 1, 0, 0, 0, bytes(40))


def reply(ask: Ask, code: int = 0, text: str = "") -> wire.Frame:
    request = request_of(ask).run
    return wire.Frame(wire.Type.REPLY, 1, 0, 1, 0, 0, 0, struct.pack("<HBB", request, code, len(text)) + text.encode())


def request_of(ask: Ask) -> wire.Frame:
    (piece,) = wire.Splitter().feed(ask.frame)
    assert piece.frame is not None
    return piece.frame


def talk(jobs: list[Any], **options: Any) -> tuple[Generator[Ask, wire.Frame | None, Outcome], Ask]:
    """Start a conversation and answer its HELLO; return it and what it asks next."""
    it = converse(jobs, name="fake", **options)
    hello = next(it)
    assert request_of(hello).type == wire.Type.ASK_HELLO
    assert (hello.tries, hello.done(HELLO), hello.done(RUN_END)) == (HELLO_TRIES, True, False)
    return it, it.send(HELLO)


def end(it: Generator[Ask, wire.Frame | None, Outcome], answer: wire.Frame | None) -> Outcome:
    with pytest.raises(StopIteration) as stop:
        it.send(answer)
    return stop.value.value


def test_a_generation() -> None:
    done: list[int] = []
    it, ask = talk([Generation("p", "Once", 9, 0.5, 3)], idle_seconds=7, advance=done.append)
    frame = request_of(ask)
    assert frame.type == wire.Type.ASK_RUN
    assert frame.body == struct.pack("<HBBIf", 9, 1, 1, 3, 0.5) + b"pOnce"
    assert not ask.done(RUN_END)
    assert ask.done(reply(ask))
    wait = it.send(reply(ask))
    assert (wait.frame, wait.seconds, wait.done(RUN_END), wait.done(HELLO)) == (b"", 7, True, False)
    outcome = end(it, RUN_END)
    assert (outcome.hello, outcome.refused, done) == (PAIRS, [], [1])


def test_the_reply_to_another_request_is_not_an_answer() -> None:
    _, ask = talk([Generation("p", "Once")])
    other = wire.Frame(wire.Type.REPLY, 1, 0, 1, 0, 0, 0, struct.pack("<HBB", 77, 0, 0))
    assert not ask.done(other)
    assert not ask.done(wire.Frame(wire.Type.REPLY, 1, 0, 1, 0, 0, 0, b""))


def test_request_ids_are_never_zero() -> None:
    from edgeprof.driver import _Requests

    ids = _Requests(0)
    ids.last = 65534
    assert [ids.next() for _ in range(3)] == [65535, 1, 2]


def test_an_evaluation() -> None:
    done: list[int] = []
    it, ask = talk([Evaluation("e", "text", range(100, 123), 1)], advance=done.append)
    for number in range(3):
        frame = request_of(ask)
        window, n_windows, n_tokens, first, label, width = struct.unpack_from("<HHHHBB", frame.body)
        assert (window, n_windows, n_tokens, first, label, width) == (number, 3, 8, 4, 1, 2)
        ids = struct.unpack("<8H", frame.body[13:])
        assert ids == (1, *range(100 + 8 * number, 107 + 8 * number))
        assert done == [1] * number
        if number == 2:
            assert not ask.done(RUN_END)  # the run's end may come before the last reply
            outcome = end(it, reply(ask))
        else:
            ask = it.send(reply(ask))
    assert (outcome.refused, done) == ([], [1, 1, 1])


@pytest.mark.parametrize("logits", [False, True])
def test_every_window_is_asked_for_with_its_logits_or_without(logits: bool) -> None:
    it, ask = talk([Evaluation("e", "text", range(100, 123), 1, logits=logits)])
    for _ in range(2):
        assert request_of(ask).body[10] == logits
        ask = it.send(reply(ask))
    assert request_of(ask).body[10] == logits


def test_an_evaluation_waits_for_the_end_of_its_run() -> None:
    it, ask = talk([Evaluation("e", "text", range(8), 1, max_windows=1)])
    wait = it.send(reply(ask))
    assert wait.frame == b""
    end(it, RUN_END)


def test_a_lost_run_end_is_not_waited_for_forever() -> None:
    it, ask = talk([Generation("p", "x")])
    wait = it.send(reply(ask))
    alive = wire.Frame(wire.Type.HEARTBEAT, 1, 1, 0, 0, 0, 0, b"")
    idle = wire.Frame(wire.Type.HEARTBEAT, 1, 0, 0, 0, 0, 0, b"")
    assert not wait.done(alive)
    assert wait.done(idle)


def test_windows_are_those_of_llama_cpp() -> None:
    job = Evaluation("e", "t", list(range(10, 21)), 1)
    assert job.windows(4) == [[1, 10, 11, 12], [1, 14, 15, 16], [1, 18, 19, 20]]
    assert job.windows(12) == [[1, *range(10, 21)]]
    assert job.windows(13) == []
    assert Evaluation("e", "t", list(range(10, 21)), 1, 2).windows(4) == job.windows(4)[:2]


def test_a_mute_board() -> None:
    it = converse([Generation("p", "x")], name="fake")
    next(it)
    with pytest.raises(DeviceError, match="did not answer: 5 HELLO requests in 10 s.*baud"):
        it.send(None)


def test_no_reply_to_a_request() -> None:
    it, _ = talk([Generation("p", "x")])
    with pytest.raises(DeviceError, match="did not answer the request for 'p'"):
        it.send(None)


def test_a_board_that_stops_in_the_middle_is_told_to_stop() -> None:
    it, ask = talk([Generation("p", "x")], idle_seconds=3)
    it.send(reply(ask))
    stop = it.send(None)
    assert request_of(stop).type == wire.Type.ASK_STOP
    with pytest.raises(DeviceError, match="said nothing for 3 s in the middle of 'p'; what came is kept"):
        it.send(None)


def test_a_refusal_is_kept_and_the_next_job_is_done() -> None:
    it, ask = talk([Generation("a", "x"), Generation("b", "x"), Generation("c", "x")])
    ask = it.send(reply(ask, 3, "busy"))
    ask = it.send(reply(ask, 4))
    assert request_of(ask).body.endswith(b"cx")
    it.send(reply(ask))
    outcome = end(it, RUN_END)
    assert outcome.refused == ["fake refused 'a': busy"]  # that it does not fit is a result


@pytest.mark.parametrize("pairs", [{}, {"n_ctx": "1"}, {"n_ctx": "many"}])
def test_scoring_needs_a_context_length(pairs: dict[str, str]) -> None:
    it = converse([Evaluation("e", "t", range(50), 1)], name="fake")
    next(it)
    with pytest.raises(DeviceError, match="context length"):
        it.send(wire.Frame(wire.Type.HELLO, 1, 0, len(pairs), 0, 0, 0, wire.encode_pairs(pairs)))


def test_a_text_that_is_too_short() -> None:
    it = converse([Evaluation("e", "t", range(3), 1)], name="fake")
    next(it)
    with pytest.raises(DeviceError, match="has 3 tokens; one window of fake needs 8"):
        it.send(HELLO)


def test_a_prompt_that_is_too_long_is_the_users_to_shorten() -> None:
    it = converse([Generation("p", "x" * 5000)], name="fake")
    next(it)
    with pytest.raises(UsageError, match="shorter prompt"):
        it.send(HELLO)


def test_a_prompts_row() -> None:
    row = prompt_row(Generation("p", "abc"))
    assert row["sha256"].startswith("ba7816bf8f01cfea")
    assert (row["prompt_id"], row["text"]) == ("p", "abc")


def test_a_second_conversation_does_not_begin_like_the_first():
    """A board takes the id that it answered last for a repetition and does nothing."""
    first, second = (next(converse([], name="fake", last_request=last)).frame for last in (0, 65535))
    other = next(converse([], name="fake", last_request=41)).frame
    assert first == second == wire.hello_request(1)
    assert other == wire.hello_request(42)
