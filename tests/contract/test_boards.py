"""What every registered board keeps to: it is what it says, and does the same thing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgeprof
from edgeprof import boards, plots
from edgeprof.capture import capture
from edgeprof.driver import Generation
from edgeprof.errors import UsageError
from edgeprof.metrics import EXACT_CLOCKS
from edgeprof.same import differences
from edgeprof.sources import evaluation, open_sources

DATA = Path(__file__).parents[2] / "data" / "models"
MODEL = DATA / "fable-1.2m-F16.gguf"

every = pytest.mark.parametrize("name", boards.names())


def needed(name: str) -> None:
    if reason := boards.why_not(name):
        pytest.skip(f"needs for the board {name}: {reason}")


@every
def test_it_says_what_it_is(name):
    board = boards.get(name)
    assert board.name == name
    assert board.core and board.emulator and len(board.description) > 20
    assert board.clock in (*EXACT_CLOCKS, "device_timer", "host")
    assert not plots.tick_unit(board.clock).startswith("ticks of")
    assert board.board_clock_hz > 1e6 and 0 < board.ram_bytes < board.flash_bytes


@every
def test_an_unknown_option_is_refused(name):
    needed(name)
    with pytest.raises(UsageError, match="'rma'"):
        boards.start(name, MODEL, rma=1)


@every
@pytest.mark.slow
def test_it_runs_a_model_and_twice_is_the_same(name, tmp_path):
    needed(name)
    board = boards.get(name)
    jobs = [Generation("a", "Once upon a time", 4), evaluation(DATA / "eval.txt", MODEL, max_windows=1)]
    for turn in ("first", "second"):
        with open_sources([name], MODEL) as sources:
            made = capture(sources, tmp_path / turn, jobs)
        assert made.failed == {} and [o.refused for o in made.outcomes.values()] == [[]]
    first, second = (edgeprof.open(tmp_path / turn) for turn in ("first", "second"))
    assert first.runs["status"].tolist() == ["ok", "ok"]
    assert first.runs["frames_lost"].tolist() == [0, 0]
    for column in ("board_clock_hz", "ram_bytes", "flash_bytes"):
        assert set(first.runs[column]) == {getattr(board, column)}, column
    for column, value in (("board", name), ("core", board.core), ("clock", board.clock), ("emulator", board.emulator)):
        assert set(first.runs[column]) == {value}, column
    assert first.runs[["emulator_version", "firmware", "firmware_sha256", "model_sha256"]].notna().all(axis=None)
    generated, scored = (first.tokens[first.tokens["run_id"] == run] for run in first.runs["run_id"])
    assert (generated["phase"] == "decode").sum() == 3 and generated["ticks"].gt(0).all()
    n_ctx = int(first.runs["n_ctx"].iloc[0])
    assert (len(scored), scored["scored"].sum()) == (n_ctx - 1, n_ctx - 1 - n_ctx // 2)
    if board.clock in EXACT_CLOCKS:
        assert differences(first, second) == []
