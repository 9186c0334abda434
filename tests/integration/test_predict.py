"""Predictions against what emulated boards really did, and the verb."""

from __future__ import annotations

import json
import runpy

import numpy as np
import pytest
from firmware_host import needs_board
from headers import header

import edgeprof
from edgeprof import resources
from edgeprof.cli import main
from edgeprof.driver import Generation
from edgeprof.footprint import Firmware, footprint
from edgeprof.model_shape import read_shape
from edgeprof.observed import load_captures, shipped_captures
from edgeprof.quantize import quantize
from edgeprof.sources import capture_boards

BOARDS = {"wasm", "stm32f405", "rp2040", "rv32imac", "lx106"}
SMALL = {"layers": 1, "dim": 256, "heads": 8, "kv_heads": 2, "ff": 256, "vocab": 512, "context": 256}


def model(name: str) -> str:
    folder = "data/reference/sizes" if name == "shape-wide" else "data/models"
    return str(resources.path(f"{folder}/{name}-F16.gguf"))


@pytest.fixture(scope="module")
def q4(tmp_path_factory):
    return quantize(model("fable-0.5m"), tmp_path_factory.mktemp("q") / "m.gguf", "Q4_0").path


def test_memory_is_exact_for_every_run_that_comes_with_edgeprof():
    names = ["ram_needed_bytes", "flash_needed_bytes", "kv_cache_bytes", "activation_bytes", "model_bytes"]
    shapes, checked = {}, set()
    for dataset in load_captures():
        for run in dataset.runs.itertuples():
            key = (run.model, run.quant)
            if key not in shapes:
                shape = read_shape(model(run.model))
                shapes[key] = shape if shape.quant == run.quant else shape.quantized(run.quant)
            firmware = Firmware(run.image_bytes, run.static_ram_bytes, run.stack_reserved_bytes)
            found = footprint(shapes[key], run.n_ctx, firmware)
            assert [getattr(found, n) for n in names] == [getattr(run, n) for n in names], (run.board, key)
            checked.add((run.board, *key))
    assert {board for board, *_ in checked} == BOARDS and len(checked) > 120


def test_held_out_predictions_are_within_ten_percent_on_every_board():
    errors = edgeprof.held_out()
    assert set(errors["board"]) == BOARDS
    assert {"fable-1.2m", "fable-0.5m", "shape-wide"} <= set(errors["model"])
    assert errors.groupby("board")["quant"].nunique().min() >= 8
    assert errors.groupby("board")["position"].max().min() >= 127
    assert errors["error"].abs().max() < 0.10
    assert errors["error"].abs().median() < 0.01


def test_the_reference_data_alone_know_no_error(q4):
    p = edgeprof.predict(q4, "rp2040", edgeprof.reference())
    assert p.status == "calibrated" and p.error is None and "no second model" in p.error_of


@pytest.mark.nightly
@pytest.mark.slow
def test_a_model_that_was_never_captured(tmp_path):
    """Six layers of a width that no captured model has, on the board that has the room: within 2 %."""
    needs_board("wasm")
    write = runpy.run_path(str(resources.path("data/reference/sizes/make_shape.py")))["write"]
    file = quantize(write("blind-b", tmp_path / "f16.gguf"), tmp_path / "m.gguf", "Q8_0").path
    job = Generation("p", "Sam had a green lamp", 4)
    capture_boards(["wasm"], tmp_path / "data", [job], model=file, idle_seconds=120.0)
    tokens = edgeprof.open(tmp_path / "data").tokens
    measured = tokens[tokens["phase"] == "decode"].set_index("position")["ticks"]
    for position, ticks in measured.items():
        p = edgeprof.predict(file, "wasm", position=int(position))
        assert p.fits and p.decode_ticks_per_token == pytest.approx(ticks, rel=0.02)
        assert "layers 6 (captured: 1 to 2)" in p.outside


@pytest.mark.slow
def test_a_capture_of_another_size_comes_out_the_same(tmp_path, q4):
    needs_board("wasm")
    capture_boards(["wasm"], tmp_path, [Generation("short-lamp", "Sam had a green lamp", 8)], model=q4)
    fresh = edgeprof.open(tmp_path).tokens
    known = edgeprof.open(shipped_captures()[1])
    runs = known.runs
    same = runs[(runs["board"] == "wasm") & (runs["model"] == "fable-0.5m") & (runs["quant"] == "Q4_0")]
    ran = known.table("tokens", where={"run_id": list(same[same["n_generate"] == 8]["run_id"])})
    columns = ["position", "token_id", "next_id", "ticks"]
    assert fresh[columns].equals(ran[columns].reset_index(drop=True)) and len(fresh) > 10


def test_the_verb_prints_tables_and_judges(q4, tmp_path, capsys):
    assert main(["predict", str(q4), "--board", "stm32f405", "--context", "64"]) == 0
    said = capsys.readouterr().out
    for words in ("KV cache", "upper bound", "decode: attention", "ticks (instructions)", "Error of cost: up to"):
        assert words in said
    assert "fits: " in said and "context 64, position 32" in said
    large = header(tmp_path / "tinyllama.gguf")
    assert main(["predict", str(large), "--board", "wasm"]) == 1
    said = capsys.readouterr().out
    assert "DOES NOT FIT" in said and "Beyond what was captured" in said and "parameters 1,100,048,384" in said
    floats = header(tmp_path / "f16.gguf", "F16", tied=True, **SMALL)
    assert main(["predict", str(floats), "--board", "stm32f405"]) == 2
    assert "not calibrated: stm32f405 was never captured with tensors in F16" in capsys.readouterr().out


def test_the_verb_says_the_same_to_programs(q4, capsys):
    assert main(["predict", str(q4), "--board", "wasm", "--position", "17", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    p = edgeprof.predict(q4, "wasm", position=17)
    assert said["decode_ticks_per_token"] == p.decode_ticks_per_token and said["fits"] is True
    assert said["memory"]["ram_needed_bytes"] == p.memory.ram_needed_bytes
    stages = {row["stage"]: row["ticks"] for row in said["stages"]}
    np.testing.assert_allclose(sum(stages.values()), p.decode_ticks_per_token)
    assert said["error"] < 0.1 and said["outside"] == [] and said["clock"] == "fuel"
    assert main(["predict", str(q4), "--board", "host", "--json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert said["fits"] is None and said["decode_ticks_per_token"] is None and said["stages"][0]["ticks"] is None


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["MODEL", "--board", "rp240"], "Did you mean 'rp2040'?"),
        (["TEXT", "--board", "rp2040"], "is not a GGUF file"),
        (["QWEN", "--board", "rp2040"], "its architecture is 'qwen2'"),
        (["MODEL", "--board", "rp2040", "--context", "1000"], "positions for 1 to 256 tokens"),
    ],
)
def test_wrong_use(words, answer, q4, tmp_path, capsys):
    text = tmp_path / "text.gguf"
    text.write_text("no model", encoding="utf-8")
    files = {"MODEL": q4, "TEXT": text, "QWEN": header(tmp_path / "q.gguf", arch="qwen2", **SMALL)}
    assert main(["predict", *(str(files.get(word, word)) for word in words)]) == 3
    assert answer in capsys.readouterr().err


def test_captures_of_ones_own_are_used(q4, capsys):
    paths = [word for path in shipped_captures() for word in ("--captures", path)]
    assert main(["predict", str(q4), "--board", "lx106", *paths, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["error"] is not None
    assert main(["predict", str(q4), "--board", "lx106", "--captures", "/nowhere/at/all"]) == 5
    assert "no data set" in capsys.readouterr().err
