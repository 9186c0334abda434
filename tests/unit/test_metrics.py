"""Every metric against figures computed by hand, and against mutants of its own source."""

from __future__ import annotations

import importlib
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

import edgeprof
from edgeprof import metrics
from edgeprof.decode_work import DecodeWork

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


def measured(module: Any, runs: list[dict[str, Any]], tokens: list[dict[str, Any]], *more: Any) -> dict[str, pd.Series]:
    frame = module.measure_runs(handmade.frame("runs", runs), handmade.frame("tokens", tokens), *more)
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
    "itl_p95_ticks": 42.6, "itl_p99_ticks": 46.12, "position_slope_ticks": 2600, "itl_jitter_ticks": 3,
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
    of_other_tables(module)
    for name, metric in module.METRICS.items():
        neither = name == "bits_per_weight" or name.endswith("_share")
        better = "higher" if name.endswith(("tok_s", "prints_s")) else "" if neither else "lower"
        assert (metric.name, metric.better) == (name, better)


def of_other_tables(module: Any) -> None:
    """Shares are of the decode passes whose stages came; work is of all decode passes, at their mean position."""
    stages = [
        {"capture_id": "c", "run_id": run_id, "position": position, "stage": stage, "ticks": ticks}
        for run_id, position, stage, ticks in [
            ("c/0", 0, "embedding", 9), ("c/0", 3, "attention", 5), ("c/0", 3, "head", 10), ("c/0", 4, "attention", 16),
            ("c/1", 3, "other", None),
        ]
    ]  # fmt: skip
    work = {"c/0": DecodeWork(1000, 400, cache_bytes_per_position=8, cache_macs_per_position=2)}
    runs = [handmade.run("c/0"), handmade.run("c/1")]
    tokens = generation("c/0") + generation("c/1")
    rows = measured(module, runs, tokens, handmade.frame("stages", stages), work)
    nominal = {"ttft_nominal_ms": 140, "decode_nominal_tok_s": 500 / 29, "prefill_nominal_tok_s": 500 / (55 / 3)}
    shares = {
        "decode_attention_share": 21 / 42, "decode_head_share": 10 / 42, "decode_unattributed_share": 11 / 42,
    }  # fmt: skip
    # Positions 3 to 11 attend to 4 to 12, to 8 on average.
    work_of = {
        "decode_weight_bytes_per_token": 1000, "decode_cache_bytes_per_token": 64, "decode_macs_per_token": 416,
    }  # fmt: skip
    expect(rows["c/0"], **TICKS, **nominal, **shares, **work_of)
    expect(rows["c/1"], **TICKS, **nominal)
    alone = measured(module, runs[:1], tokens[:2], None, work)["c/0"]  # a prompt has no decode pass
    assert alone[list(work_of)].isna().all()


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
    assert lost["itl_jitter_ticks"] == (1 + 2 + 2 + 2 + 11) / 5  # and no step over the gap
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
    # Of a prompt in one pass the end is three positions on.
    tokens = [handmade.token("c/0", 0, "prefill", 0, 30, n_batch=3), *handmade.generated("c/0", ticks=[20, 25])[3:]]
    assert measured(module, [handmade.run("c/0")], tokens)["c/0"]["itl_jitter_ticks"] == 5
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
        row, rest = with_null(column, 5), [25, 24, 30, 32, 34, 36, 47]
        assert row[["itl_p50_ticks", "itl_p99_ticks"]].tolist() == np.quantile(rest, [0.5, 0.99]).tolist()
        assert row["itl_jitter_ticks"] == 3.6
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


@pytest.mark.slow
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
    ("metric_values", "float(passes.ticks[part].sum()) / count if count",
     "float(passes.ticks[part].sum()) * count if count"),
    ("metric_values", "count = int(passes.n_batch[part].sum())", "count = int(part.sum())"),
    ("metric_values", "passes.ticks_known & passes.n_batch_known", "passes.ticks_known"),
    ("metric_values", "part = passes.prefill & passes.ticks_known &", "part = passes.prefill &"),
    ("metric_values", "float(ticks.sum() / len(ticks))", "float(ticks.sum() / (len(ticks) + 1))"),
    ("metric_values", "float(ticks.sum() / len(ticks))", "float(np.median(ticks))"),
    ("passes", "self.ticks[self.decode & self.ticks_known]", "self.ticks[self.decode]"),
    ("passes", "self.ticks[self.decode & self.ticks_known]", "self.ticks[self.ticks_known]"),
    ("metric_values", "passes.ticks_start[last].item() + passes", "passes.ticks_start[last].item() - passes"),
    ("metric_values", "passes.ticks_start[last].item() + passes.ticks[last].item()", "passes.ticks_start[last].item()"),
    ("metric_values", "passes.ticks_start[last].item() + passes.ticks[last].item()",
     "passes.ticks[passes.prefill].sum()"),
    ("metric_values", "np.flatnonzero(passes.prefill)[-1]", "np.flatnonzero(passes.prefill)[0]"),
    ("metric_values", "not (passes.ticks_start_known[last] and passes.ticks_known[last])", "False"),
    ("metric_values", ".sum() >= run.n_prompt", ".sum() > run.n_prompt"),
    ("metric_values", "passes.n_batch[passes.prefill & passes.n_batch_known].sum() >= run.n_prompt", "True"),
    ("metric_values", "len(first) == 1 and bool(passes.follows(np.array([part[-1], first[0]]))[0])", "True"),
    ("metric_values", "len(first) == 1 and bool(passes.follows(np.array([part[-1], first[0]]))[0])", "len(first) == 1"),
    ("passes", "self.decode[at][1:] & self.follows(at)", "self.decode[at][1:]"),
    ("passes", "self.decode[at][1:] & self.follows(at)", "self.follows(at)"),
    ("passes", "self.decode[at][1:] & self.follows(at)", "~self.decode[at][1:] & self.follows(at)"),
    ("passes", "(self.prefill | self.decode) &", "self.decode &"),
    ("passes", "& self.ticks_start_known & self.ticks_known", "& self.ticks_known"),
    ("passes", "& self.ticks_start_known & self.ticks_known", "& self.ticks_start_known"),
    ("passes", "((step == 1) |", "((step >= 1) |"),
    ("passes", "(step == 1) | (step == self.n_batch[at][:-1])", "step == 1"),
    ("passes", "self.ticks_start[at] + self.ticks[at]", "self.ticks_start[at] - self.ticks[at]"),
    ("passes", "self.ticks_start[at] + self.ticks[at]", "self.ticks_start[at]"),
    ("passes", "np.quantile(self.itl_ticks, ITL_QUANTILES)", "1 - np.quantile(self.itl_ticks, ITL_QUANTILES)"),
    ("passes", "np.abs(np.diff(between))", "np.diff(between)"),
    ("passes", "[tokens[1:] & tokens[:-1]]", "[tokens[1:]]"),
    ("passes", "[tokens[1:] & tokens[:-1]]", ""),
    ("metric_values", "steps.sum() / len(steps)", "steps.max()"),
    ("metric_values", "steps.sum() / len(steps)", "np.median(steps)"),
    ("metrics", "values.itl(0.50)", "values.itl(0.95)"),
    ("metrics", "values.itl(0.95)", "values.itl(0.99)"),
    ("metrics", "values.itl(0.99)", "values.itl(0.95)"),
    ("metric_values", "float(1000 * steepness)", "float(-1000 * steepness)"),
    ("metric_values", "float(1000 * steepness)", "float(steepness)"),
    ("metric_values", "passes.decode & passes.ticks_known & passes.position_known",
     "passes.decode & passes.position_known"),
    ("metric_values", "< MIN_SLOPE_POSITIONS", "<= MIN_SLOPE_POSITIONS"),
    ("metric_values", "MIN_SLOPE_POSITIONS = 8", "MIN_SLOPE_POSITIONS = 7"),
    ("metric_values", "values.sum() / len(values)", "values.sum()"),
    ("metric_values", "values.sum() / len(values)", "-values.sum() / len(values)"),
    ("metric_values", "values.sum() / len(values)", "np.median(values)"),
    ("metric_values", "passes.scored & ~np.isnan(passes.nll)", "~np.isnan(passes.nll)"),
    ("metric_values", "passes.scored & ~np.isnan(passes.nll)", "passes.scored"),
    ("passes", 'tokens["scored"].fillna(False)', 'tokens["scored"].fillna(True)'),
    ("passes", "na_value=np.nan", "na_value=0"),
    ("metric_values", "np.exp(mean)", "np.exp(-mean)"),
    ("metric_values", "np.exp(mean)", "np.exp2(mean)"),
    ("metric_values", "np.exp(mean)", "np.expm1(mean)"),
    ("metric_values", "run.board_clock_hz if nominal else run.tick_hz",
     "run.tick_hz if nominal else run.board_clock_hz"),
    ("metric_values", "run.board_clock_hz if nominal else run.tick_hz", "run.board_clock_hz"),
    ("metric_values", " or (nominal and run.clock not in EXACT_CLOCKS)", ""),
    ("metric_values", "not 0 < said < np.inf", "False"),
    ("metric_values", "not 0 < said < np.inf", "said <= 0"),
    ("metric_values", '"instructions", "cycles")', '"instructions")'),
    ("metric_values", '"instructions", "cycles")', '"instructions", "cycles", "device_timer")'),
    ("metric_values", "per_second / per_token if", "per_token / per_second if"),
    ("metric_values", "1000 * ticks / per_second if", "ticks / per_second if"),
    ("metric_values", "1000 * ticks / per_second if", "1000 * per_second / ticks if"),
    ("metrics", "values.milliseconds(nominal=False)", "values.milliseconds(nominal=True)"),
    ("metrics", "values.rate(values.decode, nominal=False)", "values.rate(values.prefill, nominal=False)"),
    ("metrics", "values.rate(values.prefill, nominal=False)", "values.rate(values.prefill, nominal=True)"),
    ("metrics", "values.rate(values.decode, nominal=True)", "values.rate(values.prefill, nominal=True)"),
    ("metrics", "values.rate(values.prefill, nominal=True)", "values.rate(values.prefill, nominal=False)"),
    ("metrics", 'values.column("ram_needed_bytes")', 'values.column("flash_needed_bytes")'),
    ("metrics", 'values.column("flash_needed_bytes")', 'values.column("ram_needed_bytes")'),
    ("metrics", 'values.column("model_bytes")', 'values.column("bits_per_weight")'),
    ("metric_values", "None if pd.isna(said) else float(said)", "0.0 if pd.isna(said) else float(said)"),
    ("passes", "np.lexsort((positions, windows, codes))", "np.argsort(codes, kind='stable')"),
    ("passes", "np.arange(len(names) + 1)", "np.arange(len(names) + 1) + 1"),
    ("metrics", '"ttft_ticks", "tick", "lower"', '"ttft_ticks", "tick", "higher"'),
    ("metrics", '"decode_tok_s", "token/s", "higher"', '"decode_tok_s", "token/s", "lower"'),
    ("metric_values", 'if run.clock != "host" or per_second is None', "if per_second is None"),
    ("metric_values", "passes.printed & passes.ticks_known", "passes.ticks_known"),
    ("metric_values", "passes.printed & passes.ticks_known", "passes.printed"),
    ("metric_values", "len(seconds) / whole", "(len(seconds) + 1) / whole"),
    ("metric_values", "len(seconds) / whole", "1 / np.median(seconds)"),
    ("metric_values", "1000 * np.quantile(seconds, quantile)", "np.quantile(seconds, quantile)"),
    ("metric_values", "1000 * np.quantile(seconds, quantile)", "1000 * np.mean(seconds)"),
    ("metrics", "values.host_itl(0.50)", "values.host_itl(0.95)"),
    ("metrics", "values.host_itl(0.95)", "values.host_itl(0.50)"),
    ("metrics", '"host_prints_s", "print/s", "higher"', '"host_prints_s", "print/s", "lower"'),
    ("metrics", 'Metric("perplexity", "", "lower"', 'Metric("perplexity", "", "higher"'),
    ("metrics", 'found[found["phase"] == "decode"]', "found"),
    ("metric_values", "float(positions.sum() / len(positions)) + 1", "float(positions.sum() / len(positions))"),
    ("metric_values", "positions.sum() / len(positions)", "positions.max()"),
    ("metric_values", "work.weight_macs + work.cache_macs_per_position * attended", "work.weight_macs"),
    ("metric_values", "passes.work.cache_bytes_per_position * attended",
     "passes.work.cache_macs_per_position * attended"),
    ("metric_values", "float(passes.work.weight_bytes) if passes.work and passes.decode.any()",
     "float(passes.work.weight_bytes) if passes.work"),
]  # fmt: skip
CHAIN = ("passes", "metric_values", "metric_inputs", "metrics")
"""Each imports those before it."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "old", "new"), MUTANTS)
def test_a_mutant_is_caught(name, old, new, monkeypatch):
    for each in CHAIN:
        source = inspect.getsource(importlib.import_module(f"edgeprof.{each}"))
        if each == name:
            assert old in source, "the source has changed: change this mutant too"
            source = source.replace(old, new)
        mutant = types.ModuleType(f"edgeprof.{each}")
        monkeypatch.setitem(sys.modules, mutant.__name__, mutant)
        monkeypatch.setattr(edgeprof, each, mutant)
        exec(compile(source, mutant.__name__, "exec"), mutant.__dict__)
    with pytest.raises(Exception):  # noqa: B017, PT011 - a wrong answer or no answer: either is noticed
        known_answers(mutant)


@pytest.mark.slow
def test_what_mutants_are_made_of_is_right(monkeypatch):
    for each in CHAIN:
        module = importlib.import_module(f"edgeprof.{each}")
        copy = types.ModuleType(module.__name__)
        monkeypatch.setitem(sys.modules, copy.__name__, copy)
        monkeypatch.setattr(edgeprof, each, copy)
        exec(compile(inspect.getsource(module), copy.__name__, "exec"), copy.__dict__)
    known_answers(copy)
