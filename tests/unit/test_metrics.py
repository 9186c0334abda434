"""Every metric against figures computed by hand, and against mutants of its own source."""

from __future__ import annotations

import inspect
import math
import random
import sys
import types
from typing import Any

import handmade
import numpy as np
import pandas as pd
import pytest

from edgeprof import metrics

# A prompt of 3 tokens in two passes, then 9 decode passes; idle ticks lie between some of them.
#   prefill  positions 0-1 (25 ticks), 2 (30 ticks); its end, the first token: tick 70
#   decode   positions 3 to 11, 20 to 34 ticks and 45; ends 95 119 145 173 203 235 269 305 352
#   ITL      25 24 26 28 30 32 34 36 47
PREFILL = [(0, 2, 5, 25), (2, 1, 40, 30)]
DECODE_TICKS = [20, 22, 24, 26, 28, 30, 32, 34, 45]
DECODE_ENDS = [95, 119, 145, 173, 203, 235, 269, 305, 352]
ITL = [25, 24, 26, 28, 30, 32, 34, 36, 47]


def generation(run_id: str) -> list[dict[str, Any]]:
    first = [
        handmade.token(run_id, position, "prefill", start, ticks, n_batch=n, nll=7.0)
        for position, n, start, ticks in PREFILL
    ]
    return first + [
        handmade.token(run_id, 3 + i, "decode", end - ticks, ticks, nll=8.0)
        for i, (end, ticks) in enumerate(zip(DECODE_ENDS, DECODE_TICKS, strict=True))
    ]


def measured(module: Any, runs: list[dict[str, Any]], tokens: list[dict[str, Any]]) -> dict[str, pd.Series]:
    frame = module.measure_runs(handmade.frame("runs", runs), handmade.frame("tokens", tokens))
    return {row["run_id"]: row for _, row in frame.iterrows()}


def expect(row: pd.Series, **wanted: float) -> None:
    """Every metric that is not named must be null."""
    for name, value in row.drop("run_id").items():
        if name in wanted:
            assert value == pytest.approx(wanted[name], rel=1e-12), name
        else:
            assert math.isnan(value), (name, value)


STORED = {"bits_per_weight": 16, "model_bytes": 4000, "ram_needed_bytes": 900, "flash_needed_bytes": 4400}
TICKS = STORED | {
    "prefill_ticks_per_token": 55 / 3, "decode_ticks_per_token": 29, "ttft_ticks": 70, "itl_p50_ticks": 30,
    "itl_p95_ticks": 42.6, "itl_p99_ticks": 46.12, "position_slope_ticks": 2600,
}  # fmt: skip


def known_answers(module: Any) -> None:
    """Fail unless every metric of a module gives what was computed by hand."""
    nominal = {"ttft_nominal_ms": 140, "decode_nominal_tok_s": 500 / 29, "prefill_nominal_tok_s": 500 / (55 / 3)}
    real = {"ttft_ms": 0.07, "decode_tok_s": 1e6 / 29, "prefill_tok_s": 1e6 / (55 / 3)}
    runs = [
        handmade.run("c/fuel"),
        handmade.run("c/instructions", clock="instructions"),
        handmade.run("c/cycles", clock="cycles", tick_hz=1e6),
        handmade.run("c/timer", clock="device_timer", tick_hz=1e6, emulator=None),
        handmade.run("c/host", clock="host", tick_hz=1e6, board_clock_hz=None),
        handmade.run("c/timeless", clock="device_timer"),
    ]
    tokens = [t for r in runs for t in generation(r["run_id"])]
    random.Random(3).shuffle(tokens)
    rows = measured(module, runs, tokens)
    expect(rows["c/fuel"], **TICKS, **nominal)
    expect(rows["c/instructions"], **TICKS, **nominal)
    expect(rows["c/cycles"], **TICKS, **nominal, **real)
    expect(rows["c/timer"], **TICKS, **real)
    expect(rows["c/host"], **TICKS, **real)
    expect(rows["c/timeless"], **TICKS)

    score = handmade.run("c/score", kind="score", n_prompt=8)
    rows = measured(module, [score], handmade.scored("c/score", [[1.0, 2.0], [3.0, 10.0]]))
    expect(rows["c/score"], **STORED, nll_mean=4, perplexity=math.exp(4))

    without = dict.fromkeys(("bits_per_weight", "model_bytes", "ram_needed_bytes", "flash_needed_bytes"))
    expect(measured(module, [handmade.run("c/0") | without], [])["c/0"])
    lost_frames(module)
    unknown_values(module)
    seen_by_the_host(module)
    for name, metric in module.METRICS.items():
        better = "higher" if name.endswith(("tok_s", "prints_s")) else "" if name == "bits_per_weight" else "lower"
        assert (metric.name, metric.better) == (name, better)


def printed(run_id: str, between: list[int | None]) -> list[dict[str, Any]]:
    """Return prints that the host saw."""
    common = {"n_batch": None, "scored": None, "next_id": None, "source": "host"}
    return [handmade.token(run_id, n, "unknown", None, ticks, **common) for n, ticks in enumerate(between)]


def seen_by_the_host(module: Any) -> None:
    """What was seen being printed gives none of the board's own figures, and what the board timed none of these."""
    seen = {"clock": "host", "board_clock_hz": None, "emulator": None, "n_prompt": None}
    runs = [
        handmade.run("c/0", tick_hz=1e9, **seen),
        handmade.run("c/1", tick_hz=1e9, **seen),
        handmade.run("c/2", **seen),
        handmade.run("c/3", tick_hz=1e9, clock="device_timer"),
        handmade.run("c/4", tick_hz=1e9, **seen),
    ]
    between = [None, 100_000_000, 200_000_000, 100_000_000, 600_000_000]
    tokens = [t for n in (0, 2, 3) for t in printed(f"c/{n}", between)] + printed("c/1", [None])
    tokens += [t | {"phase": "unknown", "source": "device"} for t in generation("c/4")]
    rows = measured(module, runs, tokens)
    expect(rows["c/0"], **STORED, host_itl_p50_ms=150, host_itl_p95_ms=540, host_prints_s=4)
    for name in ("c/1", "c/2", "c/3", "c/4"):
        expect(rows[name], **STORED)


def lost_frames(module: Any) -> None:
    """What was lost leaves no long interval and no early first token."""

    def without(*positions: int, **columns: Any) -> pd.Series:
        tokens = [t for t in generation("c/0") if t["position"] not in positions]
        return measured(module, [handmade.run("c/0", **columns)], tokens)["c/0"]

    # Without position 5, neither the interval to it nor the one from it is known.
    rest = [25, 24, 30, 32, 34, 36, 47]
    lost = without(5)
    assert lost["itl_p50_ticks"] == np.quantile(rest, 0.5)
    assert lost["itl_p99_ticks"] == np.quantile(rest, 0.99)
    assert lost["ttft_ticks"] == 70
    for which in (0, 2):
        assert math.isnan(without(which)["ttft_ticks"]), which
    assert math.isnan(without(2)["ttft_nominal_ms"])
    # The first interval begins at the prompt's end: without that, there are 8 left.
    assert without(2)["itl_p50_ticks"] == np.quantile(ITL[1:], 0.5)
    # Where the prompt's length was not said, the first decode pass says whether its end is there.
    assert without(n_prompt=None)["ttft_ticks"] == 70
    assert math.isnan(without(2, n_prompt=None)["ttft_ticks"])
    assert math.isnan(without(*range(3, 12), n_prompt=None)["ttft_ticks"])
    assert without(*range(3, 12))["ttft_ticks"] == 70
    # Seven passes are too few for a slope, eight are enough.
    assert without(11)["position_slope_ticks"] == pytest.approx(2000)
    assert math.isnan(without(3, 4)["position_slope_ticks"])


def unknown_values(module: Any) -> None:
    """Unknown is not zero: a pass whose cost is not known makes no mean smaller."""

    def with_null(column: str, position: int) -> pd.Series:
        tokens = [t | {column: None} if t["position"] == position else t for t in generation("c/0")]
        return measured(module, [handmade.run("c/0")], tokens)["c/0"]

    assert with_null("ticks", 3)["decode_ticks_per_token"] == 241 / 8
    assert with_null("ticks", 0)["prefill_ticks_per_token"] == 30
    assert with_null("n_batch", 0)["prefill_ticks_per_token"] == 30
    assert with_null("ticks", 11)["position_slope_ticks"] == pytest.approx(2000)
    for column in ("ticks", "ticks_start"):
        assert math.isnan(with_null(column, 2)["ttft_ticks"])
        assert with_null(column, 5)["itl_p50_ticks"] == np.quantile([25, 24, 30, 32, 34, 36, 47], 0.5)
    for hz in (0.0, -1.0, math.inf, math.nan):
        row = measured(module, [handmade.run("c/0", tick_hz=hz, board_clock_hz=hz)], generation("c/0"))["c/0"]
        expect(row, **TICKS)
    tokens = [
        t | {"nll": None if t["position"] == 3 else t["nll"], "scored": None if t["position"] == 0 else t["scored"]}
        for t in handmade.scored("c/0", [[1.0, 2.0], [5.0, 10.0]])
    ]
    row = measured(module, [handmade.run("c/0", kind="score")], tokens)["c/0"]
    assert row["nll_mean"] == 3
    assert row["perplexity"] == pytest.approx(math.exp(3))


def test_known_answers():
    known_answers(metrics)


def test_n_tokens_give_n_minus_one_intervals():
    tokens = handmade.frame("tokens", generation("c/0"))
    assert metrics.itl_ticks(tokens).tolist() == ITL
    for n in (0, 1, 2, 9):
        assert len(metrics.itl_ticks(handmade.frame("tokens", handmade.generated(ticks=[20] * n)))) == n
    alone = tokens[tokens["phase"] == "decode"]
    assert len(metrics.itl_ticks(alone)) == len(alone) - 1  # nobody knows when the first was sampled


def test_a_batched_prompt_loses_no_interval():
    tokens = [handmade.token("c/0", 0, "prefill", 0, 30, n_batch=3), *handmade.generated("c/0", ticks=[20, 20])[3:]]
    assert metrics.itl_ticks(handmade.frame("tokens", tokens)).tolist() == [20, 20]


def test_two_runs_do_not_mix():
    runs = [handmade.run("c/1"), handmade.run("c/2"), handmade.run("c/3")]
    tokens = handmade.generated("c/1", ticks=[20] * 9) + handmade.generated("c/2", ticks=[50] * 9)
    rows = measured(metrics, runs, tokens)
    assert [rows[r["run_id"]]["decode_ticks_per_token"] for r in runs[:2]] == [20, 50]
    expect(rows["c/3"], **STORED)


def test_measure_keeps_every_run_and_column():
    ds = handmade.dataset([handmade.run("c/1"), handmade.run("c/2", quant=None, model=None)], handmade.generated("c/1"))
    table = metrics.measure(ds)
    assert table["run_id"].tolist() == ["c/1", "c/2"]
    assert set(metrics.METRICS) | set(ds.runs.columns) == set(table.columns)
    assert table["model_bytes"].tolist() == [4000, 4000]  # a column of runs stays what it is


def test_an_empty_data_set_has_no_runs():
    assert metrics.measure(handmade.dataset([])).empty


MUTANTS = [
    ('float(part["ticks"].sum()) / count if count', 'float(part["ticks"].sum()) * count if count'),
    ('count = int(part["n_batch"].sum())', "count = len(part)"),
    ('part = part[part["n_batch"].notna()]', "pass"),
    ('float(part["ticks"].sum() / len(part))', 'float(part["ticks"].sum() / (len(part) + 1))'),
    ('float(part["ticks"].sum() / len(part))', 'float(part["ticks"].median())'),
    ('(tokens["phase"] == name) & tokens["ticks"].notna()', 'tokens["phase"] == name'),
    ('last["ticks_start"] + last["ticks"]', 'last["ticks_start"] - last["ticks"]'),
    ('last["ticks_start"] + last["ticks"]', 'last["ticks_start"]'),
    ('last["ticks_start"] + last["ticks"]', 'part["ticks"].sum()'),
    ("last, decode = part.iloc[-1]", "last, decode = part.iloc[0]"),
    ('part["n_batch"].sum() >= run.n_prompt', 'part["n_batch"].sum() > run.n_prompt'),
    ('part["n_batch"].sum() >= run.n_prompt', "True"),
    ("whole = len(decode) and bool(_follows(pd.concat([part.iloc[-1:], decode.iloc[:1]]))[0])", "whole = True"),
    ("decode[1:] & _follows(made)", "decode[1:]"),
    ("decode[1:] & _follows(made)", "_follows(made)"),
    ("decode[1:] & _follows(made)", "~decode[1:] & _follows(made)"),
    ("(step == 1) |", "(step >= 1) |"),
    ('made["ticks_start"] + made["ticks"]', 'made["ticks_start"] - made["ticks"]'),
    ('made["ticks_start"] + made["ticks"]', 'made["ticks_start"]'),
    ("np.quantile(values, quantile)", "np.quantile(values, 1 - quantile)"),
    ("np.quantile(values, quantile)", "np.mean(values)"),
    ("_itl(0.50)", "_itl(0.25)"),
    ("_itl(0.95)", "_itl(0.99)"),
    ("_itl(0.99)", "_itl(0.95)"),
    ("float(1000 * slope)", "float(-1000 * slope)"),
    ("float(1000 * slope)", "float(slope)"),
    ('part["position"].to_numpy(float), part["ticks"]', 'part["ticks"].to_numpy(float), part["position"]'),
    ("nunique() < 8", "nunique() < 9"),
    ("nunique() < 8", "nunique() < 7"),
    ("values.astype(float).mean()", "values.astype(float).sum()"),
    ("values.astype(float).mean()", "-values.astype(float).mean()"),
    ("values.astype(float).mean()", "values.astype(float).median()"),
    ('tokens.loc[tokens["scored"].fillna(False).astype(bool), "nll"].dropna()', 'tokens["nll"].dropna()'),
    ('tokens["scored"].fillna(False)', 'tokens["scored"].fillna(True)'),
    ('"nll"].dropna()', '"nll"].fillna(0)'),
    ("np.exp(mean)", "np.exp(-mean)"),
    ("np.exp(mean)", "np.exp2(mean)"),
    ("np.exp(mean)", "np.expm1(mean)"),
    ("run.board_clock_hz if nominal else run.tick_hz", "run.tick_hz if nominal else run.board_clock_hz"),
    ("run.board_clock_hz if nominal else run.tick_hz", "run.board_clock_hz"),
    (" or (nominal and run.clock not in EXACT_CLOCKS)", ""),
    ("not 0 < hz < np.inf", "False"),
    ("not 0 < hz < np.inf", "hz <= 0"),
    ('"instructions", "cycles")', '"instructions")'),
    ('"instructions", "cycles")', '"instructions", "cycles", "device_timer")'),
    ("hz / per_token if", "per_token / hz if"),
    ("1000 * value / hz if", "value / hz if"),
    ("1000 * value / hz if", "1000 * hz / value if"),
    ('"ttft_ticks / tick_hz", _milliseconds(nominal=False)', '"ttft_ticks / tick_hz", _milliseconds(nominal=True)'),
    ("_rate(_decode, nominal=False)", "_rate(_prefill, nominal=False)"),
    ("_rate(_prefill, nominal=False)", "_rate(_prefill, nominal=True)"),
    ("_rate(_decode, nominal=True)", "_rate(_prefill, nominal=True)"),
    ("_rate(_prefill, nominal=True)", "_rate(_prefill, nominal=False)"),
    ('_column("ram_needed_bytes")', '_column("flash_needed_bytes")'),
    ('_column("flash_needed_bytes")', '_column("ram_needed_bytes")'),
    ('_column("model_bytes")', '_column("bits_per_weight")'),
    ("None if pd.isna(value) else float(value)", "0.0 if pd.isna(value) else float(value)"),
    ('order = ["window", "position"]', 'order = ["ticks"]'),
    ('Metric("ttft_ticks", "tick", "lower"', 'Metric("ttft_ticks", "tick", "higher"'),
    ('Metric("decode_tok_s", "token/s", "higher"', 'Metric("decode_tok_s", "token/s", "lower"'),
    ('if run.clock != "host" or hz is None', "if hz is None"),
    ('(tokens["source"] == "host") & tokens["ticks"].notna()', 'tokens["ticks"].notna()'),
    ('(tokens["source"] == "host") & tokens["ticks"].notna()', 'tokens["source"] == "host"'),
    ("len(seconds) / seconds.sum()", "(len(seconds) + 1) / seconds.sum()"),
    ("len(seconds) / seconds.sum()", "1 / np.median(seconds)"),
    ("1000 * np.quantile(seconds, quantile)", "np.quantile(seconds, quantile)"),
    ("1000 * np.quantile(seconds, quantile)", "1000 * np.mean(seconds)"),
    ("_host_itl(0.50)", "_host_itl(0.95)"),
    ("_host_itl(0.95)", "_host_itl(0.50)"),
    ('"host_prints_s", "print/s", "higher"', '"host_prints_s", "print/s", "lower"'),
    ('Metric("perplexity", "", "lower"', 'Metric("perplexity", "", "higher"'),
]


@pytest.mark.slow
@pytest.mark.parametrize(("old", "new"), MUTANTS)
def test_a_mutant_is_caught(old, new, monkeypatch):
    source = inspect.getsource(metrics)
    assert old in source, "the source has changed: change this mutant too"
    mutant = types.ModuleType("edgeprof_mutant")
    monkeypatch.setitem(sys.modules, "edgeprof_mutant", mutant)
    exec(compile(source.replace(old, new), "mutant", "exec"), mutant.__dict__)
    with pytest.raises(Exception):  # noqa: B017, PT011 - a wrong answer or no answer: either is noticed
        known_answers(mutant)
