"""The fast form of every metric is its plain form, to the last bit; and nothing that a device says makes it warn."""

from __future__ import annotations

import math

import handmade
import numpy as np
import pandas as pd
import plain_metrics
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgeprof
from edgeprof import metrics
from edgeprof.decode_work import DecodeWork
from edgeprof.metrics import METRICS, TOKEN_COLUMNS, measure_runs

SIZES = st.integers(0, 2**40) | st.sampled_from([0, 1, 10, 2**32, 2**52])
NUMBERS = st.floats(width=32) | st.sampled_from([math.inf, -math.inf, math.nan, 0.0])
RATES = st.floats(1e-3, 1e12) | st.sampled_from([0.0, -1.0, math.inf, math.nan]) | st.none()


def same_bits(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    for name in wanted.columns.drop("run_id"):
        one, other = found[name].to_numpy(np.float64), wanted[name].to_numpy(np.float64)
        nans = np.isnan(one) & np.isnan(other)
        assert ((one.view(np.int64) == other.view(np.int64)) | nans).all(), (name, one, other)


@st.composite
def passes_of_a_run(draw, run_id: str):
    """Return rows as a board may have sent them: unknown values, lost passes, any phase in any order."""
    tokens, position = [], 0
    for _ in range(draw(st.integers(0, 14))):
        position += draw(st.sampled_from([1, 1, 1, 1, 2, 3, 0]))
        maybe = draw(st.sampled_from([(), (), (), ("ticks",), ("ticks_start",), ("n_batch",), ("nll",), ("scored",)]))
        row = handmade.token(
            run_id, position, draw(st.sampled_from(["prefill", "decode", "decode", "decode", "score", "unknown"])),
            draw(SIZES), draw(SIZES), n_batch=draw(st.integers(0, 3)), nll=draw(NUMBERS), scored=draw(st.booleans()),
            window=draw(st.none() | st.integers(0, 2)), source=draw(st.sampled_from(["device", "host"])),
        )  # fmt: skip
        tokens.append(row | dict.fromkeys(maybe))
    return tokens


@st.composite
def data(draw):
    clocks = st.sampled_from(["fuel", "cycles", "host", "device_timer", None])
    runs = [
        handmade.run(
            f"c/{n}",
            clock=draw(clocks),
            tick_hz=draw(RATES),
            board_clock_hz=draw(RATES),
            n_prompt=draw(st.none() | st.integers(0, 6)),
            bits_per_weight=draw(NUMBERS | st.none()),
            model_bytes=draw(st.none() | st.integers(0, 2**62)),
            status=draw(st.sampled_from(["ok", None])),
        )
        for n in range(draw(st.integers(0, 4)))
    ]
    tokens = [t for r in runs for t in draw(passes_of_a_run(r["run_id"]))]
    return runs, draw(st.permutations(tokens))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data())
def test_fast_is_plain_to_the_last_bit(rows):
    runs, tokens = handmade.frame("runs", rows[0]), handmade.frame("tokens", rows[1])
    same_bits(measure_runs(runs, tokens), plain_metrics.plainly(runs, tokens))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data(), st.booleans())
def test_null_is_what_has_a_reason(rows, known):
    """Whatever was sent: a metric has a value or a reason, never both, never neither."""
    runs, tokens = (handmade.frame(name, part) for name, part in zip(("runs", "tokens"), rows, strict=True))
    work = dict.fromkeys(runs["run_id"], DecodeWork(1000, 400, 8, 2)) if known else None
    stages = handmade.frame(
        "stages",
        [
            {"capture_id": "c", "run_id": t["run_id"], "position": t["position"], "stage": "head", "ticks": t["ticks"]}
            for t in rows[1]
        ]
        if known
        else [],
    )
    measured = measure_runs(runs, tokens, stages, work).set_index("run_id")
    for run, passes in metrics.with_passes(runs, tokens, stages, work):
        for name, metric in METRICS.items():
            assert math.isnan(measured.loc[run.run_id, name]) == (metric.lack(run, passes) is not None), name


@pytest.fixture(scope="module")
def reference():
    ds = edgeprof.open(edgeprof.reference())
    return ds.runs, ds.table("tokens", TOKEN_COLUMNS)


@pytest.mark.slow
def test_of_the_reference_data_fast_is_plain(reference):
    runs, tokens = reference
    shuffled = tokens.sample(frac=1, random_state=5)
    plain = plain_metrics.plainly(runs, shuffled)
    same_bits(measure_runs(runs, tokens), plain)
    same_bits(measure_runs(runs, shuffled), plain)
    assert set(plain_metrics.PLAIN) == {m.name for m in METRICS.values() if m.needs not in ("", *OF_OTHER_TABLES)}


OF_OTHER_TABLES = (
    "stages of decode passes", "the model's shape (its GGUF header)", "a meter's samples",
    "a meter's samples, with the voltage",
)  # fmt: skip


@pytest.mark.slow
def test_fractions_of_a_tick_stay():
    """No board has such, but a simulation may."""
    tokens = handmade.frame("tokens", handmade.generated(ticks=[20] * 9))
    tokens = tokens.assign(ticks=tokens["ticks"] + 0.5)
    runs = handmade.frame("runs", [handmade.run()])
    found = measure_runs(runs, tokens)
    assert found["decode_ticks_per_token"].tolist() == [20.5]
    same_bits(found, plain_metrics.plainly(runs, tokens))


@pytest.mark.parametrize("rows", [[], [handmade.run()], [handmade.run("c/1"), handmade.run("c/2")]], ids=len)
def test_without_tokens_every_run_has_a_row(rows):
    frame = measure_runs(handmade.frame("runs", rows), handmade.frame("tokens", []), handmade.frame("stages", []), {})
    assert frame["run_id"].tolist() == [r["run_id"] for r in rows]
    assert (frame.dtypes.drop("run_id") == "float64").all()
    said = {"bits_per_weight", "model_bytes", "ram_needed_bytes", "flash_needed_bytes"}
    assert {name for name in METRICS if frame[name].notna().any()} == (said if rows else set())


def test_an_empty_data_set_misses_nothing():
    found = edgeprof.missing(handmade.dataset([]))
    assert found.empty
    assert list(found.columns) == ["run_id", "metric", "reason"]


def test_what_is_no_number_is_said():
    tokens = handmade.scored("c/0", [[math.inf, -math.inf]])
    ds = handmade.dataset([handmade.run("c/0", kind="score")], tokens)
    reasons = edgeprof.missing(ds).set_index("metric")["reason"]
    assert reasons["perplexity"] == reasons["nll_mean"]
    assert "infinite" in reasons["perplexity"]
    only = handmade.dataset([handmade.run("c/0", kind="score")], handmade.scored("c/0", [[math.inf, 1.0]]))
    assert edgeprof.measure(only)["perplexity"].tolist() == [math.inf]


def test_of_an_exact_clock_the_nominal_figure_is_named():
    ds = handmade.dataset([handmade.run("c/0", clock="instructions")], handmade.generated("c/0"))
    reasons = edgeprof.missing(ds).set_index("metric")["reason"]
    assert "'instructions', a count: use the nominal figure" in reasons["decode_tok_s"]
    hostile = handmade.dataset([handmade.run("c/0", clock="\x1b[31mred" * 99)], [])
    said = edgeprof.missing(hostile).set_index("metric")["reason"]["decode_tok_s"]
    assert not handmade.harmful(said)
    assert len(said) < 200


def test_a_stage_that_was_not_timed_is_named():
    stages = [{"capture_id": "c", "run_id": "c/0", "position": 3, "stage": "head", "ticks": 5}]
    ds = handmade.dataset([handmade.run("c/0")], handmade.generated("c/0"), stages=stages)
    measured, reasons = edgeprof.measure(ds), edgeprof.missing(ds).set_index("metric")["reason"]
    assert measured["decode_head_share"].tolist() == [0.25]
    assert "decode_head_share" not in reasons
    assert "stage attention" in reasons["decode_attention_share"]
