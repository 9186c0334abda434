"""What every registered board keeps to: it is what it says, and does the same thing twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from firmware_host import needs_board, tiny_model

import edgeprof
from edgeprof import boards, plots
from edgeprof.capture import capture
from edgeprof.driver import Evaluation, Generation
from edgeprof.errors import DeviceError, UsageError
from edgeprof.metrics import EXACT_CLOCKS
from edgeprof.same import differences
from edgeprof.sources import open_sources

every = pytest.mark.parametrize("name", boards.names())


@every
def test_it_says_what_it_is(name):
    board = boards.get(name)
    assert board.name == name
    assert board.core and len(board.description) > 20
    assert board.emulator or board.clock == "host"
    assert board.clock in (*EXACT_CLOCKS, "device_timer", "host")
    assert not plots.tick_unit(board.clock).startswith("ticks of")
    assert board.board_clock_hz > 1e6 and 0 < board.ram_bytes < board.flash_bytes


@every
@pytest.mark.emulators
def test_an_unknown_option_is_refused(name):
    needs_board(name)
    with pytest.raises(UsageError, match="'rma'"):
        boards.start(name, Path("model.gguf"), rma=1)


@every
@pytest.mark.slow
@pytest.mark.emulators
@pytest.mark.parametrize(("option", "value"), [("n_ctx", 0), ("n_ctx", 70_000), ("boot", 0), ("boot", "one")])
def test_a_value_out_of_range_is_a_sentence(name, option, value, tmp_path):
    needs_board(name)
    said = rf"board '{name}' did not start \(exit code 2\): .*--(boot and --n-ctx must be|boot: invalid int)"
    with pytest.raises(DeviceError, match=said):
        boards.start(name, tmp_path / "model.gguf", **{option: value})


@every
@pytest.mark.slow
@pytest.mark.emulators
def test_it_runs_a_model_and_twice_is_the_same(name, tmp_path):
    needs_board(name)
    board = boards.get(name)
    model = tiny_model(tmp_path / "tiny.gguf", kind="Q8_0", context=12)
    jobs = [Generation("a", "ab", 4), Evaluation("text", "of random words", list(range(5, 16)), 1)]
    for turn in ("first", "second"):
        with open_sources([name], model) as sources:
            made = capture(sources, tmp_path / turn, jobs)
        assert made.failed == {} and [o.refused for o in made.outcomes.values()] == [[]]
    first, second = (edgeprof.open(tmp_path / turn) for turn in ("first", "second"))
    runs = first.runs
    assert runs["status"].tolist() == ["ok", "ok"]
    assert runs["frames_lost"].tolist() == [0, 0]
    for column in ("board_clock_hz", "ram_bytes", "flash_bytes"):
        assert set(runs[column]) == {getattr(board, column)}, column
    for column, value in (("board", name), ("clock", board.clock), ("quant", "Q8_0"), ("n_ctx", 12)):
        assert set(runs[column]) == {value}, column
    assert runs[["core", "firmware", "compiler", "firmware_sha256", "model_sha256"]].notna().all(axis=None)
    if board.emulator:  # `host` is whatever this machine is
        assert set(runs["core"]) == {board.core} and set(runs["emulator"]) == {board.emulator}
        assert set(runs["emulator_version"]) == {boards.version(name)}
    generated, scored = (first.tokens[first.tokens["run_id"] == run] for run in runs["run_id"])
    assert (generated["phase"] == "decode").sum() == 3 and generated["ticks"].gt(0).all()
    assert (len(scored), scored["scored"].sum()) == (11, 5)
    if board.clock in EXACT_CLOCKS:
        assert differences(first, second) == []
