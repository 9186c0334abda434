"""The gate: what limits and intervals come to, which cells are compared, and that nothing missing is ever a pass."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import handmade
import pytest
from handmade import generated, run, scored
from hypothesis import given
from hypothesis import strategies as st

from edgeprof.changes import FITS, Change, judge_changes
from edgeprof.errors import NotComparableError, UsageError
from edgeprof.gate_cells import Cell, couples_of, couples_of_pairs
from edgeprof.gate_limits import LEAST_LIMIT, decide, worsening
from edgeprof.gate_rules import DEFAULTS, Rule, Rules, load_rules, parse_rules
from edgeprof.gating import BELOW, EVERYTHING, Check, GateResult, gate
from edgeprof.intervals import Interval
from edgeprof.metrics import METRICS
from edgeprof.verdicts import Verdict, judge, judge_exact

COST = "decode_ticks_per_token"
NOT = "could not judge"


def changed(verdict, smallest=0.1, *, metric=COST, method="pairs", better="lower", base=100.0, candidate=110.0):
    return Change(metric, "tick/token", better, base, candidate, 10, 10, method, verdict, (), smallest)


def judged(middle, half, limit, *, better="lower", floor=0.0, metric=COST):
    """Return a change of a noisy metric whose 95 % interval is (middle - half, middle + half), in logs."""
    found = Interval(middle, middle - half, middle + half, middle - 0.84 * half, middle + 0.84 * half, 10, 0.05)
    smallest = max(limit, LEAST_LIMIT, floor)
    return changed(judge(found, smallest, better=better), smallest, better=better, metric=metric)


def outcome(change, limit, *, optional=False, base=None):
    return decide(change, Rule(change.metric, limit, optional), base)[0]


# The limit is 10 %, whose log is 0.0953.
@pytest.mark.parametrize(
    ("middle", "half", "expected"),
    [
        (0.20, 0.05, "fail"),  # beyond
        (0.11, 0.01, "fail"),
        (0.10, 0.01, NOT),  # astride the limit
        (0.05, 0.02, "pass"),  # surely worse, surely by less than the limit
        (0.00, 0.02, "pass"),
        (0.00, 0.11, "pass"),  # the 90 % interval lies within
        (0.00, 0.30, NOT),  # too wide for anything
        (-0.20, 0.25, "pass"),  # however much better it is, it is below the limit
        (-0.20, 0.05, "pass"),
    ],
)
def test_a_limit_and_an_interval(middle, half, expected):
    assert outcome(judged(middle, half, 0.1), 0.1) == expected
    assert outcome(judged(-middle, half, 0.1, better="higher"), 0.1) == expected


middles, halves = st.floats(-0.5, 0.5), st.floats(0.001, 0.5)
limits, floors = st.floats(0, 0.4), st.sampled_from([0.0, 0.03, 0.2])
betters = st.sampled_from(["lower", "higher"])


@given(middles, halves, limits, limits, floors, betters)
def test_a_larger_limit_never_turns_a_pass_into_a_failure_nor_into_doubt(middle, half, one, other, floor, better):
    small, large = sorted((one, other))
    at_small, at_large = (
        outcome(judged(middle, half, limit, floor=floor, better=better), limit) for limit in (small, large)
    )
    if at_small == "pass":
        assert at_large == "pass"
    if at_large == "fail":
        assert at_small == "fail"


@given(middles, st.floats(0, 0.5), halves, limits, floors)
def test_a_worse_change_never_turns_a_failure_into_anything_else(middle, more, half, limit, floor):
    before, after = (outcome(judged(m, half, limit, floor=floor), limit) for m in (middle, middle + more))
    if before == "fail":
        assert after == "fail"
    if after == "pass" and limit >= floor and half <= math.log1p(limit):  # wider ones could not have been judged
        assert before == "pass"


@given(st.integers(1, 10**9), st.integers(1, 10**9), limits)
def test_on_exact_clocks_there_is_no_doubt(base, candidate, limit):
    verdict = judge_exact(base, candidate, max(limit, LEAST_LIMIT))
    found = outcome(changed(verdict, max(limit, LEAST_LIMIT), method="exact"), limit)
    if abs(candidate / base - 1 - limit) > 1e-8:  # on the limit itself rounding may decide
        assert found == ("fail" if candidate / base - 1 > limit else "pass")


def test_a_limit_below_what_the_board_shows_anyway_cannot_be_judged():
    quiet = judged(0.0, 0.01, 0.05, floor=0.08)
    assert decide(quiet, Rule(COST, 0.05)) == (NOT, pytest.approx(decide(quiet, Rule(COST, 0.05))[1]))
    assert "8.00 %" in decide(quiet, Rule(COST, 0.05))[1]
    assert outcome(judged(0.0, 0.01, 0.1, floor=0.08), 0.1) == "pass"
    assert outcome(judged(0.3, 0.01, 0.05, floor=0.08), 0.05) == "fail"


def test_groups_measured_apart_do_not_pass_on_a_narrow_interval():
    apart = Verdict("not enough data", "Pair the runs.", 0.0, -0.001, 0.001, 0.01, None)
    assert outcome(changed(apart), 0.1) == NOT
    assert outcome(changed(replace(apart, more_runs=3)), 0.1) == "pass"


def nothing(base=math.nan):
    verdict = Verdict("not enough data", "It needs tokens.", math.nan, math.nan, math.nan, math.nan, None)
    return changed(verdict, method="none", base=base, candidate=math.nan)


def test_what_was_not_measured_is_skipped_only_if_optional_and_never_there():
    assert outcome(nothing(), 0.1) == NOT
    assert outcome(nothing(), 0.1, optional=True) == "skipped"
    assert outcome(nothing(100.0), 0.1, optional=True) == NOT  # the base has it


@pytest.mark.parametrize(
    ("metric", "base", "candidate"),
    [
        ("ram_needed_bytes", {"ram_needed_bytes": 0}, {"ram_needed_bytes": 900_000}),
        ("itl_jitter_ticks", {}, {"ticks": (20, 40) * 4 + (20,)}),
    ],
)
def test_what_was_measured_and_cannot_be_judged_is_no_pass_though_optional(metric, base, candidate):
    def one(ticks=(20,) * 9, **columns):
        return handmade.dataset([run(**columns)], generated(ticks=ticks))

    rules = parse_rules({"gate": {"defaults": False}, "metric": {metric: {"limit_pct": 10, "optional": True}}})
    result = gate(one(**base), one(**candidate), rules)
    assert found(result)["toy m F16", metric] == (NOT, "not measured")
    assert result.exit_code == 2


def test_repeats_that_differ_on_an_exact_clock_are_no_pass_though_optional():
    base = dataset(sets(), sets(run_id="d/0-0001", ticks=21))
    rules = parse_rules({"metric": {COST: {"limit_pct": 10, "optional": True}}})
    result = gate(base, dataset(sets(ticks=100)), rules)
    assert found(result)["toy m Q4_0", COST] == (NOT, "not measured")


def test_a_generation_that_stops_at_once_is_no_pass():
    runs, tokens = sets(n=60)[0], sets(n=60)[1]
    short = [t for t in tokens if t["phase"] != "decode" or t["position"] <= min(
        x["position"] for x in tokens if x["phase"] == "decode")]  # fmt: skip
    result = gate(dataset((runs, tokens)), dataset((runs, short)))
    (check,) = [c for c in result.checks if c.metric == COST]
    assert check.outcome == "could not judge" and "So little stands for nothing" in check.reason


def test_the_ends_of_a_rate_are_those_of_the_time_that_it_stands_for():
    verdict = Verdict("worse", "", -0.5, -1.0, -0.2, 0.0, 0)
    low, high = worsening(changed(verdict, better="higher"))
    assert low == pytest.approx(0.25)
    assert high == math.inf


# Cells and whole gates, by the judgement that is really used.


def sets(*, ticks=20, n=20, board="toy", quant="Q4_0", run_id="c/0-0001", **columns):
    return run(run_id, board=board, quant=quant, **columns), generated(run_id, ticks=(ticks,) * n)


def dataset(*cells):
    return handmade.dataset([r for r, _ in cells], [t for _, tokens in cells for t in tokens])


def found(result):
    return {(str(c.cell), c.metric): (c.outcome, c.word) for c in result.checks}


def test_the_same_passes():
    result = gate(dataset(sets()), dataset(sets()))
    assert result.verdict == "pass"
    assert result.exit_code == 0
    assert found(result)["toy m Q4_0", COST] == ("pass", "same")
    assert found(result)["toy m Q4_0", FITS] == ("pass", "same")
    assert found(result)["toy m Q4_0", "perplexity"] == ("skipped", "not measured")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ticks", "expected", "code"),
    [
        (1000, ("pass", "same"), 0),
        (1010, ("pass", "same"), 0),
        (1050, ("pass", BELOW), 0),
        (1100, ("pass", BELOW), 0),
        (1101, ("fail", "worse"), 1),
        (1500, ("fail", "worse"), 1),
        (900, ("pass", "better"), 0),
        (500, ("pass", "better"), 0),
    ],
)
def test_a_change_of_cost(ticks, expected, code):
    result = gate(dataset(sets(ticks=1000)), dataset(sets(ticks=ticks)))
    assert found(result)["toy m Q4_0", COST] == expected
    assert result.exit_code == code


@pytest.mark.slow
def test_a_change_below_the_smallest_effect_is_said_with_its_figure():
    (check,) = [c for c in gate(dataset(sets(ticks=10000)), dataset(sets(ticks=10001))).checks if c.metric == COST]
    assert (check.outcome, check.word) == ("pass", "same")
    assert "+0.01 % (certain" in check.reason


@pytest.mark.slow
def test_one_cell_that_fails_fails_the_gate_even_where_another_is_missing():
    base = dataset(sets(), sets(quant="Q8_0", run_id="c/0-0002"), sets(quant="F16", run_id="c/0-0003"))
    result = gate(base, dataset(sets(ticks=40), sets(quant="Q8_0", run_id="c/0-0002")))
    assert found(result)["toy m F16", EVERYTHING] == (NOT, "missing")
    assert (result.verdict, result.exit_code) == ("fail", 1)


@pytest.mark.slow
def test_a_missing_cell_is_no_pass_and_a_new_one_is_reported():
    one, two = sets(), sets(quant="Q8_0", run_id="c/0-0002")
    missing = gate(dataset(one, two), dataset(one))
    assert (missing.verdict, missing.exit_code) == (NOT, 2)
    assert "prompt 'p' (not measured)" in missing.of(NOT)[0].reason
    new = gate(dataset(one), dataset(one, two))
    assert found(new)["toy m Q8_0", EVERYTHING] == ("skipped", "new")
    assert new.exit_code == 0


@pytest.mark.slow
def test_a_prompt_that_the_candidate_did_not_finish_is_no_pass():
    both = [sets(prompt_id="p"), sets(prompt_id="q", run_id="c/0-0002")]
    result = gate(dataset(*both), dataset(both[0], sets(prompt_id="q", run_id="c/0-0002", status="reset")))
    (check,) = result.of(NOT)
    assert (check.metric, check.word) == (EVERYTHING, "not finished")
    assert "prompt 'q' (1 of 1 runs: reset)" in check.reason
    assert gate(dataset(*both), dataset(both[0])).exit_code == 2


@pytest.mark.parametrize("column", ["emulator_version", "emulator", "emulator_flags", "clock"])
def test_unlike_sides_are_not_judged_but_said_once(column):
    other = "instructions" if column == "clock" else "other"
    result = gate(dataset(sets()), dataset(sets(**{column: other})))
    (check,) = result.checks
    assert (check.metric, check.outcome, check.word) == (EVERYTHING, NOT, "not comparable")
    assert result.exit_code == 2


def test_what_is_unlike_can_be_allowed():
    other = dataset(sets(emulator_version="2"))
    assert gate(dataset(sets()), other, Rules(allow=("emulator",))).exit_code == 0


def test_a_model_that_does_not_fit_any_more_fails():
    result = gate(dataset(sets()), dataset((sets(status="does_not_fit")[0], [])))
    assert found(result)["toy m Q4_0", FITS] == ("fail", "worse")
    assert found(result)["toy m Q4_0", COST] == (NOT, "does not fit")
    assert result.exit_code == 1


@pytest.mark.slow
def test_a_model_that_never_fitted_is_no_reason_to_fail():
    never = (sets(status="does_not_fit")[0], [])
    assert gate(dataset(never), dataset(never)).exit_code == 0
    assert found(gate(dataset(never), dataset(sets())))["toy m Q4_0", FITS] == ("pass", "better")


def test_without_runs_there_is_nothing_to_judge():
    empty = handmade.dataset([])
    for base, candidate in ((empty, empty), (empty, dataset(sets()))):
        result = gate(base, candidate)
        assert (result.verdict, result.exit_code) == (NOT, 2)
        assert "nothing to judge" in result.problems[0]
    assert gate(dataset(sets()), empty).exit_code == 2


def test_damage_is_no_pass():
    damaged = dataset(sets())
    damaged.problems.append("capture=x is damaged")
    result = gate(dataset(sets()), damaged)
    assert result.exit_code == 2
    assert "capture=x is damaged" in result.problems[0]


@pytest.mark.slow
def test_a_metric_that_nobody_measured_is_no_pass_if_it_was_asked_for():
    asked = parse_rules({"metric": {"perplexity": {"limit_pct": 1}}})
    result = gate(dataset(sets()), dataset(sets()), asked)
    assert found(result)["toy m Q4_0", "perplexity"] == (NOT, "not measured")
    assert result.exit_code == 2
    optional = parse_rules({"metric": {"perplexity": {"limit_pct": 1, "optional": True}}})
    assert gate(dataset(sets()), dataset(sets()), optional).exit_code == 0


def test_a_text_that_only_the_base_scored_is_missing_though_optional():
    text = (run("c/0-0009", quant="Q4_0", kind="score", prompt_id="eval"), scored("c/0-0009", [[1.0] * 8] * 4))
    result = gate(dataset(sets(), text), dataset(sets()))
    assert result.exit_code == 2
    assert "text 'eval' (not measured)" in result.of(NOT)[0].reason
    assert found(result)["toy m Q4_0", "perplexity"] == (NOT, "not measured")


@pytest.mark.slow
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_none_are_no_pass(bad):
    base = (run("c/0-0009", quant="Q4_0", kind="score", prompt_id="e"), scored("c/0-0009", [[1.0] * 64] * 20))
    spoilt = (base[0], scored("c/0-0009", [[bad] * 64] * 20))
    rules = parse_rules({"gate": {"defaults": False}, "metric": {"perplexity": {"limit_pct": 1}}})
    assert gate(dataset(base), dataset(base), rules).exit_code == 0
    assert gate(dataset(base), dataset(spoilt), rules).exit_code == 2
    assert gate(dataset(spoilt), dataset(spoilt), rules).exit_code == 2


@pytest.mark.slow
def test_one_run_of_a_noisy_clock_is_too_little():
    one = sets(clock="device_timer", tick_hz=1e6)
    result = gate(dataset(one), dataset(one))
    assert found(result)["toy m Q4_0", COST] == (NOT, "not enough data")
    assert result.exit_code == 2


def test_cells_can_be_matched_without_the_model():
    base, candidate = dataset(sets(model="old")), dataset(sets(model="new"))
    assert gate(base, candidate).exit_code == 2
    result = gate(base, candidate, Rules(match=("board", "quant")))
    assert {check.cell for check in result.checks} == {Cell("toy", "", "Q4_0")}
    assert result.exit_code == 0


@pytest.mark.slow
def test_several_boards_are_judged_each_by_itself():
    base = dataset(sets(), sets(board="other", clock="cycles", run_id="c/0-0002"))
    candidate = dataset(sets(), sets(board="other", clock="cycles", run_id="c/0-0002", ticks=40))
    result = gate(base, candidate)
    assert {c.cell.board for c in result.of("fail")} == {"other"}
    assert result.exit_code == 1


def test_each_cell_is_judged_in_one_call_a_limit():
    calls = []

    def counting(metrics, base, candidate, **how):
        calls.append((tuple(metrics), how["smallest"]))
        return judge_changes(metrics, base, candidate, **how)

    gate(dataset(sets()), dataset(sets()), judge=counting)
    assert sorted(smallest for _, smallest in calls) == [0.01, 0.1]


# Pairs in one data set.


def pair(number, side, ticks, *, quant="Q4_0", sha="new", status="ok", **columns):
    run_id = f"{number:02d}-{side}-{quant}/0-0001"
    tags = json.dumps({"pair": f"s/{number}", "side": side, "session": "one"})
    columns = {"clock": "device_timer", "tick_hz": 1e6, "emulator": None, "emulator_version": None} | columns
    row = run(run_id, quant=quant, tags=tags, firmware_sha256=sha, status=status, **columns)
    return row, generated(run_id, ticks=(ticks,) * 20)


def pairs(slower, n=10, **columns):
    jitter = [0, 40, -30, 10, -20, 30, -40, 20, -10, 15]
    sides = ((number, jitter[number % 10]) for number in range(n))
    return [
        one
        for number, extra in sides
        for one in (
            pair(number, "base", 10_000 + extra, sha="old", **columns),
            pair(number, "candidate", round(10_000 * slower) + extra, **columns),
        )
    ]


RULES = parse_rules({"gate": {"defaults": False}, "metric": {COST: {"limit_pct": 10}}})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("slower", "expected"), [(1.0, ("pass", "same")), (1.05, ("pass", BELOW)), (1.2, ("fail", "worse"))]
)
def test_pairs_of_a_noisy_clock(slower, expected):
    result = gate(dataset(*pairs(slower)), None, RULES)
    assert found(result) == {("toy m Q4_0", COST): expected}
    assert result.checks[0].change.method == "pairs"


@pytest.mark.slow
@pytest.mark.parametrize(("spread", "surely"), [(40, True), (150, False)])
def test_a_pass_that_leaves_the_smallest_effect_open_is_called_below_the_limit(spread, surely):
    jitter = [-3, 2, 1, -2, 3, 0, -1, 3, -2, 1]
    rows = [
        one
        for n, step in enumerate(jitter)
        for one in (pair(n, "base", 10_000, sha="old"), pair(n, "candidate", 10_150 + step * spread))
    ]
    (check,) = gate(dataset(*rows), None, RULES).checks
    assert (check.change.verdict.low > 0) == surely
    assert (check.outcome, check.word) == ("pass", "below the limit")


def test_two_pairs_are_too_few():
    assert gate(dataset(*pairs(1.0, n=2)), None, RULES).exit_code == 2


def test_half_a_pair_is_left_out_and_said():
    couples, notes = couples_of_pairs(dataset(*pairs(1.0), pair(11, "base", 9_000, sha="old")))
    assert [len(c.base.runs) for c in couples] == [10]
    assert "1 pairs are not whole" in notes[0]


@pytest.mark.slow
def test_a_cell_without_a_whole_pair_is_no_pass():
    died = [pair(n, side, 10, quant="Q8_0", status="reset") for n in range(20, 23) for side in ("base", "candidate")]
    result = gate(dataset(*pairs(1.0), *died), None, RULES)
    assert found(result)["toy m Q8_0", EVERYTHING] == (NOT, "not finished")


@pytest.mark.slow
def test_the_base_of_a_pair_may_be_another_quantization():
    rows = [pair(n, "base", 10_000 + n, quant="F16", sha="same") for n in range(10)]
    rows += [pair(n, "candidate", 15_000 + n, sha="same", model_sha256="11") for n in range(10)]
    result = gate(dataset(*rows), None, RULES)
    assert found(result) == {("toy m Q4_0", COST): ("fail", "worse")}


def test_pairs_without_a_change_are_noise_where_there_are_others():
    calm = [
        pair(n, side, 10_000 + (n if side == "base" else -n), sha="old")
        for n in range(20, 30)
        for side in ("base", "candidate")
    ]
    couples, notes = couples_of_pairs(dataset(*pairs(1.0), *calm))
    assert [len(c.candidate.runs) for c in couples] == [10]
    assert "10 pairs in which neither" in notes[0]
    couples, notes = couples_of_pairs(dataset(*calm))
    assert [len(c.candidate.runs) for c in couples] == [10]
    assert not notes


def test_without_pairs_one_data_set_is_nothing_to_judge():
    with pytest.raises(NotComparableError, match="no run has the tags side and pair"):
        gate(dataset(sets()))
    with pytest.raises(NotComparableError, match="it is empty"):
        gate(handmade.dataset([]))


def test_couples_come_in_order():
    base = dataset(sets(quant="b"), sets(quant="a", run_id="c/0-0002"), sets(board="a", run_id="c/0-0003"))
    cells = [couple.cell for couple in couples_of(base, base)]
    assert cells == sorted(cells)
    assert len(cells) == 3


# Rules.


def test_no_rules_are_the_defaults(tmp_path):
    (tmp_path / "gate.toml").write_text("")
    assert load_rules(tmp_path / "gate.toml") == Rules()
    assert {r.metric for r in DEFAULTS} - {FITS} <= {n for n, m in METRICS.items() if m.better}


def test_rules_add_to_the_defaults_or_stand_alone():
    more = parse_rules({"metric": {"ttft_ticks": {"limit_pct": 5}, "itl_p99_ticks": {"limit_pct": 20}}})
    by_name = {rule.metric: rule for rule in more.metrics}
    assert by_name["ttft_ticks"] == Rule("ttft_ticks", 0.05)
    assert by_name["itl_p99_ticks"] == Rule("itl_p99_ticks", 0.2)
    assert len(by_name) == len(DEFAULTS) + 1
    alone = parse_rules({"gate": {"defaults": False}, "metric": {FITS: {}, COST: {"limit_pct": 0}}})
    assert alone.metrics == (Rule(FITS, 0.0), Rule(COST, 0.0))


def test_later_overrides_count_where_they_match():
    rules = parse_rules(
        {
            "override": [
                {"metric": COST, "limit_pct": 5},
                {"metric": COST, "board": "rp*", "quant": "Q4_?", "limit_pct": 2, "optional": True},
            ]
        }
    )
    rule = {name: next(r for r in rules.of({"board": name, "model": "m", "quant": "Q4_0"}) if r.metric == COST)
            for name in ("wasm", "rp2040")}  # fmt: skip
    assert rule == {"wasm": Rule(COST, 0.05), "rp2040": Rule(COST, 0.02, optional=True)}


@pytest.mark.slow
def test_an_override_for_no_cell_is_said():
    rules = parse_rules({"override": [{"metric": COST, "board": "rp2400", "limit_pct": 2}]})
    assert "'rp2400'" in gate(dataset(sets()), dataset(sets()), rules).notes[0]
    rules = parse_rules({"override": [{"metric": COST, "board": "to*", "limit_pct": 2}]})
    assert gate(dataset(sets()), dataset(sets()), rules).notes == ()
    slower = gate(dataset(sets(ticks=1000)), dataset(sets(ticks=1050)), rules)
    assert found(slower)["toy m Q4_0", COST] == ("fail", "worse")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"gates": {}}, "'gate'"),
        ({"gate": {"smallest": 2}}, "'smallest_pct'"),
        ({"gate": 3}, "is a table"),
        ({"metric": {"decode_tick_per_token": {"limit_pct": 1}}}, f"'{COST}'"),
        ({"metric": {"bits_per_weight": {"limit_pct": 1}}}, "no metric to judge"),
        ({"metric": {COST: {"limit": 1}}}, "'limit_pct'"),
        ({"metric": {COST: 1}}, "is a table"),
        ({"metric": {"itl_p99_ticks": {}}}, "limit_pct = 10"),
        ({"metric": {COST: {"limit_pct": -1}}}, "0 or more"),
        ({"metric": {COST: {"limit_pct": math.nan}}}, "0 or more"),
        ({"metric": {COST: {"limit_pct": "10"}}}, "'10'"),
        ({"metric": {COST: {"limit_pct": True}}}, "True"),
        ({"metric": {COST: {"limit_pct": 1, "optional": 1}}}, "true or false"),
        ({"metric": {FITS: {"limit_pct": 1}}}, "no limit"),
        ({"override": {"metric": COST}}, "[[override]]"),
        ({"override": [{"board": "wasm"}]}, "no metric"),
        ({"override": [{"metric": COST, "boards": "wasm"}]}, "'board'"),
        ({"override": [{"metric": COST, "board": 1}]}, "quotation marks"),
        ({"override": [{"metric": "itl_p99_ticks", "limit_pct": 1}]}, "not judged"),
        ({"gate": {"smallest_pct": 0}}, "more than 0"),
        ({"gate": {"looks": 4}}, "looks"),
        ({"gate": {"looks": 1.0}}, "whole number"),
        ({"gate": {"match": ["boards"]}}, "'board'"),
        ({"gate": {"match": ["quant"]}}, "lacks the board"),
        ({"gate": {"match": "board"}}, "is a list"),
        ({"gate": {"allow_unlike": ["emulators"]}}, "'emulator'"),
        ({"gate": {"defaults": "no"}}, "true or false"),
    ],
)
def test_rules_that_cannot_be_meant(data, words):
    with pytest.raises(UsageError) as error:
        parse_rules(data)
    assert words in str(error.value)
    assert "gate.toml" in str(error.value) or "looks" in str(error.value)


@pytest.mark.parametrize("text", ["[gate", "\xff"])
def test_rules_that_cannot_be_read(tmp_path, text):
    path = tmp_path / "gate.toml"
    path.write_bytes(text.encode("latin-1"))
    for one in (path, tmp_path / "none.toml"):
        with pytest.raises(UsageError, match="cannot be read"):
            load_rules(one)


def test_a_result_without_a_pass_is_none():
    skipped = Check(Cell("b", "m", "q"), COST, "skipped", "new", "")
    assert GateResult(()).verdict == NOT
    assert GateResult((skipped,)).verdict == NOT
    assert GateResult((skipped, replace(skipped, outcome="pass"))).verdict == "pass"
