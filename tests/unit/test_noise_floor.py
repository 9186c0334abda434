"""Runs in pairs found by their tags, and what pairs with no change say of a board."""

from __future__ import annotations

import json

import numpy as np
import pytest
from handmade import dataset, frame, generated, run

from edgeprof.errors import NotComparableError
from edgeprof.intervals import gate_interval, session_deviation
from edgeprof.noise_floor import LEAST_FLOOR, Noise, noise_floors
from edgeprof.pairs import matched_runs, pair_tags
from edgeprof.run_values import DECODE_MEDIAN

RATIOS = [0.03, -0.01, 0.02, 0.0, -0.02, 0.015, -0.005, 0.01]


def half(pair, side, cost, *, prompt="p", session="s1", **columns):
    """Return a run that was measured as one side of a pair, and its tokens, each decode pass of that many ticks."""
    name = columns.pop("capture", f"{pair}-{side}") + f"/0-{prompt}"
    facts = {"clock": "host", "board": "desk", "firmware_sha256": "f", "model_sha256": "m", "prompt_id": prompt,
             "tick_hz": 1e9, "tags": json.dumps({"pair": pair, "side": side, "session": session})}  # fmt: skip
    return run(name, **facts | columns), generated(name, ticks=[cost] * 9)


def both(*halves):
    runs, tokens = zip(*halves, strict=True)
    return list(runs), [token for part in tokens for token in part]


def measured(*halves):
    runs, tokens = both(*halves)
    return frame("runs", runs), frame("tokens", tokens)


def pairs(ratios=RATIOS, level=100_000_000, **columns):
    made = []
    for number, ratio in enumerate(ratios):
        sides = ("base", round(level * np.exp(-ratio / 2))), ("candidate", round(level * np.exp(ratio / 2)))
        made += [half(f"a/{number}", side, cost, **columns) for side, cost in sides]
    return made


def row(table, metric=DECODE_MEDIAN, board="desk"):
    (found,) = table[(table["board"] == board) & (table["metric"] == metric)].to_dict("records")
    return found


# ---- pairs ----


@pytest.mark.parametrize(
    "tags", [None, "", "{", "[1]", '"pair"', '{"pair": 3, "side": ["base"]}', "[" * 3000, '{"pair": null}', "1e999"]
)
def test_tags_may_be_anything(tags):
    (found,) = pair_tags(frame("runs", [run(tags=tags)])).to_dict("records")
    assert set(found.values()) == {None}
    assert matched_runs(frame("runs", [run(tags=tags)])).empty


def test_sides_are_matched_prompt_by_prompt_in_the_order_of_measuring():
    made = [half(p, s, 20, prompt=q, capture=c) for p, s, q, c in (
        ("x/2", "candidate", "b", "c1"), ("x/2", "candidate", "a", "c1"), ("x/2", "base", "a", "c2"),
        ("x/2", "base", "b", "c2"), ("x/10", "base", "a", "c3"), ("x/10", "candidate", "a", "c4"),
    )]  # fmt: skip
    found = matched_runs(frame("runs", [run for run, _ in made]))
    assert found[["pair", "prompt_id", "base", "candidate"]].to_numpy().tolist() == [
        ["x/2", "a", "c2/0-a", "c1/0-a"], ["x/2", "b", "c2/0-b", "c1/0-b"], ["x/10", "a", "c3/0-a", "c4/0-a"],
    ]  # fmt: skip
    assert set(found["session"]) == {"s1"} and set(found["board"]) == {"desk"}


def test_what_is_no_whole_pair_is_left_out():
    whole = [half("w", "base", 20), half("w", "candidate", 20)]
    alone = [half("alone", "base", 20)]
    cut = [half("cut", "base", 20), half("cut", "base", 20, prompt="q"), half("cut", "candidate", 20),
           half("cut", "candidate", 20, prompt="q", status="timeout")]  # fmt: skip
    twice = [half("twice", "base", 20), half("twice", "candidate", 20), half("twice", "base", 20, capture="again")]
    moved = [half("moved", "base", 20), half("moved", "candidate", 20, board="shelf")]
    neither = [half("neither", "left", 20), half("neither", "right", 20)]
    runs, tokens = measured(*whole, *alone, *cut, *twice, *moved, *neither)
    assert matched_runs(runs)["pair"].tolist() == ["w"]
    assert row(noise_floors(runs, tokens))["pairs"] == 1


# ---- floors ----


def test_the_floor_is_the_farther_end_of_the_interval_of_pairs_with_no_change():
    table = noise_floors(*measured(*pairs()))
    interval = gate_interval(RATIOS)
    for metric in (DECODE_MEDIAN, "decode_ticks_per_token"):
        found = row(table, metric)
        assert found["pairs"] == 8
        assert found["pair_deviation_pct"] == pytest.approx(100 * np.std(RATIOS, ddof=1), rel=1e-5)
        assert found["floor_pct"] == pytest.approx(100 * np.expm1(max(-interval.low, interval.high)), rel=1e-5)
    # A rate that went down by as much is the same noise.
    falling = gate_interval(-np.array(RATIOS))
    expected = 100 * np.expm1(max(-falling.low, falling.high))
    assert row(table, "decode_tok_s")["floor_pct"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_many_pairs_of_a_noisy_board_do_not_make_it_a_quiet_one():
    ratios = np.random.default_rng(5).normal(0, 0.3, 150)
    found = row(noise_floors(*measured(*pairs(ratios))))
    interval = gate_interval(ratios)
    assert max(-interval.low, interval.high) < 0.1
    assert found["floor_pct"] == pytest.approx(100 * np.expm1(LEAST_FLOOR * np.std(ratios, ddof=1)), rel=1e-5)
    # Where few pairs already tell more: the noise at which an effect of 2 % is promised to be seldom a false alarm.
    assert pytest.approx(2.0) == 100 * np.expm1(LEAST_FLOOR * 0.044)


def test_prompts_of_a_pair_are_one_measurement():
    made = [*pairs(prompt="p"), *pairs([0.0] * len(RATIOS), prompt="q")]
    found = row(noise_floors(*measured(*made)))
    assert found["pairs"] == 8
    assert found["pair_deviation_pct"] == pytest.approx(50 * np.std(RATIOS, ddof=1), rel=1e-5)


def test_a_coarse_clock_raises_the_floor_by_its_tick():
    found = row(noise_floors(*measured(*pairs([0.0] * 8, level=50))))
    assert found["pair_deviation_pct"] == 0
    assert found["floor_pct"] == pytest.approx(100 * np.expm1(1 / 50))


@pytest.mark.parametrize("column", ["firmware_sha256", "model_sha256"])
@pytest.mark.parametrize("value", ["other", None])
def test_a_pair_with_a_change_is_no_noise(column, value):
    changed = [half("z", "base", 100_000), half("z", "candidate", 200_000, **{column: value})]
    unknown = [half("y", side, cost, **{column: None}) for side, cost in (("base", 10_000), ("candidate", 30_000))]
    runs, tokens = measured(*pairs(), *changed, *unknown)
    assert row(noise_floors(runs, tokens)) == pytest.approx(row(noise_floors(*measured(*pairs()))), nan_ok=True)


def test_few_pairs_have_no_floor_but_on_an_exact_clock_equal_ones():
    few = row(noise_floors(*measured(*pairs(RATIOS[:5]))))
    assert few["pairs"] == 5 and np.isnan(few["floor_pct"])
    exact = noise_floors(*measured(*pairs([0.0], clock="fuel", tick_hz=None)))
    assert row(exact)["floor_pct"] == 0 and np.isnan(row(exact)["pair_deviation_pct"])
    moved = noise_floors(*measured(*pairs([0.1], clock="fuel", tick_hz=None)))
    assert np.isnan(row(moved)["floor_pct"])


def test_what_has_no_logarithm_has_no_floor():
    made = pairs()
    made[0][1].clear()  # of one run no token arrived
    table = noise_floors(*measured(*made))
    assert row(table)["pairs"] == 7
    assert "position_slope_ticks" not in set(table["metric"])  # all passes cost the same: 0 per position
    assert set(noise_floors(*measured(half("a", "base", 20)))["metric"]) == set()


def test_a_run_that_is_there_twice_is_refused():
    one, other = half("a", "base", 20), half("a", "candidate", 20)
    with pytest.raises(NotComparableError, match="is there twice"):
        noise_floors(*measured(one, one, other))


# ---- sessions ----


def test_sessions_are_of_one_cell_that_the_most_have():
    made = []
    for session, (few, many) in enumerate([(100_000, 50_000), (300_000, 51_000), (None, 49_000)]):
        for number in range(3):
            name = {"session": f"s{session}", "capture": f"c{session}{number}"}
            made.append(half(f"m{session}{number}", "base", many + 100 * number, prompt="many", **name))
            if few:
                made.append(half(f"f{session}{number}", "base", few, prompt="few", **name))
    noise = Noise.of(dataset(*both(*made)))
    medians = noise.sessions("desk", DECODE_MEDIAN)
    assert sorted(medians) == [49_100, 50_100, 51_100]
    found = row(noise_floors(*measured(*made)))
    assert found["sessions"] == 3 and found["pairs"] == 0
    assert found["session_deviation_pct"] == pytest.approx(100 * session_deviation(medians))
    assert noise.floor("desk", DECODE_MEDIAN) == 0.0


def test_another_firmware_is_another_cell():
    made = [half("a", "base", 100_000, session="s1"), half("b", "base", 90_000, session="s2", firmware_sha256="g")]
    assert Noise.of(dataset(*both(*made))).sessions("desk", DECODE_MEDIAN) is None


# ---- noise of data sets ----


@pytest.mark.slow
def test_data_sets_are_taken_together_and_none_counts_twice():
    first, second = pairs(RATIOS[:4]), [half(f"b/{n}", s, c) for n, (s, c) in enumerate([("base", 7), ("base", 9)])]
    rest = [(r | {"capture_id": "x" + r["capture_id"], "run_id": "x" + r["run_id"],
                  "tags": r["tags"].replace('"a/', '"c/')}, [t | {"run_id": "x" + t["run_id"]} for t in tokens])
            for r, tokens in pairs(RATIOS[4:])]  # fmt: skip
    one, other = dataset(*both(*first)), dataset(*both(*rest, *second))
    assert Noise.of(one).floor("desk", DECODE_MEDIAN) == 0.0  # four pairs are too few
    whole = row(noise_floors(*measured(*pairs())))["floor_pct"] / 100
    assert Noise.of(one, other, one).floor("desk", DECODE_MEDIAN) == pytest.approx(whole)
    assert Noise.of(one, other).floor("shelf", DECODE_MEDIAN) == 0.0
    assert Noise.of(one, other).floor("desk", "perplexity") == 0.0


def test_data_that_say_nothing_of_pairs_have_no_noise():
    plain = dataset([run(tags='{"repeat": "0"}')], generated())
    for noise in (Noise(), Noise.of(), Noise.of(plain)):
        assert noise.floor("toy", DECODE_MEDIAN) == 0.0
        assert noise.sessions("toy", DECODE_MEDIAN) is None
