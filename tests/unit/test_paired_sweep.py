"""Sweeps in pairs: which cells are held against which, in which order, and what becomes of a pair that is cut off."""

from __future__ import annotations

import itertools
import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import fake_launcher
import pytest

import edgeprof
from edgeprof import boards, sweep, work_pool
from edgeprof.errors import DeviceError, UsageError
from edgeprof.paired_sweep import pair_notes, paired_cells, pairs_a_cell, run_paired_sweep
from edgeprof.pairs import matched_runs, pair_tags

MODEL = Path(__file__).parents[2] / "data" / "models" / "fable-1.2m-F16.gguf"
FIRMWARE = Path(sweep.__file__).parent / "firmware" / "prebuilt" / "wasm.wasm"
TWO = """
boards = ["wasm", "host"]
pairs = 2
[[model]]
file = "{model}"
quants = ["F16", "Q8_0", "Q4_0"]
[[prompt]]
id = "a"
text = "Once"
"""


def written(folder: Path, text: str = TWO, name: str = "plan.toml") -> Path:
    (folder / name).write_text(text.format(model=MODEL.as_posix()), encoding="utf-8")
    return folder / name


@pytest.fixture
def plan(tmp_path):
    return sweep.load_plan(written(tmp_path))


@pytest.fixture
def fake(monkeypatch):
    return fake_launcher.registered(monkeypatch)


@pytest.fixture
def noisy(fake):
    """The fake board, with a clock that is not exact."""
    fake.board = replace(fake.board, clock="host")
    return fake


@pytest.fixture
def small():
    prompts = (("a", "Once"), ("b", "Twice"), ("c", "Thrice"))
    return sweep.Plan(("fake",), ((MODEL, ("F16", "Q8_0"), {}),), prompts, n_generate=5)


# ---- the plan ----


def test_a_plan_takes_pairs_and_firmware_images(tmp_path):
    text = TWO.replace("pairs = 2", f'pairs = 7\nfirmware = {{{{ wasm = "{FIRMWARE.as_posix()}" }}}}')
    plan = sweep.load_plan(written(tmp_path, text))
    assert (plan.pairs, plan.firmware) == (7, {"wasm": FIRMWARE})
    models = [(MODEL, "F16")]
    cells = {c.board: c for c in sweep.cells(plan, models)}
    assert cells["wasm"].image == FIRMWARE and cells["host"].image is None
    usual = {c.board: c for c in sweep.cells(replace(plan, firmware={}), models)}
    assert cells["wasm"].key != usual["wasm"].key  # another image is another cell
    assert cells["host"].key == usual["host"].key


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('firmware = { wasp = "x.wasm" }', r"no board of the plan, to run a firmware .* 'wasp'. Did you mean 'wasm'"),
        ('firmware = { wasm = "none.wasm" }', r"names .*none\.wasm: there is no such file"),
        ('firmware = { wasm = "plan.toml" }', r"plan\.toml"),
        ("firmware = { wasm = 3 }", "wrong type"),
        ('firmware = "x.wasm"', "wrong type"),
        ('pairs = "many"', "wrong type"),
        ("pair = 3", r"no key of the plan plan\.toml 'pair'. Did you mean 'pairs'"),
    ],
)
def test_what_is_wrong_with_them_is_said(tmp_path, line, message):
    text = TWO.replace("pairs = 2", line.replace("{", "{{").replace("}", "}}"))
    with pytest.raises(UsageError, match=message):
        sweep.load_plan(written(tmp_path, text))


# ---- which pairs there are ----


def sides(pairs):
    return [(p.board, p.base.quant, p.candidate.quant, p.candidate.repeat) for p in pairs]


def test_every_other_quantization_is_held_against_one(plan, tmp_path):
    pairs = paired_cells(plan, "Q8_0", tmp_path / "m")
    expected = itertools.product(("wasm", "host"), ("Q8_0",), ("F16", "Q4_0"), (0, 1))
    assert sorted(sides(pairs)) == sorted(expected)
    assert sides(pairs) != sorted(sides(pairs)) and len({p.key for p in pairs}) == 8
    assert paired_cells(plan, "Q8_0", tmp_path / "m") == pairs
    assert all(p.base.repeat == p.candidate.repeat and p.base.board == p.candidate.board for p in pairs)
    other = paired_cells(replace(plan, seed=9), "Q8_0", tmp_path / "m")
    assert other != pairs and {p.key for p in other} == {p.key for p in pairs}


@pytest.mark.slow
def test_a_plan_is_held_against_another_place_by_place(plan, tmp_path):
    firmware = f'firmware = {{{{ wasm = "{FIRMWARE.as_posix()}" }}}}'
    kept = 'quants = ["F16", "Q4_0", "Q8_0", "TQ2_0"]\nkeep = {{ "token_embd.weight" = "F16" }}'
    text = TWO.replace("pairs = 2", firmware).replace('quants = ["F16", "Q8_0", "Q4_0"]', kept)
    base = written(tmp_path, text, "base.toml")
    pairs = paired_cells(plan, str(base), tmp_path / "m")
    expected = [(b, q, q, n) for b in ("wasm", "host") for q in ("F16", "Q8_0", "Q4_0") for n in (0, 1)]
    assert sorted(sides(pairs)) == sorted(expected)
    for pair in pairs:
        assert pair.base.model != pair.candidate.model
        assert pair.candidate.image is None
        assert pair.base.image == (FIRMWARE if pair.board == "wasm" else None)
    itself = paired_cells(plan, str(tmp_path / "plan.toml"), tmp_path / "m")
    assert sorted(sides(itself)) == sorted(expected) and all(p.base == p.candidate for p in itself)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"wasm", "host"',
            '"host", "wasm"',
            r"measured on one board; this plan has wasm, host, and base\.toml has host",
        ),
        ('"wasm", "host"', '"wasm"', "Give both the same boards"),
        ("Once", "Twice", r"this plan and base\.toml differ in prompts, n_generate"),
        ("pairs = 2", "n_generate = 9", r"this plan and base\.toml differ in prompts, n_generate"),
        ('"F16", "Q8_0", "Q4_0"', '"F16", "Q4_0"', r"no quantization of the 1\. model in the base base\.toml 'Q8_0'"),
        ("boards", "bords", r"no key of the plan base\.toml 'bords'"),
    ],
)
def test_a_base_that_is_no_partner_is_refused(plan, tmp_path, old, new, message):
    assert old in TWO
    base = written(tmp_path, TWO.replace(old, new), "base.toml")
    with pytest.raises(UsageError, match=message):
        paired_cells(plan, str(base), tmp_path / "m")


def test_a_quantization_that_cannot_be_the_base(plan, tmp_path):
    with pytest.raises(UsageError, match=r"'Q8_1'. Did you mean 'Q8_0'\?.*another plan's file"):
        paired_cells(plan, "Q8_1", tmp_path / "m")
    with pytest.raises(UsageError, match=r"none\.toml cannot be read"):
        paired_cells(plan, str(tmp_path / "none.toml"), tmp_path / "m")
    alone = replace(plan, models=((MODEL, ("F16",), {}),))
    with pytest.raises(UsageError, match="F16 is the only quantization of fable"):
        paired_cells(alone, "F16", tmp_path / "m")


def test_how_many_pairs_depends_on_the_clock_unless_it_is_said(plan, tmp_path):
    unsaid = replace(plan, pairs=None)
    assert [pairs_a_cell(unsaid, b) for b in plan.boards] == [1, 10]
    assert [pairs_a_cell(plan, b) for b in plan.boards] == [2, 2]
    assert [pairs_a_cell(plan, b, 30) for b in plan.boards] == [30, 30]
    count = [p.board for p in paired_cells(unsaid, "F16", tmp_path / "m")]
    assert (count.count("wasm"), count.count("host")) == (2, 20)
    with pytest.raises(UsageError, match="0 pairs of each cell are none: take at least 1"):
        paired_cells(plan, "F16", tmp_path / "m", 0)
    assert "one pair of each cell on wasm" in pair_notes(unsaid)[0] and len(pair_notes(unsaid)) == 1
    assert "fewer than 6 pairs on host" in pair_notes(plan)[0] and len(pair_notes(plan)) == 1
    assert pair_notes(plan, 6) == []


# ---- measuring them ----


def headers(out):
    found = [json.loads(p.read_text(encoding="utf-8")) for p in out.glob("capture=*/capture.json")]
    return sorted(found, key=lambda header: header["started_at"])


@pytest.mark.slow
def test_halves_lie_next_to_each_other_in_random_order_with_the_same_prompts(noisy, small, tmp_path):
    out = tmp_path / "data"
    made = run_paired_sweep(small, "F16", out, pairs=4, jobs=4)
    captured = headers(out)
    assert len(made) == 4 and len(captured) == 8
    first = []
    for one, other in zip(captured[::2], captured[1::2], strict=True):
        assert one["pair"] == other["pair"] and {one["side"], other["side"]} == {"base", "candidate"}
        assert [p["prompt_id"] for p in one["prompts"]] == [p["prompt_id"] for p in other["prompts"]]
        first.append(one["side"])
    assert set(first) == {"base", "candidate"}
    assert len({tuple(p["prompt_id"] for p in h["prompts"]) for h in captured}) > 1
    runs = edgeprof.open(out).runs
    tags = pair_tags(runs)
    assert tags["pair"].nunique() == 4 and tags["session"].nunique() == 1
    assert set(runs.loc[tags["side"] == "base", "model_sha256"]) != set(
        runs.loc[tags["side"] != "base", "model_sha256"]
    )
    assert {json.loads(text)["repeat"] for text in runs["tags"]} == set("0123")
    assert len(matched_runs(runs)) == 4 * 3


@pytest.mark.slow
def test_a_pair_that_was_cut_off_is_measured_again_as_a_whole(noisy, small, tmp_path):
    out = tmp_path / "data"
    noisy.modes = ["normal", "die"]  # the second half of the first pair
    with pytest.raises(DeviceError, match="1 of 2 pairs failed; the others are kept"):
        run_paired_sweep(small, "F16", out, pairs=2)
    runs = edgeprof.open(out).runs
    assert len(headers(out)) == 4 and matched_runs(runs)["pair"].nunique() == 1
    stray = set(pair_tags(runs)["pair"]) - set(matched_runs(runs)["pair"])
    assert len(stray) == 1
    assert len(run_paired_sweep(small, "F16", out, pairs=2)) == 1
    runs = edgeprof.open(out).runs
    whole = matched_runs(runs)
    assert len(headers(out)) == 6 and whole["pair"].nunique() == 2 and not stray & set(whole["pair"])
    assert run_paired_sweep(small, "F16", out, pairs=2) == []
    assert len(run_paired_sweep(small, "F16", out, pairs=3)) == 1
    # One sweep, under numbers of which none was given twice, in three sessions.
    tags = pair_tags(edgeprof.open(out).runs)
    assert {pair.split("/")[1] for pair in tags["pair"]} == {"1", "2", "3", "4"}
    assert len({pair.split("/")[0] for pair in tags["pair"]}) == 1
    assert tags["session"].nunique() == 3


@pytest.mark.slow
def test_another_sweep_into_the_same_data_gets_other_names(fake, small, tmp_path):
    out = tmp_path / "data"
    run_paired_sweep(small, "F16", out)
    run_paired_sweep(small, "Q8_0", out)
    assert len(sweep.run_sweep(small, out)) == 2  # what was measured in pairs is no cell of a plain sweep
    runs = edgeprof.open(out).runs
    found = matched_runs(runs)
    assert found["pair"].nunique() == 2 and len({pair.split("/")[0] for pair in found["pair"]}) == 2
    elsewhere = tmp_path / "elsewhere"
    run_paired_sweep(small, "F16", elsewhere)
    assert not set(found["pair"]) & set(matched_runs(edgeprof.open(elsewhere).runs)["pair"])


def test_too_many_at_a_time_is_refused_before_anything_else(small, tmp_path):
    with pytest.raises(UsageError, match="-1 captures at a time"):
        run_paired_sweep(small, "F16", tmp_path / "data", jobs=-1)
    assert not (tmp_path / "data").exists()


# ---- side by side, or alone ----


def test_only_exact_clocks_run_side_by_side():
    running, seen, lock = [], [], threading.Lock()

    def work(item, stop):
        with lock:
            running.append(item)
            seen.append(tuple(running))
        time.sleep(0.02)
        with lock:
            running.remove(item)
        return f"{item} failed" if item == "host2" else None

    todo = ["host1", "wasm1", "host2", "wasm2", "wasm3", "host3"]
    failures = work_pool.run_all(todo, work, alone=lambda item: item.startswith("host"), workers=3)
    assert failures == ["host2 failed"]
    assert sorted(item for now in seen for item in now[-1:]) == sorted(todo)
    assert max(map(len, seen)) > 1
    assert all(len(now) == 1 for now in seen if any(item.startswith("host") for item in now))


def test_what_ends_one_ends_all():
    stopped = []

    def work(item, stop):
        if item == "bad":
            raise UsageError("no")
        stop.wait(10)
        stopped.append(stop.is_set())

    with pytest.raises(UsageError, match="no"):
        work_pool.run_all(["slow", "bad", "never"], work, alone=lambda item: item == "never", workers=2)
    assert stopped == [True]


@pytest.mark.parametrize("name", boards.names())
def test_the_clocks_that_are_exact(name):
    assert work_pool.is_exact(name) == (name != "host")
