"""Ports that vanish and come back, while a capture goes on."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cable import Cable, answering
from capturing import running, wait_for
from fakeboard import FakeBoard

import edgeprof
from edgeprof.capture import Source
from edgeprof.care import recover, verify
from edgeprof.driver import Generation
from edgeprof.redecode import redecode

pytestmark = [pytest.mark.alone, pytest.mark.slow]


def source(cable: Cable, name: str = "fake") -> Source:
    return Source(str(cable.path), name)


def statuses(out: Path) -> list[Any]:
    return list(edgeprof.open(out).runs["status"])


def n_bytes(out: Path) -> int:
    return int(edgeprof.open(out).captures["bytes_read"].iloc[0])


def kinds(out: Path) -> list[str]:
    return list(edgeprof.open(out).table("events")["kind"])


def test_a_cable_that_is_pulled_and_put_back(tmp_path: Path) -> None:
    cable = Cable(tmp_path / "ttyUSB0")
    board = FakeBoard(cable.send)
    with running([source(cable)], tmp_path / "data", seconds=6.0) as result:
        board.generate("a")
        cable.send(b"half of a li")
        wait_for(lambda: n_bytes(tmp_path / "data") == cable.sent, "all bytes")
        cable.pull()
        board.generate("lost")
        wait_for(lambda: kinds(tmp_path / "data")[:1] == ["disconnected"], "the loss")
        time.sleep(0.3)
        cable.plug()
        wait_for(lambda: "reconnect" in kinds(tmp_path / "data"), "the port again")
        cable.send(b"ne\n")
        board.generate("b")
        wait_for(lambda: statuses(tmp_path / "data") == ["ok", "ok"], "two runs")
    assert result["result"].failed == {}
    ds = edgeprof.open(tmp_path / "data")
    assert list(ds.runs["prompt_id"]) == ["a", "b"]
    assert list(ds.runs["frames_lost"]) == [0, 0]
    assert n_bytes(tmp_path / "data") == cable.sent
    events = ds.table("events").set_index("kind")
    gap = events.loc["reconnect"]
    assert gap["end"] - gap["start"] > 0.3e9
    assert gap["start"] == events.loc["disconnected", "start"]
    assert "4 frames missing" in events.loc["gap", "detail"]
    # What the gap cut is no line: its halves are not put together.
    assert list(ds.table("logs")["text"]) == ["half of a li", "ne"]
    assert verify(tmp_path / "data") == []
    before = {name: ds.table(name) for name in ("events", "logs", "tokens", "runs")}
    assert [o.code for o in redecode(tmp_path / "data")] == [0]
    for name, table in before.items():
        assert edgeprof.open(tmp_path / "data").table(name).equals(table), name


def test_half_a_number_and_half_another_are_no_claim(tmp_path: Path) -> None:
    cable = Cable(tmp_path / "ttyUSB0")
    with running([source(cable)], tmp_path / "data", seconds=4.0):
        cable.send(b"achieved tok/s: 1")
        wait_for(lambda: n_bytes(tmp_path / "data") == cable.sent, "all bytes")
        cable.pull()
        wait_for(lambda: kinds(tmp_path / "data")[:1] == ["disconnected"], "the loss")
        cable.plug()
        wait_for(lambda: "reconnect" in kinds(tmp_path / "data"), "the port again")
        cable.send(b"8.500000\nachieved tok/s: 3.250000\n")
        wait_for(lambda: n_bytes(tmp_path / "data") == cable.sent, "all bytes")
    assert list(edgeprof.open(tmp_path / "data").claims["value"]) == [3.25]


def test_a_job_goes_on_behind_a_gap(tmp_path: Path) -> None:
    cable = Cable(tmp_path / "ttyUSB0")
    board = FakeBoard(cable.send)
    answering(cable, board, "stall")
    with running([source(cable)], tmp_path / "data", jobs=[Generation("p1", "x", 8)]) as result:
        wait_for(lambda: len(edgeprof.open(tmp_path / "data").tokens) == 4, "the prefill")
        cable.pull()
        wait_for(lambda: kinds(tmp_path / "data")[:1] == ["disconnected"], "the loss")
        cable.plug()
        wait_for(lambda: "reconnect" in kinds(tmp_path / "data"), "the port again")
        board.tokens(4, 7, 1)
        board.end(0, 4, 8)
    assert result["result"].failed == {}
    assert statuses(tmp_path / "data") == ["ok"]
    assert list(edgeprof.open(tmp_path / "data").runs["passes_received"]) == [11]


def test_a_request_that_the_gap_swallowed_is_sent_again(tmp_path: Path) -> None:
    cable = Cable(tmp_path / "ttyUSB0")
    board = FakeBoard(cable.send)
    heard = threading.Event()
    cable.heard = lambda data: heard.set()
    with running([source(cable)], tmp_path / "data", jobs=[Generation("p1", "x", 8)]) as result:
        wait_for(heard.is_set, "the request for HELLO, which stays unanswered")
        cable.pull()
        wait_for(lambda: kinds(tmp_path / "data")[:1] == ["disconnected"], "the loss")
        answering(cable, board)
        cable.plug()
    assert result["result"].failed == {}
    assert statuses(tmp_path / "data") == ["ok"]


def test_a_cable_that_stays_away(tmp_path: Path) -> None:
    gone, there = Cable(tmp_path / "ttyUSB0"), Cable(tmp_path / "ttyUSB1")
    boards = [FakeBoard(gone.send), FakeBoard(there.send)]
    answering(gone, boards[0], "stall")
    answering(there, boards[1])
    sources, jobs = [source(gone, "shelf 3"), source(there, "shelf 4")], [Generation("p1", "x", 8)]
    with running(sources, tmp_path / "data", jobs=jobs, idle_seconds=1.5) as result:
        wait_for(lambda: 0 in set(edgeprof.open(tmp_path / "data").runs["port"]), "the run")
        gone.pull()
    assert "shelf 3 went away" in result["result"].failed["shelf 3"]
    assert "it did not come back for 1.5 s" in result["result"].failed["shelf 3"]
    assert list(result["result"].outcomes) == ["shelf 4"]
    runs = edgeprof.open(tmp_path / "data").runs
    assert dict(zip(runs["port"], runs["status"], strict=True)) == {0: "timeout", 1: "ok"}


def test_a_board_that_restarts_in_the_middle_of_a_job(tmp_path: Path) -> None:
    cable = Cable(tmp_path / "ttyUSB0")
    board = FakeBoard(cable.send)
    answering(cable, board, "stall")
    jobs = [Generation("p1", "x", 8)]
    with running([source(cable, "shelf 3")], tmp_path / "data", jobs=jobs, idle_seconds=30.0) as result:
        wait_for(lambda: len(edgeprof.open(tmp_path / "data").tokens) == 4, "the prefill")
        board.reset()
        board.hello()
    assert "shelf 3 restarted in the middle of its work" in result["result"].failed["shelf 3"]
    assert statuses(tmp_path / "data") == ["reset"]
    assert kinds(tmp_path / "data") == ["reset"]


def test_a_capture_that_ends_while_a_port_is_away(tmp_path: Path) -> None:
    cable = Cable(tmp_path / "ttyUSB0")
    board = FakeBoard(cable.send)
    with running([source(cable)], tmp_path / "data", seconds=3.0) as result:
        board.begin(kind="generate", prompt_id="a")
        board.tokens(0, 4, 0)
        wait_for(lambda: len(edgeprof.open(tmp_path / "data").tokens) == 4, "passes")
        cable.pull()
    assert result["result"].failed == {}
    assert statuses(tmp_path / "data") == ["timeout"]
    assert verify(tmp_path / "data") == []
    assert recover(tmp_path / "data") == []
