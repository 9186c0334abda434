"""Logits all the way: the reference firmware sends them, a data set has them, and they say what the tokens say."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from firmware_host import MODELS, needs_board, tiny_model

import edgeprof
from edgeprof import resources, wire
from edgeprof.capture import Source, capture
from edgeprof.care import verify
from edgeprof.cli import main
from edgeprof.decode import decode_port
from edgeprof.decode_state import PortState
from edgeprof.driver import Evaluation, Generation
from edgeprof.errors import StorageError, UsageError
from edgeprof.kept import KeptWire
from edgeprof.merge import merge
from edgeprof.redecode import redecode
from edgeprof.same import differences
from edgeprof.schema import arrow_schema
from edgeprof.seal import load_manifests
from edgeprof.sources import capture_boards, evaluation
from edgeprof.store import Dataset
from edgeprof.sweep import load_plan, run_sweep
from edgeprof.tables import build

pytestmark = [pytest.mark.slow, pytest.mark.once]

FABLE = MODELS / "fable-0.5m-F16.gguf"
N_VOCAB, N_SCORED = 512, 127


def captured(board: str, out: Path, *, logits: bool = True, model: Path = FABLE, **options: Any) -> Dataset:
    """Return the capture of one window of text and of a generation."""
    needs_board(board)
    jobs = [evaluation(MODELS / "eval.txt", model, max_windows=1, logits=logits), Generation("p", "Once", 4)]
    capture_boards([board], out, jobs, model=model, **options)
    return edgeprof.open(out)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wasm")
    captured("wasm", out)
    return out


def positions(dataset: Dataset) -> dict[tuple[int, int], np.ndarray]:
    """Return the logits of every position of which all are there, by window and position."""
    rows = dataset.table("logits").sort_values(["window", "position", "first_id"])
    found = {}
    for key, of_one in rows.groupby(["window", "position"]):
        ends = of_one["first_id"] + of_one["logits"].map(len)
        if of_one["first_id"].tolist() == [0, *ends[:-1]] and ends.iloc[-1] == N_VOCAB:
            found[key] = np.concatenate(of_one["logits"].tolist())
    return found


def assert_they_say_what_the_tokens_say(dataset: Dataset) -> None:
    tokens = dataset.table("tokens", where={"kind": "score"})
    scored = tokens[tokens["scored"]]
    whole = positions(dataset)
    assert list(whole) == list(scored[["window", "position"]].itertuples(index=False, name=None))
    assert len(whole) == N_SCORED
    for row in scored.itertuples():
        logits = whole[row.window, row.position]
        assert logits.dtype == np.float32
        assert int(np.argmax(logits)) == row.top1_id
        exact = logits.astype(np.float64)
        nll = np.log(np.exp(exact - exact.max()).sum()) - (exact[row.next_id] - exact.max())
        assert nll == pytest.approx(row.nll, rel=1e-5, abs=1e-5)


def test_softmax_of_them_is_the_nll_and_their_largest_the_top_1(data):
    assert_they_say_what_the_tokens_say(edgeprof.open(data))


def test_the_same_on_this_machine_s_own_board(tmp_path):
    assert_they_say_what_the_tokens_say(captured("host", tmp_path))


def test_no_pass_takes_a_tick_more_for_them(data, tmp_path):
    without, with_ = captured("wasm", tmp_path, logits=False), edgeprof.open(data)
    assert without.table("logits").empty
    columns = ["kind", "window", "position", "ticks", "nll", "top1_id", "scored"]
    a, b = (
        d.tokens.merge(d.runs[["run_id", "kind"]], on="run_id")[columns].sort_values(columns[:3])
        for d in (without, with_)
    )
    assert a.reset_index(drop=True).equals(b.reset_index(drop=True))
    spent = with_.runs.set_index("kind")["ticks_total"] - without.runs.set_index("kind")["ticks_total"]
    assert spent["generate"] == 0
    assert spent["score"] > 0  # the run's do hold what sending takes


@pytest.mark.emulators
def test_a_microcontroller_sends_what_wasm_sends(tmp_path):
    model = tiny_model(tmp_path / "tiny.gguf", kind="Q8_0", pieces=[f"more{i}" for i in range(500)])
    job = Evaluation("t", "-", [5 + i % 20 for i in range(130)], 1, logits=True)
    seen = {}
    for board in ("wasm", "stm32f405"):
        needs_board(board)
        capture_boards([board], tmp_path / board, [job], model=model)
        rows = edgeprof.open(tmp_path / board).table("logits", ["window", "position", "first_id", "logits"])
        seen[board] = [(*row[:3], row[3].tobytes()) for row in rows.itertuples(index=False)]
    assert len(seen["wasm"]) == 2 * 31 * 3
    assert seen["stm32f405"] == seen["wasm"]


def test_a_vocabulary_that_fills_no_frame(tmp_path):
    model = tiny_model(tmp_path / "tiny.gguf")
    job = Evaluation("t", "-", [5 + i % 20 for i in range(64)], 1, logits=True)
    capture_boards(["wasm"], tmp_path / "data", [job], model=model)
    rows = edgeprof.open(tmp_path / "data").table("logits")
    assert set(rows["logits"].map(len)) == {64} and set(rows["first_id"]) == {0}
    assert rows["position"].tolist() == list(range(32, 63))


def test_a_frame_that_is_lost_takes_its_position_away(data):
    (folder,) = data.glob("capture=*")
    manifests = load_manifests(folder)
    stream = b"".join(KeptWire(folder, manifests).read(0, 0, manifests[-1]["ranges"][0]["end"]))
    found = [p for p in wire.Splitter().feed(stream) if p.frame and p.frame.type == wire.Type.LOGITS]
    assert len(found) == 3 * N_SCORED
    lost = found[100]
    harmed = stream[: lost.start + 5] + bytes([stream[lost.start + 5] ^ 1]) + stream[lost.start + 6 :]
    reads = (np.zeros(1, np.int64), np.ones(1, np.int64))
    rows, state = decode_port([harmed], PortState(), capture_id="c", port=0, facts={}, reads=reads, final=True)
    tables = {name: table for (name, _), table in build(rows, "c").items()}
    assert state.lost == 1
    assert tables["runs"].to_pylist()[0]["frames_lost"] == 1
    assert len(tables["logits"]) == 3 * N_SCORED - 1
    assert lost.frame is not None
    position = wire.LOGITS.unpack_from(lost.frame.body)[0]
    there = [r["position"] for r in tables["logits"].to_pylist()]
    assert there.count(position) == 2 and {there.count(p) for p in set(there) - {position}} == {3}


def test_a_board_from_before_logits_sends_none_and_nothing_is_wrong(tmp_path, board):
    old = board()  # it takes the flag for the padding that it was
    jobs = [Evaluation("eval", "text", list(range(3, 50)), 1, logits=True)]
    result = capture([Source(old.url, "old")], tmp_path, jobs)
    assert (result.failed, result.outcomes["old"].refused) == ({}, [])
    dataset = edgeprof.open(tmp_path)
    assert dataset.runs["status"].tolist() == ["ok"] and dataset.runs["frames_lost"].tolist() == [0]
    assert dataset.table("logits").empty and list(dataset.table("logits").columns)[-1] == "logits"
    assert dataset.table("events").empty


# ---- what walks all tables ----


def test_care_keeps_them(data, tmp_path):
    shutil.copytree(data, tmp_path / "copy")
    assert verify(tmp_path / "copy") == []
    assert [o.what for o in redecode(tmp_path / "copy")] == ["redecoded: the same tables"]
    assert [o.code for o in merge([tmp_path / "copy"], tmp_path / "merged")] == [0]
    for name in ("copy", "merged"):
        again = edgeprof.open(tmp_path / name)
        assert differences(edgeprof.open(data), again) == []
        assert_they_say_what_the_tokens_say(again)


def test_a_logit_that_differs_is_seen(data, tmp_path):
    shutil.copytree(data, tmp_path / "copy")
    (file,) = tmp_path.rglob("logits.parquet")
    table = pq.read_table(file)
    values = [list(row) for row in table["logits"].to_pylist()]
    values[5][7] = float(np.nextafter(np.float32(values[5][7]), np.float32(np.inf)))
    changed = pa.array(values, arrow_schema("logits").field("logits").type)
    pq.write_table(table.set_column(table.column_names.index("logits"), "logits", changed), file)
    (found,) = differences(edgeprof.open(data), edgeprof.open(tmp_path / "copy"))
    assert found.startswith(f"logits.logits: 1 of {3 * N_SCORED} differ; the first in wasm/")


def test_they_are_read_only_if_they_are_asked_for(data, tmp_path):
    shutil.copytree(data, tmp_path / "copy")
    (file,) = tmp_path.rglob("logits.parquet")
    file.unlink()
    dataset = edgeprof.open(tmp_path / "copy")
    assert len(edgeprof.measure(dataset)) == 2 and len(dataset.tokens) > 255
    with pytest.raises(StorageError, match=r"logits\.parquet cannot be read"):
        dataset.table("logits")


@pytest.mark.parametrize("value", [1.0, [1.0], [[1.0]]])
def test_they_are_nothing_to_choose_rows_by(data, value):
    with pytest.raises(UsageError, match="'logits' cannot be compared with"):
        edgeprof.open(data).table("logits", where={"logits": value})


def test_as_csv_a_list_is_one_field(data, tmp_path):
    assert main(["export", str(data), "logits", "--out", str(tmp_path / "l.csv")]) == 0
    with (tmp_path / "l.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    stored = edgeprof.open(data).table("logits")
    assert [row["first_id"] for row in rows] == stored["first_id"].map(str).tolist()
    for row, logits in zip(rows, stored["logits"], strict=True):
        assert np.array_equal(np.array(row["logits"].split(" "), np.float32), logits)


def test_asking_for_them_takes_a_text(data, capsys):
    assert main(["capture", "wasm", "--out", str(data), "--logits", "--prompt", "x", "--model", str(FABLE)]) == 3
    assert "--eval FILE" in capsys.readouterr().err


# ---- the reference ----


def test_the_reference_logits_are_those_that_are_captured_now(tmp_path):
    """One of the quantizations; `edgeprof sweep data/samples/logits/plan.toml` makes all of them."""
    folder = resources.path("data/samples/logits")
    assert verify(folder) == []
    plan = load_plan(folder / "plan.toml")
    (model, quants, keep) = plan.models[0]
    run_sweep(replace(plan, models=((model, quants[2:3], keep),)), tmp_path)
    committed, again = edgeprof.open(folder), edgeprof.open(tmp_path)
    assert differences(again, committed, subset=True) == []
    assert set(committed.runs["quant"]) == set(quants) and len(again.table("logits")) == 3 * N_SCORED
