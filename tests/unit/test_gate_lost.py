"""What the candidate of a gate did not finish: it is said, how often and how it ended, and it is never a pass."""

from __future__ import annotations

import json

import handmade
import pytest
from handmade import frame, generated, run

from edgeprof.changes import FITS
from edgeprof.errors import NotComparableError
from edgeprof.gate_lost import Lost, find_lost
from edgeprof.gate_rules import Rules, parse_rules
from edgeprof.gating import EVERYTHING, gate

COST = "decode_ticks_per_token"
NOT = "could not judge"
RULES = parse_rules({"gate": {"defaults": False}, "metric": {COST: {"limit_pct": 10}}})


def runs(*statuses, prompt="p", **columns):
    return [run(f"c{prompt}{n}/0-1", status=status, prompt_id=prompt, **columns) for n, status in enumerate(statuses)]


def lost(base, candidate):
    return find_lost(*(frame("runs", rows) if rows else None for rows in (base, candidate)))


@pytest.mark.parametrize(
    ("base", "candidate", "words"),
    [
        (["ok"], ["ok", "error"], "(1 of 2 runs: error)"),
        (["ok"], ["ok", "timeout", "aborted", "timeout"], "(3 of 4 runs: 1 aborted, 2 timeout)"),
        (["ok", "ok", "reset"], ["ok", "reset"], "(1 of 2 runs: reset; of the base's 1 of 3)"),
        (["ok"], ["ok", None], "(1 of 2 runs: its end was not seen)"),
        (["does_not_fit"], ["timeout"], "(1 of 1 runs: timeout)"),
    ],
)
def test_a_larger_share_of_unfinished_runs_is_lost(base, candidate, words):
    found = lost(runs(*base), runs(*candidate))
    assert found.word == "not finished"
    assert f"prompt 'p' {words}" in found.text


@pytest.mark.parametrize(
    ("base", "candidate"),
    [
        (["ok"], ["ok", "ok"]),
        (["ok", "timeout"], ["ok", "timeout"]),
        (["ok", "timeout"], ["ok", "ok", "error"]),
        (["timeout"], ["ok", "timeout"]),
        (["does_not_fit"], ["does_not_fit"]),
        (["ok"], ["does_not_fit"]),  # the whole does not fit: that is judged
    ],
)
def test_no_larger_share_is_none(base, candidate):
    assert lost(runs(*base), runs(*candidate)) == Lost()


@pytest.mark.slow
def test_a_prompt_that_does_not_fit_any_more_is_lost():
    base, candidate = [*runs("ok"), *runs("ok", prompt="q")], [*runs("ok"), *runs("does_not_fit", prompt="q")]
    found = lost(base, candidate)
    assert found.word == "does not fit"
    assert "prompt 'q' (1 of 1 runs: does not fit)" in found.text
    assert lost([*base, *runs("ok", prompt="r")], candidate).word == "not finished"  # nor was r measured
    both = [handmade.dataset(rows, [t for r in rows if r["status"] == "ok" for t in generated(r["run_id"])])
            for rows in (base, candidate)]  # fmt: skip
    result = gate(*both, RULES)
    assert (result.exit_code, result.checks[0].metric, result.checks[0].word) == (2, EVERYTHING, "does not fit")
    assert [check.metric for check in gate(*both).of("fail")] == [FITS]


@pytest.mark.parametrize(
    ("base", "candidate", "word", "words"),
    [
        (["timeout"], ["reset"], "not finished", "Neither side has a finished run of it: the base prompt 'p' (1 of 1"),
        ([], ["reset"], "not finished", "It is new, and the candidate has no finished run of it: prompt 'p' (1 of 1"),
        (["ok"], ["timeout"] * 2, "not finished", "no finished run of it: prompt 'p' (2 of 2 runs: timeout)"),
        (["ok"], [], "missing", "no run of it: prompt 'p' (not measured)"),
    ],
)
def test_a_cell_of_which_nothing_is_finished_says_why(base, candidate, word, words):
    found = lost(runs(*base), runs(*candidate))
    assert found.word == word
    assert words in found.text
    assert ": ." not in found.text


def test_four_of_five_runs_that_ended_with_an_error_are_no_pass():
    finished = handmade.dataset([run("a/0-1")], generated("a/0-1"))
    failing = [run("a/0-1"), *(run(f"b{n}/0-1", status="error") for n in range(4))]
    result = gate(finished, handmade.dataset(failing, generated("a/0-1")), Rules())
    assert result.exit_code == 2
    assert "4 of 5 runs: error" in result.of(NOT)[0].reason


# Pairs.


def half(number, side, *, ticks=10_000, sha=None, status="ok", quant="Q4_0", capture="", pair=""):
    capture = capture or f"{side}-{number:02d}-{quant}"
    tags = {"pair": pair or f"s/{number}", "side": side, "session": "s"}
    row = run(
        f"{capture}/0-1", clock="device_timer", tick_hz=1e6, emulator=None, emulator_version=None, quant=quant,
        tags=json.dumps(tags), firmware_sha256=sha or {"base": "old", "candidate": "new"}[side], status=status,
    )  # fmt: skip
    return row, generated(row["run_id"], ticks=(ticks + number % 3,) * 12) if status == "ok" else []


def dataset(halves):
    return handmade.dataset([row for row, _ in halves], [token for _, tokens in halves for token in tokens])


def paired(*, dead=(), first=0, n=12, **columns):
    status = dict.fromkeys(dead, "timeout")
    bases = [half(number, "base", **columns) for number in range(first, first + n)]
    return bases + [half(i, "candidate", status=status.get(i, "ok"), **columns) for i in range(first, first + n)]


@pytest.mark.slow
def test_candidates_of_pairs_that_time_out_are_no_pass():
    assert gate(dataset(paired()), None, RULES).exit_code == 0
    result = gate(dataset(paired(dead=range(4))), None, RULES)
    assert result.exit_code == 2
    assert "prompt 'p' (4 of 12 runs: timeout)" in result.of(NOT)[0].reason


@pytest.mark.slow
def test_pairs_of_which_all_candidates_timed_out_say_so():
    for base_quant in ("Q4_0", "F16"):
        halves = [half(n, "base", quant=base_quant) for n in range(10)]
        halves += [half(n, "candidate", status="timeout") for n in range(10)]
        result = gate(dataset(halves), None, RULES)
        assert result.problems[0].endswith("has no whole pair.")
        (check,) = result.checks
        assert (str(check.cell), check.outcome, check.word) == ("toy m Q4_0", NOT, "not finished")
        assert "prompt 'p' (10 of 10 runs: timeout)" in check.reason


@pytest.mark.slow
def test_pairs_without_a_change_do_not_stand_in_for_those_that_died():
    calm = paired(first=20, sha="old")
    assert gate(dataset(calm), None, RULES).exit_code == 0
    result = gate(dataset(paired(dead=range(12)) + calm), None, RULES)
    assert [(check.metric, check.outcome) for check in result.checks] == [(EVERYTHING, NOT)]
    died = [*calm[:-1], half(31, "candidate", sha="old", status="timeout")]
    assert gate(dataset(paired() + died), None, RULES).exit_code == 0  # the noise's, not the change's


@pytest.mark.slow
def test_pairs_with_two_captures_a_side_say_so():
    twice = [half(n, "candidate", capture=f"again-{n}") for n in range(12)]
    result = gate(dataset(paired() + twice), None, RULES)
    assert result.exit_code == 2
    assert "measured more than once" in result.notes[0]
    assert "measured more than once" in result.of(NOT)[0].reason
    cut = [half(40, "base")]
    assert "missing or did not finish" in gate(dataset(paired() + cut), None, RULES).notes[0]


@pytest.mark.slow
def test_a_base_that_no_candidate_stands_beside_is_missing():
    alone = [half(n, "base", quant="Q8_0") for n in range(20, 23)]
    found = {str(c.cell): c.word for c in gate(dataset(paired() + alone), None, RULES).of(NOT)}
    assert found == {"toy m Q8_0": "missing"}


@pytest.mark.slow
def test_one_side_of_a_gate_that_holds_both_of_a_pair_is_refused():
    plain = dataset([half(n, "base") for n in range(12)])
    for sets in ((dataset(paired()), plain), (plain, dataset(paired()))):
        with pytest.raises(NotComparableError, match="--data"):
            gate(*sets, RULES)
    calm = dataset(paired(sha="old"))  # nothing is mixed here
    assert {check.metric for check in gate(calm, calm, RULES).checks} == {COST}
