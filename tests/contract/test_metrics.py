"""What every registered metric keeps to; a new one is tested by being registered."""

from __future__ import annotations

import copy
import math
import re
from dataclasses import fields, replace
from pathlib import Path

import handmade
import numpy as np
import pandas as pd
import pytest

import edgeprof
from edgeprof.decode_work import DecodeWork
from edgeprof.energy.run_energy import RunEnergy
from edgeprof.fidelity import PAIR_METRICS, PairMetric
from edgeprof.metrics import METRICS, TOKEN_COLUMNS, Metric, markdown, measure, measure_runs
from edgeprof.passes import Passes, passes_of
from edgeprof.records import STAGES
from edgeprof.stage_profile import UNATTRIBUTED
from edgeprof.token_pairs import paired, token_rows

ROOT = Path(__file__).parents[2]
UNITS = {
    "_ms": "ms", "_tok_s": "token/s", "_prints_s": "print/s", "_ticks": "tick", "_ticks_per_token": "tick/token",
    "_uj": "uJ", "_token_uj": "uJ/token", "_bit_uj": "uJ/bit", "_uw": "uW", "_uc": "uC",
    "_bytes": "byte", "_bytes_per_token": "byte/token", "_macs_per_token": "MAC/token", "_share": "",
}  # fmt: skip
OTHERS = {"nll_mean": "nat/token", "perplexity": "", "bits_per_weight": "bit"}

METERED = ("a meter's samples, with the voltage", "a meter's samples")
NOT_OF_EMULATED_BOARDS = ("a clock that is time", "prints that the host saw", *METERED)
NOT_OF_THE_REFERENCE_FIRMWARE = ("decode_other_share",)

every = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


def arguments(runs, tokens):
    """Return a run and its passes; of its stages, its model and its energy all is known that can be."""
    frame = handmade.frame("tokens", tokens)[TOKEN_COLUMNS]
    shares = dict.fromkeys((*STAGES, UNATTRIBUTED), 1 / 7) if frame["phase"].eq("decode").any() else {}
    run = next(handmade.frame("runs", runs).itertuples(index=False))
    passes = passes_of(frame.assign(energy_uj=np.arange(1.0, len(frame) + 1)))
    return run, replace(passes, stage_shares=shares, work=DecodeWork(1000, 400, 8, 2), energy=MEASURED)


MEASURED = RunEnergy("ppk2", *(float(k) for k in range(10, 17)))
NOTHING = {"stage_shares": {}, "work": None, "energy": None}


RUNS = {
    "generation": ([handmade.run(tick_hz=1e6)], handmade.generated()),
    "evaluation": ([handmade.run(kind="score")], handmade.scored("c/0-0001", [[1.0, 2.0]])),
    "prints": ([handmade.run(clock="host", tick_hz=1e9)], [t | {"source": "host"} for t in handmade.generated()]),
}
ONLY_KEYS = [{"capture_id": "c", "run_id": "c/0-0001"}]


@pytest.fixture(scope="module")
def known_runs():
    return {kind: arguments(*rows) for kind, rows in RUNS.items()}


@every
def test_it_says_what_it_is(metric: Metric):
    assert METRICS[metric.name] is metric
    assert metric.better in ("lower", "higher", "")
    assert len(metric.formula) > 5 and len(metric.needs) > 3 and len(metric.source) > 5
    assert metric.lacks
    ending = max((e for e in UNITS if metric.name.endswith(e)), key=len, default=None)
    unit = OTHERS[metric.name] if ending is None else UNITS[ending]
    assert metric.unit.split(" per ")[0] == unit
    if "nominal" in metric.name:
        assert metric.needs == "an exact clock"
    elif metric.unit in ("ms", "token/s"):
        assert metric.needs == NOT_OF_EMULATED_BOARDS[metric.name.startswith("host_")]
    named = re.findall(r"(?:docs|edgeprof)/[\w./-]+\.\w+", metric.source)
    assert all((ROOT / path).exists() for path in named)
    for name in re.findall(r"^[a-z_]+\.[a-z_]+$", metric.source):
        assert callable(getattr({"edgeprof": edgeprof, "numpy": np}[name.split(".")[0]], name.split(".")[1]))


@every
@pytest.mark.parametrize("kind", RUNS)
def test_it_is_a_pure_function_of_a_run(metric: Metric, kind, known_runs):
    run, passes = known_runs[kind]
    before = copy.deepcopy(passes)
    first = metric.value(run, passes)
    assert first is None or (type(first) is float and math.isfinite(first))
    assert metric.value(run, passes) == first
    for field in fields(Passes):
        np.testing.assert_equal(getattr(passes, field.name), getattr(before, field.name))


@every
def test_of_tokens_alone_it_is_the_same(metric: Metric):
    runs, tokens = RUNS["generation"]
    frame = handmade.frame("tokens", tokens)[TOKEN_COLUMNS]
    run = next(handmade.frame("runs", runs).itertuples(index=False))
    assert metric.compute(run, frame) == metric.value(run, passes_of(frame))


@every
def test_some_run_has_it(metric: Metric, known_runs):
    assert any(metric.value(run, passes) is not None for run, passes in known_runs.values())


# What is taken away: from the run's row, from each token, and whether what is no column goes with it.
TAKEN = {
    "passes": ({}, None, False, r"prefill|decode passes|tokens in succession|prints|scored|prompt"),
    "ticks": ({}, {"ticks": None}, False, r"ticks|prints|prefill"),
    "ticks_start": ({}, {"ticks_start": None}, False, r"ticks_start"),
    "tick_hz": ({"tick_hz": None}, {}, False, r"`runs\.tick_hz`"),
    "board_clock_hz": ({"board_clock_hz": None}, {}, False, r"`runs\.board_clock_hz`"),
    "an exact clock": ({"clock": "device_timer"}, {}, False, r"exact clock|`runs\.clock` is host"),
    "n_batch": ({}, {"n_batch": None}, False, r"n_batch|prompt"),
    "positions": ({}, {"position": None}, False, r"positions|in succession|prompt"),
    "scored": ({}, {"scored": None}, False, "scored"),
    "nll": ({}, {"nll": None}, False, "nll"),
    "bits_per_weight": ({"bits_per_weight": None}, {}, False, r"`runs\.bits_per_weight`"),
    "model_bytes": ({"model_bytes": None}, {}, False, r"`runs\.model_bytes`"),
    "ram_needed_bytes": ({"ram_needed_bytes": None}, {}, False, r"`runs\.ram_needed_bytes`"),
    "flash_needed_bytes": ({"flash_needed_bytes": None}, {}, False, r"`runs\.flash_needed_bytes`"),
    "what is no column": ({}, {}, True, r"table `stages`|model's shape|a meter's samples"),
}


@pytest.fixture(scope="module")
def taken():
    """Return, for each thing that is taken away, each kind of run with it and without."""
    table = {}
    for what, (row, token, rest, _) in TAKEN.items():
        for kind, (runs, tokens) in RUNS.items():
            left = [] if token is None else [t | token for t in tokens]
            run, passes = arguments([runs[0] | row], left)
            without = (run, replace(passes, **NOTHING) if rest else passes)
            table[what, kind] = arguments(runs, tokens), without
    return table


@every
def test_what_is_taken_away_is_named(metric: Metric, taken):
    missed = set()
    for (what, _), (whole, without) in taken.items():
        if metric.value(*whole) is None:
            continue
        assert metric.lack(*whole) is None
        reason = metric.lack(*without)
        assert (metric.value(*without) is None) == (reason is not None), what
        if reason is not None:
            assert re.search(TAKEN[what][-1], reason), (what, reason)
            missed.add(what)
    assert missed


@every
def test_without_its_inputs_it_is_unknown_and_says_why(metric: Metric):
    run, _ = arguments(ONLY_KEYS, [])
    nulls = [
        t | {"ticks": None, "ticks_start": None, "nll": None, "scored": None, "n_batch": None, "position": None}
        for t in handmade.generated()
    ]
    for passes in (arguments(ONLY_KEYS, [])[1], arguments(ONLY_KEYS, nulls)[1]):
        bare = replace(passes, **NOTHING)
        assert metric.value(run, bare) is None
        reason = metric.lack(run, bare)
        assert reason is not None
        assert reason.startswith("needs ") and len(reason) > 30 and "\n" not in reason
        about = {
            "prefill_ticks": "prefill", "prefill": "clock", "ttft": "prompt|prefill|clock", "itl": "in succession",
            "position_slope": "8 positions", "decode_tok": "clock", "decode_nominal": "clock", "host": "prints",
            "nll": "scored", "perplexity": "scored", "energy": "passes|meter", "power": "meter", "charge": "meter",
            "decode": "decode passes|stages|shape",
        }  # fmt: skip
        word = next((w for start, w in about.items() if metric.name.startswith(start)), metric.name)
        assert re.search(word, reason), reason


@every
def test_what_does_not_fit_says_so(metric: Metric):
    run, none = arguments([handmade.run(status="does_not_fit")], [])
    reason = metric.lack(run, none)
    assert reason is None or "does not fit" in reason or "clock" in reason or "host" in reason


def test_the_order_of_rows_does_not_matter():
    for runs, tokens in RUNS.values():
        there, back = (
            measure_runs(handmade.frame("runs", runs), handmade.frame("tokens", rows))
            for rows in (tokens, tokens[::-1])
        )
        pd.testing.assert_frame_equal(there, back, check_exact=True)


@pytest.fixture(scope="module")
def reference():
    return measure(edgeprof.open(edgeprof.reference()))


@every
def test_the_reference_data_have_it_unless_their_clock_is_no_time(metric: Metric, reference):
    known = reference[metric.name].dropna()
    if metric.needs in NOT_OF_EMULATED_BOARDS or metric.name in NOT_OF_THE_REFERENCE_FIRMWARE:
        assert len(known) == 0
    else:
        assert len(known) > 0
    assert (known > 0).all()


def test_of_the_reference_data_each_value_or_its_reason_is_there(reference):
    reasons = edgeprof.missing(edgeprof.open(edgeprof.reference()))
    null = {(run, name) for name in METRICS for run in reference.loc[reference[name].isna(), "run_id"]}
    assert null == set(zip(reasons["run_id"], reasons["metric"], strict=True))
    assert not reasons.duplicated(["run_id", "metric"]).any()
    assert reasons["reason"].str.startswith("needs ").all()


@pytest.mark.parametrize("registry", [METRICS, PAIR_METRICS], ids=["of a run", "against a reference"])
def test_the_page_lists_every_metric(registry):
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert f"\n{markdown(registry.values())}\n" in text


@pytest.fixture(scope="module")
def pairs():
    """Return an evaluation and a generation beside themselves, all that there can be of both known."""
    scored = [t | {"top1_id": 7} for t in handmade.scored("c/0-0001", [[1.0, 2.0]])]
    row = next(handmade.frame("runs", [handmade.run(sampler="greedy")]).itertuples(index=False))
    parts = [token_rows(row, handmade.frame("tokens", t)) for t in (scored, handmade.generated())]
    one, other = (paired(rows, rows) for rows in parts)
    return replace(one, kl_nat=np.array([0.5, 1.0])), replace(other, reference_sampled=other.sampled + 1)


@pytest.mark.parametrize("metric", PAIR_METRICS.values(), ids=PAIR_METRICS)
def test_a_metric_of_pairs_has_a_value_or_a_reason(metric: PairMetric, pairs):
    assert PAIR_METRICS[metric.name] is metric
    assert metric.unit == {"kl_mean": "nat/token", "first_divergence_token": "token"}.get(metric.name, "")
    assert metric.better in ("lower", "higher") and len(metric.formula) > 5 and len(metric.source) > 5
    found = [(metric.value(p), metric.lack(p)) for p in pairs]
    assert sum(value is not None for value, _ in found) == 1
    none = np.empty(0, np.int64)
    unknown = {"top1": none, "reference_top1": none, "sampled": none, "reference_sampled": none, "kl_nat": None}
    for value, reason in [*found, *((metric.value(p), metric.lack(p)) for p in (replace(p, **unknown) for p in pairs))]:
        assert (value is None) == (reason is not None)
        assert value is None or math.isfinite(value)
        if reason is not None:
            assert reason.startswith("needs ")
            words = {"top1_agreement": "scored", "first_divergence_token": "generation|token"}
            assert re.search(words.get(metric.name, "scored|logits"), reason)
