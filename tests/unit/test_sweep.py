"""Sweeps: what is wrong with a plan, the order of its cells, and going on where one stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fake_launcher
import pytest

import edgeprof
from edgeprof import sweep
from edgeprof.care import verify
from edgeprof.errors import DeviceError, NewerFormatError, StorageError, UsageError

TESTS = Path(__file__).parents[1]
MODEL = TESTS.parent / "data" / "models" / "fable-1.2m-F16.gguf"
GOOD = """
boards = ["wasm"]
n_generate = 3
repeats = 2
seed = 5
[eval]
file = "text.txt"
windows = 2
[[model]]
file = "m.gguf"
quants = ["F16", "Q4_0"]
keep = { "token_embd.weight" = "F16" }
[[prompt]]
id = "a"
text = "Once"
"""


def written(folder: Path, text: str = GOOD) -> Path:
    for name in ("m.gguf", "text.txt"):
        (folder / name).write_bytes(b"x")
    (folder / "plan.toml").write_text(text, encoding="utf-8")
    return folder / "plan.toml"


def test_a_plan_is_read_relative_to_itself(tmp_path):
    plan = sweep.load_plan(written(tmp_path))
    assert plan == sweep.Plan(
        boards=("wasm",),
        models=((tmp_path / "m.gguf", ("F16", "Q4_0"), {"token_embd.weight": "F16"}),),
        prompts=(("a", "Once"),),
        n_generate=3,
        eval_file=tmp_path / "text.txt",
        eval_windows=2,
        repeats=2,
        seed=5,
    )


def test_a_plan_may_ask_for_logits(tmp_path):
    assert not sweep.load_plan(written(tmp_path)).logits
    assert sweep.load_plan(written(tmp_path, GOOD.replace("windows = 2", "windows = 2\nlogits = true"))).logits


def test_prompts_of_a_file_and_of_the_plan(tmp_path):
    (tmp_path / "p.toml").write_text('[[prompt]]\nid = "b"\ntext = "Twice"\n', encoding="utf-8")
    plan = sweep.load_plan(written(tmp_path, 'prompts = "p.toml"\n' + GOOD))
    assert plan.prompts == (("a", "Once"), ("b", "Twice"))


def test_the_plans_that_come_with_edgeprof_are_good_ones():
    demo = sweep.load_plan(Path(edgeprof.reference()).parent / "demo.toml")
    assert demo.boards == ("wasm",) and len(demo.prompts) >= 3 and demo.eval_file is not None
    plans = [sweep.load_plan(file) for file in sorted(Path(edgeprof.reference()).glob("*.toml"))]
    assert {b for plan in plans for b in plan.boards} == {"wasm", "stm32f405", "rp2040", "rv32imac", "lx106"}
    assert all(len(plan.prompts) == 3 and plan.keep_wire == "none" for plan in plans)
    assert {plan.probe for plan in plans if plan.eval_file and "wasm" not in plan.boards} == {64}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("repeats", "repeat", r"no key of the plan plan.toml 'repeat'. Did you mean 'repeats'\?"),
        ("quants", "quant", r"no key of \[model\] of the plan plan.toml 'quant'. Did you mean 'quants'\?"),
        ("windows", "window", r"no key of \[eval\] of the plan plan.toml 'window'. Did you mean 'windows'\?"),
        ("text =", "txt =", r"no key of \[prompt\] of the plan plan.toml 'txt'. Did you mean 'text'\?"),
        ('["wasm"]', '["wasp"]', r"no board 'wasp'. Did you mean 'wasm'\?"),
        ('["wasm"]', '"wasm"', "wrong type: 'wasm' is not a list"),
        ('["F16", "Q4_0"]', '"F16"', "wrong type: 'F16' is not a list"),
        ("n_generate = 3", 'n_generate = "many"', "wrong type"),
        ("n_generate = 3", "n_generate = [3]", "wrong type"),
        ("windows = 2", 'probe = "all"', "wrong type"),
        ("windows = 2", "logits = 1", "wrong type: logits is true or false, not 1"),
        ("windows = 2", "probe = 4\nlogits = true", "asks for the logits of a probe"),
        ("n_generate = 3", 'keep_wire = "non"', "no value of keep_wire 'non'. Did you mean 'none'"),
        ('boards = ["wasm"]\n', "", "is not complete: it has no 'boards'"),
        ('quants = ["F16", "Q4_0"]\n', "", "is not complete: it has no 'quants'"),
        ('file = "m.gguf"', 'file = "n.gguf"', r"names .*n\.gguf: there is no such file"),
        ("text.txt", "none.txt", r"names .*none\.txt: there is no such file"),
        ("[eval]", "[eval", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_plan_is_said(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(UsageError, match=message) as error:
        sweep.load_plan(written(tmp_path, GOOD.replace(old, new)))
    assert error.value.exit_code == 3


def test_a_plan_that_asks_for_nothing_does_not_wait_for_ever(tmp_path):
    with pytest.raises(UsageError, match="asks for nothing"):
        sweep.load_plan(written(tmp_path, 'boards = ["wasm"]\n[[model]]\nfile = "m.gguf"\nquants = ["F16"]\n'))


def test_a_missing_plan_or_prompts_file(tmp_path):
    with pytest.raises(UsageError, match=r"none\.toml cannot be read"):
        sweep.load_plan(tmp_path / "none.toml")
    with pytest.raises(UsageError, match=r"prompts in .*none\.toml cannot be read"):
        sweep.load_plan(written(tmp_path, 'prompts = "none.toml"\n' + GOOD))


# ---- the order ----


@pytest.fixture
def models(tmp_path):
    made = []
    for i in range(6):
        (tmp_path / f"{i}.gguf").write_bytes(bytes([i]))
        made.append((tmp_path / f"{i}.gguf", f"Q{i}"))
    return made


def plan(**more) -> sweep.Plan:
    return sweep.Plan(("wasm", "other"), (), (("a", "Once"),), **{"repeats": 3} | more)


def test_every_cell_once_in_an_order_that_the_seed_gives(models):
    first = sweep.cells(plan(seed=1), models)
    names = [(c.board, c.quant, c.repeat) for c in first]
    assert len(set(names)) == len(names) == 2 * 6 * 3 == len({c.key for c in first})
    assert names != sorted(names)
    assert sweep.cells(plan(seed=1), models) == first
    other = sweep.cells(plan(seed=2), models)
    assert other != first
    assert {c.key for c in other} == {c.key for c in first}  # a cell is the same, whenever its turn comes


def test_a_cell_is_another_one_if_what_it_measures_changes(models, tmp_path):
    def keys(p: sweep.Plan) -> set[str]:
        return {c.key for c in sweep.cells(p, models)}

    text = tmp_path / "text.txt"
    text.write_text("one", encoding="utf-8")
    seen = [
        keys(plan()),
        keys(plan(n_generate=5)),
        keys(replace(plan(), prompts=(("a", "Twice"),))),
        keys(plan(eval_file=text)),
    ]
    text.write_text("two", encoding="utf-8")
    seen += [keys(plan(eval_file=text)), keys(plan(eval_file=text, eval_windows=2))]
    seen += [keys(plan(eval_file=text, logits=True))]
    models[0][0].write_bytes(b"another model")
    changed = keys(plan())
    assert len(changed & seen[0]) == 30
    assert sum(map(len, seen)) == len(set.union(*seen))


# ---- going on ----


@pytest.fixture
def fake(monkeypatch):
    return fake_launcher.registered(monkeypatch)


@pytest.fixture
def small():
    return sweep.Plan(("fake",), ((MODEL, ("F16", "Q8_0"), {}),), (("a", "Once"), ("b", "Twice")), n_generate=9)


@pytest.mark.slow
def test_a_sweep_captures_nothing_twice_and_redoes_what_was_cut_off(fake, small, tmp_path):
    out, shown = tmp_path / "data", []
    fake.modes = ["normal", "die"]
    with pytest.raises(DeviceError, match="1 of 2 captures failed; the others are kept"):
        sweep.run_sweep(small, out, jobs=1)
    assert sorted(edgeprof.open(out).runs["status"]) == ["ok", "ok", "timeout"]
    again = sweep.run_sweep(small, out, jobs=1, on_progress=lambda cell, progress: shown.append((cell.key, progress)))
    assert len(again) == 1
    assert shown[-1] == (again[0].key, None)
    runs = edgeprof.open(out).runs
    assert sorted(runs["status"]) == ["ok", "ok", "ok", "ok", "timeout"]
    assert runs[runs["status"] == "ok"]["tags"].str.contains('"repeat": "0"').all()
    assert sweep.run_sweep(small, out, jobs=1) == []
    assert sweep.run_sweep(replace(small, seed=9), out) == []
    assert len(list(out.glob("capture=*"))) == 3
    assert [f for f in verify(out) if f.damage] == []


def test_what_cannot_be_gone_on_with(tmp_path, small):
    folder = tmp_path / "capture=x"
    folder.mkdir()
    (folder / "capture.json").write_text("{", encoding="utf-8")
    with pytest.raises(StorageError, match=r"capture\.json cannot be read"):
        sweep.run_sweep(small, tmp_path)
    (folder / "capture.json").write_text('{"format_version": 99}', encoding="utf-8")
    with pytest.raises(NewerFormatError):
        sweep.run_sweep(small, tmp_path)
    with pytest.raises(UsageError, match="-1 captures at a time"):
        sweep.run_sweep(small, tmp_path, jobs=-1)


def test_an_unknown_quantization_names_the_closest(tmp_path, small):
    with pytest.raises(UsageError, match="no quantization 'Q4_9'"):
        sweep.run_sweep(replace(small, models=((MODEL, ("Q4_9",), {}),)), tmp_path / "data")
