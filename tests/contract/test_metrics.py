"""What every registered metric keeps to; a new one is tested by being registered."""

from __future__ import annotations

import math

import handmade
import pandas as pd
import pytest

import edgeprof
from edgeprof.metrics import METRICS, TOKEN_COLUMNS, Metric, measure, measure_runs

UNITS = {"_ms": "ms", "_tok_s": "token/s", "_bytes": "byte", "_ticks": "tick", "_ticks_per_token": "tick/token"}

NOT_OF_EMULATED_BOARDS = ("a clock that is time", "prints that the host saw")

every = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


def arguments(runs, tokens):
    frame = handmade.frame("tokens", tokens)[TOKEN_COLUMNS]
    return next(handmade.frame("runs", runs).itertuples(index=False)), frame


RUNS = {
    "generation": ([handmade.run(tick_hz=1e6)], handmade.generated()),
    "evaluation": ([handmade.run(kind="score")], handmade.scored("c/0-0001", [[1.0, 2.0]])),
    "prints": ([handmade.run(clock="host", tick_hz=1e9)], [t | {"source": "host"} for t in handmade.generated()]),
}
ONLY_KEYS = [{"capture_id": "c", "run_id": "c/0-0001"}]


@every
def test_it_says_what_it_is(metric: Metric):
    assert METRICS[metric.name] is metric
    assert metric.better in ("lower", "higher", "")
    assert len(metric.formula) > 5 and len(metric.needs) > 3
    for ending, unit in UNITS.items():
        if metric.name.endswith(ending):
            assert metric.unit.startswith(unit)
    if "nominal" in metric.name:
        assert metric.needs == "an exact clock"
    elif metric.unit in ("ms", "token/s"):
        assert metric.needs == NOT_OF_EMULATED_BOARDS[metric.name.startswith("host_")]


@every
@pytest.mark.parametrize("kind", RUNS)
def test_it_is_a_pure_function_of_a_run(metric: Metric, kind):
    run, tokens = arguments(*RUNS[kind])
    before = tokens.copy(deep=True)
    first = metric.compute(run, tokens)
    assert first is None or (type(first) is float and math.isfinite(first))
    assert metric.compute(run, tokens) == first
    pd.testing.assert_frame_equal(tokens, before)


@every
def test_without_its_inputs_it_is_unknown(metric: Metric):
    run, none = arguments(ONLY_KEYS, [])
    assert metric.compute(run, none) is None
    nulls = [
        t | {"ticks": None, "ticks_start": None, "nll": None, "scored": None, "n_batch": None}
        for t in handmade.generated()
    ]
    assert metric.compute(*arguments(ONLY_KEYS, nulls)) is None


@every
def test_the_order_of_rows_does_not_matter(metric: Metric):
    for runs, tokens in RUNS.values():
        there, back = (
            measure_runs(handmade.frame("runs", runs), handmade.frame("tokens", rows))
            for rows in (tokens, tokens[::-1])
        )
        assert there[metric.name].equals(back[metric.name])


@pytest.fixture(scope="module")
def reference():
    return measure(edgeprof.open(edgeprof.reference()))


@every
def test_the_reference_data_have_it_unless_their_clock_is_no_time(metric: Metric, reference):
    known = reference[metric.name].dropna()
    assert len(known) == 0 if metric.needs in NOT_OF_EMULATED_BOARDS else len(known) > 0
    assert (known > 0).all()
